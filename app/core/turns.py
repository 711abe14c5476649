"""Run expensive work, searches and batches, one request at a time for each user.

Further requests of the user wait briefly and then get 429, so that they do not occupy threads.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock, Semaphore
from typing import Final
from weakref import WeakValueDictionary

from app.core import deadline
from app.core.metrics import tally
from app.core.metrics.families import REFUSALS
from app.core.problem_kinds import TOO_MANY_REQUESTS
from app.core.problems import Problem

RETRY_AFTER: Final = {"Retry-After": "1"}


class Turns:
    """One semaphore for each user in this process, while it is held or waited for."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.lock = Lock()
        self.held: WeakValueDictionary[str, Semaphore] = WeakValueDictionary()

    @contextmanager
    def turn(self, user_id: str, detail: str) -> Iterator[None]:
        """Hold the user's semaphore in a `with` block; wait at most `seconds`, and until the
        deadline.

        Raises Problem 429 with this detail if the wait times out.
        """
        with self.lock:
            mine = self.held.setdefault(user_id, Semaphore())
        if not mine.acquire(timeout=max(0.0, min(self.seconds, deadline.left()))):
            raise refusal(detail)
        try:
            yield
        finally:
            mine.release()


SEARCHES: Final = Turns(seconds=1.0)
BATCHES: Final = Turns(seconds=5.0)


def refusal(detail: str) -> Problem:
    """Return 429 for a user with too many requests in progress, and count it."""
    tally.add(REFUSALS, "turn")
    return Problem(TOO_MANY_REQUESTS, detail, headers=RETRY_AFTER)
