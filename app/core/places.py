"""Places for requests that take long by nature: long polls, exports and imports.

The worker of app/server gives such requests threads of their own. On any other thread, also under
another server, they never hold all of `WEB_THREADS`: the last one is left to short requests.
"""

import threading
from collections import Counter
from typing import Final, Self

from flask import Flask

from app.core.config import Settings

POLLS: Final = "places_to_wait"
TRANSFERS: Final = "places_to_transfer"


def for_polls(threads: int) -> int:
    """Places for long polls, of a process with so many WEB_THREADS.

    At least two, so that no user has all of them.
    """
    return max(2, threads)


def for_transfers(threads: int) -> int:
    """Places for exports and imports, of a process with so many WEB_THREADS; likewise."""
    return max(2, threads // 4)


def for_passwords(threads: int) -> int:
    """Passwords that are hashed at once, of a process with so many WEB_THREADS.

    Hashing takes a processor and 32 MB for a while, and anyone may ask for it.
    """
    return max(1, threads // 2)


class NoPlace(Exception):
    """All places are taken, or all threads that may be."""


class OwnPlaceTaken(NoPlace):
    """The user holds as many places as one user may."""


class _Thread(threading.local):
    is_reserved = False


_thread: Final = _Thread()


def reserve_thread() -> None:
    """Mark this thread as one that serves nothing but long requests."""
    _thread.is_reserved = True


class CommonThreads:
    """Threads that serve all kinds of requests: how many long requests may still begin on them."""

    def __init__(self, threads: int) -> None:
        self.free = threads - 1
        self.lock = threading.Lock()


class Places:
    """So many places, and so many of them for one user at most."""

    def __init__(self, total: int, of_user: int, common: CommonThreads) -> None:
        self.total = total
        self.of_user = of_user
        self.common = common
        self.taken: Counter[str] = Counter()
        """How many each user has; nothing is kept of a user without one."""

    def take(self, user_id: str) -> "Place":
        """A place, to be released. Raises NoPlace, OwnPlaceTaken; never waits."""
        is_common = not _thread.is_reserved
        with self.common.lock:
            if self.taken[user_id] >= self.of_user:
                raise OwnPlaceTaken
            if self.free == 0 or (is_common and self.common.free <= 0):
                self._forget(user_id)
                raise NoPlace
            self.taken[user_id] += 1
            self.common.free -= is_common
        return Place(self, user_id, is_common)

    @property
    def free(self) -> int:
        """How many places nobody has."""
        return self.total - self.taken.total()

    def give_back(self, user_id: str, is_common: bool) -> None:
        """Only a place itself does this."""
        with self.common.lock:
            self.taken[user_id] -= 1
            self._forget(user_id)
            self.common.free += is_common

    def _forget(self, user_id: str) -> None:
        if not self.taken[user_id]:
            del self.taken[user_id]


class Place:
    """One that is taken, until it is released or left as a context."""

    def __init__(self, places: Places, user_id: str, is_common: bool) -> None:
        self.places = places
        self.user_id = user_id
        self.is_common = is_common
        self.released = False

    def release(self) -> None:
        """Give it back; once, however often this is called by its one holder."""
        if not self.released:
            self.released = True
            self.places.give_back(self.user_id, self.is_common)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def init_app(app: Flask, settings: Settings) -> None:
    """Make the places of this process.

    An export holds a connection while it reads: where the pool is small, one is left to others.
    """
    threads = settings.web_threads
    common = CommonThreads(threads)
    polls = for_polls(threads)
    connections = settings.db_pool_size + settings.db_max_overflow
    transfers = max(1, min(for_transfers(threads), connections - 1))
    app.extensions[POLLS] = Places(polls, polls // 2, common)
    app.extensions[TRANSFERS] = Places(transfers, 1, common)
