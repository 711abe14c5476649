"""Turns: of some kinds of work a user has one under way at a time, and the next waits for it.

The wait is short and ends with 429, so that nobody holds a thread by asking for more of the same.
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
    """Lets each user have one turn at a time in this process; more of theirs wait.

    What it remembers is no more than what is under way or waits.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.lock = Lock()
        self.held: dict[str, tuple[Lock, int]] = {}
        """Of each user what is held during a turn, and how many have it or wait for it."""

    @contextmanager
    def turn(self, user_id: str, detail: str) -> Iterator[None]:
        """A turn as long as this is entered; waits `seconds` for it, within the deadline.

        Raises Problem 429 with this detail if the wait was in vain.
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
    """The turns of this application."""

    def __init__(self) -> None:
        self.search = Turns(seconds=1.0)
        self.batch = Turns(seconds=5.0)


def turns() -> AllTurns:
    """The turns of this application."""
    found: AllTurns = current_app.extensions[EXTENSION]
    return found


def refusal(detail: str) -> Problem:
    """429 to one who has as much under way as they may."""
    tally.add(REFUSALS, "turn")
    return Problem(TOO_MANY_REQUESTS, detail, headers=RETRY_AFTER)


def init_app(app: Flask) -> None:
    """Have no turns taken yet."""
    app.extensions[EXTENSION] = AllTurns()
