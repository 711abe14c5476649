"""Limit how many requests run at once: long ones of all users, and expensive ones of one user.

Long are long polls, exports and imports, which take places. app/server reserves threads for them.
On other threads, and under other servers, they never occupy all of WEB_THREADS: one thread is left
for short requests.

Expensive are searches and batches, of which a user has one at a time. Further requests wait for
their turn briefly and then get 429, so that they do not occupy threads.
"""

import os
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from threading import Lock, Semaphore
from typing import Final
from weakref import WeakValueDictionary

from flask import Flask

from app.core import deadline
from app.core.config import Settings
from app.core.metrics import tally
from app.core.metrics.families import REFUSALS
from app.core.problem_kinds import TOO_MANY_REQUESTS
from app.core.problems import Problem

POLLS: Final = "places_to_wait"
TRANSFERS: Final = "places_to_transfer"


def for_polls(threads: int) -> int:
    """Return how many long polls a process with so many WEB_THREADS may hold.

    At least two, so that one user cannot hold all.
    """
    return max(2, threads)


def for_transfers(threads: int) -> int:
    """Return how many exports and imports such a process may run at once; at least two."""
    return max(2, threads // 4)


def for_passwords(threads: int) -> int:
    """Return how many threads such a process has for requests that hash a password."""
    return max(1, threads // 2)


def hashes_at_once(threads: int, processes: int) -> int:
    """Return how many passwords such a process may hash at once, of so many WEB_CONCURRENCY.

    A hash needs a CPU core and 32 MiB for a while, and anyone can ask for one. So all processes
    together hash no more at a time than there are cores, but each may hash one.
    """
    return max(1, min(for_passwords(threads), _cores() // processes))


def _cores() -> int:
    affinity = getattr(os, "sched_getaffinity", None)  # which macOS lacks
    return len(affinity(0)) if affinity else os.cpu_count() or 1


Place = ExitStack
"""A place that is taken until `close` or the end of its `with` block."""


class NoPlace(Exception):
    """All places are taken, or all threads that long requests may use."""


class OwnPlaceTaken(NoPlace):
    """The user holds as many places as one user may have."""


class _Thread(threading.local):
    is_reserved = False


_thread: Final = _Thread()


def reserve_thread() -> None:
    """Mark this thread as one that only serves long requests."""
    _thread.is_reserved = True


class Places:
    """A limited number of places, of which one user may hold `of_user`."""

    def __init__(self, total: int, of_user: int, common: Semaphore) -> None:
        self.total = total
        self.of_user = of_user
        self.common = common
        """How many may still start on threads that serve all requests."""
        self.lock = Lock()
        self.taken: Counter[str] = Counter()
        """Places by user; users without a place have no entry."""

    def take(self, user_id: str) -> Place:
        """Take a place without waiting; the caller closes it. Raises NoPlace, OwnPlaceTaken."""
        place = Place()
        with self.lock:
            if self.taken[user_id] >= self.of_user:
                raise OwnPlaceTaken
            if self.free == 0:
                raise NoPlace
            if not _thread.is_reserved:
                if not self.common.acquire(blocking=False):
                    raise NoPlace
                place.callback(self.common.release)
            self.taken[user_id] += 1
        place.callback(self._give_back, user_id)
        return place

    @property
    def free(self) -> int:
        """How many places are free."""
        return self.total - self.taken.total()

    def _give_back(self, user_id: str) -> None:
        with self.lock:
            self.taken -= Counter((user_id,))  # which keeps no zeros


class Turns:
    """One semaphore for each user in this process, while it is held or waited for."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.lock = Lock()
        self.held: WeakValueDictionary[str, Semaphore] = WeakValueDictionary()

    @contextmanager
    def turn(self, user_id: str, detail: str) -> Iterator[None]:
        """Hold the user's semaphore in a `with` block.

        Waits at most `seconds`, and until the deadline. Raises Problem 429 with this detail then.
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
    return Problem(TOO_MANY_REQUESTS, detail, headers={"Retry-After": "1"})


def init_app(app: Flask, settings: Settings) -> None:
    """Make the places of this process.

    A running export holds a connection, so one connection of a small pool is left for others.
    """
    threads = settings.web_threads
    common = Semaphore(threads - 1)
    polls = for_polls(threads)
    connections = settings.db_pool_size + settings.db_max_overflow
    transfers = max(1, min(for_transfers(threads), connections - 1))
    app.extensions[POLLS] = Places(polls, polls // 2, common)
    app.extensions[TRANSFERS] = Places(transfers, 1, common)
