"""Run expensive work, searches and batches, one request at a time for each user.

Further requests of the user wait briefly and then get 429, so that they do not occupy threads.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Final

from flask import Flask, current_app

from app.core import deadline
from app.core.metrics import tally
from app.core.metrics.families import REFUSALS
from app.core.problem_kinds import TOO_MANY_REQUESTS
from app.core.problems import Problem

EXTENSION: Final = "turns"
RETRY_AFTER: Final = {"Retry-After": "1"}


class Turns:
    """One lock for each user in this process; a lock exists only while it is held or waited for."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.lock = Lock()
        self.held: dict[str, tuple[Lock, int]] = {}
        """The lock of each user, and how many hold it or wait for it."""

    @contextmanager
    def turn(self, user_id: str, detail: str) -> Iterator[None]:
        """Hold the user's lock in a `with` block; wait at most `seconds`, and until the deadline.

        Raises Problem 429 with this detail if the wait times out.
        """
        mine = self._join(user_id)
        try:
            if not mine.acquire(timeout=max(0.0, min(self.seconds, deadline.left()))):
                raise refusal(detail)
            try:
                yield
            finally:
                mine.release()
        finally:
            self._leave(user_id)

    def _join(self, user_id: str) -> Lock:
        with self.lock:
            mine, count = self.held.get(user_id) or (Lock(), 0)
            self.held[user_id] = (mine, count + 1)
            return mine

    def _leave(self, user_id: str) -> None:
        with self.lock:
            mine, count = self.held.pop(user_id)
            if count > 1:
                self.held[user_id] = (mine, count - 1)


class AllTurns:
    """The locks of each kind of work."""

    def __init__(self) -> None:
        self.search = Turns(seconds=1.0)
        self.batch = Turns(seconds=5.0)


def turns() -> AllTurns:
    """Return the locks of this application."""
    found: AllTurns = current_app.extensions[EXTENSION]
    return found


def refusal(detail: str) -> Problem:
    """Return 429 for a user with too many requests in progress, and count it."""
    tally.add(REFUSALS, "turn")
    return Problem(TOO_MANY_REQUESTS, detail, headers=RETRY_AFTER)


def init_app(app: Flask) -> None:
    """Make the locks of this application."""
    app.extensions[EXTENSION] = AllTurns()
