"""Counts of events in the memory of this process, for a fixed number of keys (decision 0055)."""

import time
from collections import OrderedDict, deque
from threading import Lock
from typing import Final

MINUTE: Final = 60
MOST_KEYS: Final = 50_000
"""Keys that one counter holds, in some 10 MB."""


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


class Latest:
    """The latest `most` times of each key within a window, for at most MOST_KEYS keys."""

    def __init__(self, most: int, seconds: int) -> None:
        self.most = most
        self.seconds = seconds
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
        return oldest[-1] <= now - self.seconds or len(self.times) > MOST_KEYS

    def wait(self, key: str) -> float:
        """Seconds until the key has fewer than `most` times within the window; 0 if it has now."""
        times = self.times.get(key)
        if times is None or len(times) < self.most:
            return 0
        return max(0, times[0] + self.seconds - time.monotonic())
