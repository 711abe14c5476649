"""Counts of events: in the memory of this process, or shared by all processes in Redis.

The package `limits` talks to Redis, in one round trip for each count. Decision 0055 says why those
in memory, which have a fixed number of keys, are not of that package.
"""

import logging
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from threading import Lock
from typing import Final, TypeVar

from limits.errors import ConfigurationError as StorageConfigurationError
from limits.errors import StorageError
from limits.storage import storage_from_string
from limits.strategies import MovingWindowRateLimiter

from app.core.config import ConfigurationError

MEMORY: Final = "memory://"
PATIENCE_SECONDS: Final = 0.5
AWAY_SECONDS: Final = 10

MINUTE: Final = 60
MOST_KEYS: Final = 50_000
"""Keys that one counter holds, in some 10 MB."""

Answer = TypeVar("Answer")

logger = logging.getLogger(__name__)


def minute() -> int:
    """The current minute, counted from 1970."""
    return int(time.time() // MINUTE)


def seconds_left() -> int:
    """Seconds until the next minute of the clock, rounded up."""
    return MINUTE - int(time.time() % MINUTE)


class Limit:
    """A number of requests a minute, of what `name` says: a user or an address."""

    def __init__(self, amount: int, name: str) -> None:
        self.amount = amount
        self.name = name
        self.policy = f'"{name}";q={amount};w={MINUTE}'
        """The value of the RateLimit-Policy header."""


class PresentMinute:
    """Counts of each key in the current minute of the clock.

    All keys are dropped when the next minute begins, and the oldest when there are more than
    MOST_KEYS. A hit takes constant time.
    """

    def __init__(self) -> None:
        self.minute = 0
        self.counts: OrderedDict[str, int] = OrderedDict()
        self.lock = Lock()

    def hit(self, key: str, amount: int = 1) -> int:
        """Add to the count of the key, and return it."""
        with self.lock:
            if (now := minute()) != self.minute:
                self.minute, self.counts = now, OrderedDict()
            self.counts[key] = count = self.counts.get(key, 0) + amount
            if len(self.counts) > MOST_KEYS:
                self.counts.popitem(last=False)
            return count


class LastMinute:
    """The latest `most` times of each key within the last minute, for at most MOST_KEYS keys."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.times: OrderedDict[str, deque[float]] = OrderedDict()
        self.lock = Lock()

    def hit(self, key: str) -> None:
        """Record that the key occurred now."""
        now = time.monotonic()
        with self.lock:
            self.times.setdefault(key, deque(maxlen=self.most)).append(now)
            self.times.move_to_end(key)
            while self._has_surplus(now):
                self.times.popitem(last=False)

    def _has_surplus(self, now: float) -> bool:
        """Whether the least recent key has expired or exceeds MOST_KEYS."""
        oldest = next(iter(self.times.values()))
        return oldest[-1] <= now - MINUTE or len(self.times) > MOST_KEYS

    def wait(self, key: str) -> float:
        """Seconds until the key has fewer than `most` times within a minute; 0 if it has now."""
        times = self.times.get(key)
        if times is None or len(times) < self.most:
            return 0
        return max(0, times[0] + MINUTE - time.monotonic())


class Shared:
    """The storage at `uri`; without one, or while it is unavailable, this process counts."""

    def __init__(self, uri: str) -> None:
        options = {"socket_connect_timeout": PATIENCE_SECONDS, "socket_timeout": PATIENCE_SECONDS}
        self.limiter: MovingWindowRateLimiter | None = None
        if uri != MEMORY:
            storage = storage_from_string(uri, wrap_exceptions=True, **options)
            self.limiter = MovingWindowRateLimiter(storage)
        self.retry_at = 0.0
        """When a storage that failed is tried again; 0 while it answers."""

    def ask(
        self,
        question: Callable[..., Answer],
        here: Callable[..., Answer],
        key: str,
        *arguments: object,
    ) -> Answer:
        """`question(limiter, key, *arguments)`, or `here(key, *arguments)` without the storage.

        A storage that failed is tried again after AWAY_SECONDS, by one thread at a time.
        """
        if self.limiter is None or time.monotonic() < self.retry_at:
            return here(key, *arguments)
        if self.retry_at:  # other threads count here while this one tries
            self.retry_at = time.monotonic() + AWAY_SECONDS
        try:
            answer = question(self.limiter, key, *arguments)
        except StorageError:
            self.retry_at = time.monotonic() + AWAY_SECONDS
            logger.warning("the storage of rate limits is away; counting in this process")
            return here(key, *arguments)
        self.retry_at = 0.0
        return answer


def connect(uri: str) -> Shared:
    """The counts at RATELIMIT_STORAGE_URI. Raises ConfigurationError for a URI that cannot be used.

    Whether the storage answers shows only when something is counted.
    """
    try:
        return Shared(uri)
    except StorageConfigurationError:
        message = "RATELIMIT_STORAGE_URI names a storage whose client is not installed"
        raise ConfigurationError(message) from None
    except ValueError:
        raise ConfigurationError("RATELIMIT_STORAGE_URI expects a valid URL") from None
