"""Turns: of some kinds of work a user has one under way at a time, and the next waits for it.

The wait is short and ends with 429, so that nobody holds a thread by asking for more of the same.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import BoundedSemaphore, Lock
from typing import Final

from flask import Flask, current_app

from app import deadline, tally
from app.config import Settings
from app.metrics.families import REFUSALS
from app.problems import TOO_MANY_REQUESTS, Problem

EXTENSION: Final = "turns"
RETRY_AFTER: Final = {"Retry-After": "1"}


class Turns:
    """Lets each holder have so many turns at once in this process; others of theirs wait.

    What it remembers is no more than what is under way or waits.
    """

    def __init__(self, seconds: float, at_once: int = 1) -> None:
        self.seconds = seconds
        self.at_once = at_once
        self.lock = Lock()
        self.held: dict[str, tuple[BoundedSemaphore, int]] = {}
        """Of each holder the turns, and how many have one or wait for one."""

    @contextmanager
    def turn(self, holder: str, detail: str) -> Iterator[None]:
        """A turn as long as this is entered; waits `seconds` for it, within the deadline.

        Raises Problem 429 with this detail if the wait was in vain.
        """
        turns = self._join(holder)
        try:
            if not turns.acquire(timeout=max(0.0, min(self.seconds, deadline.left()))):
                raise refusal(detail)
            try:
                yield
            finally:
                turns.release()
        finally:
            self._leave(holder)

    def _join(self, holder: str) -> BoundedSemaphore:
        with self.lock:
            turns, count = self.held.get(holder) or (BoundedSemaphore(self.at_once), 0)
            self.held[holder] = (turns, count + 1)
            return turns

    def _leave(self, holder: str) -> None:
        with self.lock:
            turns, count = self.held.pop(holder)
            if count > 1:
                self.held[holder] = (turns, count - 1)


class AllTurns:
    """The turns of this application."""

    def __init__(self, settings: Settings) -> None:
        self.search = Turns(seconds=1.0)
        self.batch = Turns(seconds=5.0)
        self.password = Turns(seconds=2.0, at_once=max(1, settings.web_threads // 2))


def turns() -> AllTurns:
    """The turns of this application."""
    found: AllTurns = current_app.extensions[EXTENSION]
    return found


def refusal(detail: str) -> Problem:
    """429 to one who has as much under way as they may."""
    tally.add(REFUSALS, "turn")
    return Problem(TOO_MANY_REQUESTS, detail, headers=RETRY_AFTER)


def init_app(app: Flask, settings: Settings) -> None:
    """Have no turns taken yet."""
    app.extensions[EXTENSION] = AllTurns(settings)
