"""Limit how many long requests run at once: long polls, exports and imports.

app/server reserves threads for them. On other threads, and under other servers, they never occupy
all of WEB_THREADS: one thread is left for short requests.
"""

import threading
from collections import Counter
from contextlib import ExitStack
from typing import Final

from flask import Flask

from app.core.config import Settings

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
    """Return how many passwords such a process may hash at once.

    A hash needs a CPU core and 32 MB for a while, and anyone can ask for one.
    """
    return max(1, threads // 2)


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


class CommonThreads:
    """Counts how many long requests may still start on threads that serve all requests."""

    def __init__(self, threads: int) -> None:
        self.free = threads - 1
        self.lock = threading.Lock()


class Places:
    """A limited number of places, of which one user may hold `of_user`."""

    def __init__(self, total: int, of_user: int, common: CommonThreads) -> None:
        self.total = total
        self.of_user = of_user
        self.common = common
        self.taken: Counter[str] = Counter()
        """Places by user; users without a place have no entry."""

    def take(self, user_id: str) -> Place:
        """Take a place without waiting; the caller closes it. Raises NoPlace, OwnPlaceTaken."""
        is_common = not _thread.is_reserved
        with self.common.lock:
            if self.taken[user_id] >= self.of_user:
                raise OwnPlaceTaken
            if self.free == 0 or (is_common and self.common.free <= 0):
                self._forget(user_id)
                raise NoPlace
            self.taken[user_id] += 1
            self.common.free -= is_common
        place = Place()
        place.callback(self._give_back, user_id, is_common)
        return place

    @property
    def free(self) -> int:
        """How many places are free."""
        return self.total - self.taken.total()

    def _give_back(self, user_id: str, is_common: bool) -> None:
        with self.common.lock:
            self.taken[user_id] -= 1
            self._forget(user_id)
            self.common.free += is_common

    def _forget(self, user_id: str) -> None:
        if not self.taken[user_id]:
            del self.taken[user_id]


def init_app(app: Flask, settings: Settings) -> None:
    """Make the places of this process.

    A running export holds a connection, so one connection of a small pool is left for others.
    """
    threads = settings.web_threads
    common = CommonThreads(threads)
    polls = for_polls(threads)
    connections = settings.db_pool_size + settings.db_max_overflow
    transfers = max(1, min(for_transfers(threads), connections - 1))
    app.extensions[POLLS] = Places(polls, polls // 2, common)
    app.extensions[TRANSFERS] = Places(transfers, 1, common)
