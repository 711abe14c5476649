"""Where events are counted: in a Redis for all processes, or else in this process.

The package `limits` speaks to Redis, in one round trip for each count. Its storage in memory is not
used, as it looks through all keys every time and keeps those of a moving window for ever.
"""

import logging
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from threading import Lock
from typing import Final, TypeVar

from limits.errors import StorageError
from limits.storage import storage_from_string
from limits.strategies import MovingWindowRateLimiter

MINUTE: Final = 60
MEMORY: Final = "memory://"
PATIENCE_SECONDS: Final = 0.5
AWAY_SECONDS: Final = 10
MOST_KEYS: Final = 50_000
"""That one process counts at a time, which takes some 10 MB."""


Answer = TypeVar("Answer")

logger = logging.getLogger(__name__)


def minute() -> int:
    """The minute that it is, counted since 1970."""
    return int(time.time() // MINUTE)


def seconds_left() -> int:
    """How long this minute of the clock goes on, rounded up."""
    return MINUTE - int(time.time() % MINUTE)


class Limit:
    """How many requests a minute are taken of whom the name says."""

    def __init__(self, amount: int, name: str) -> None:
        self.amount = amount
        self.name = name
        self.policy = f'"{name}";q={amount};w={MINUTE}'
        """The limit as RateLimit-Policy has it."""


class PresentMinute:
    """How often each key came up in this minute of the clock.

    One number for each key, and all are forgotten together as the next minute begins. Of more than
    MOST_KEYS the oldest is forgotten before: the time is constant, and so is the space.
    """

    def __init__(self) -> None:
        self.minute = 0
        self.counts: OrderedDict[str, int] = OrderedDict()
        self.lock = Lock()

    def hit(self, key: str, amount: int = 1) -> int:
        """Count the key so many times, and say how often it came up by now."""
        with self.lock:
            if (now := minute()) != self.minute:
                self.minute, self.counts = now, OrderedDict()
            self.counts[key] = count = self.counts.get(key, 0) + amount
            if len(self.counts) > MOST_KEYS:
                self.counts.popitem(last=False)
            return count


class LastMinute:
    """The latest times of each key, at most so many and none older than a minute; of MOST_KEYS."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.times: OrderedDict[str, deque[float]] = OrderedDict()
        self.lock = Lock()

    def hit(self, key: str) -> None:
        """Note that the key came up now."""
        now = time.monotonic()
        with self.lock:
            self.times.setdefault(key, deque(maxlen=self.most)).append(now)
            self.times.move_to_end(key)
            while self._is_over(now):
                self.times.popitem(last=False)

    def _is_over(self, now: float) -> bool:
        """Whether the key that came up longest ago is not needed, or there is no room for it."""
        oldest = next(iter(self.times.values()))
        return oldest[-1] <= now - MINUTE or len(self.times) > MOST_KEYS

    def wait(self, key: str) -> float:
        """How many seconds until the key has come up less often within a minute; 0 for now."""
        times = self.times.get(key)
        if times is None or len(times) < self.most:
            return 0
        return max(0, times[0] + MINUTE - time.monotonic())


class Shared:
    """Asks the storage at `uri`; while there is none or it is away, this process counts instead."""

    def __init__(self, uri: str) -> None:
        options = {"socket_connect_timeout": PATIENCE_SECONDS, "socket_timeout": PATIENCE_SECONDS}
        self.limiter: MovingWindowRateLimiter | None = None
        if uri != MEMORY:
            storage = storage_from_string(uri, wrap_exceptions=True, **options)
            self.limiter = MovingWindowRateLimiter(storage)
        self.away = False
        self.retry_at = 0.0

    def ask(
        self,
        question: Callable[..., Answer],
        here: Callable[..., Answer],
        key: str,
        *arguments: object,
    ) -> Answer:
        """What the storage answers about the key, or else what this process does."""
        if self.limiter is None or time.monotonic() < self.retry_at:
            return here(key, *arguments)
        if self.away:
            self._wait_before_the_next()  # this thread tries, the others go on
        try:
            answer = question(self.limiter, key, *arguments)
        except StorageError:
            self.away = True
            self._wait_before_the_next()
            logger.warning("the storage of rate limits is away; counting in this process")
            return here(key, *arguments)
        self.away, self.retry_at = False, 0.0
        return answer

    def _wait_before_the_next(self) -> None:
        self.retry_at = time.monotonic() + AWAY_SECONDS
