"""Counts of what may be attempted only so often within a minute or an hour, for several keys."""

import hashlib
import math
import time

from limits import RateLimitItem
from limits.strategies import MovingWindowRateLimiter

from app.web.counters import Latest
from app.web.request_limits import refusal
from app.web.shared_counts import Shared


class Attempts:
    """Counts attempts of each key in a moving window, and refuses those beyond the limit."""

    def __init__(self, shared: Shared, most: RateLimitItem, name: str, detail: str) -> None:
        """Refusals are counted in the metrics under the name, and say the detail."""
        self.shared = shared
        self.most = most
        self.name = name
        self.detail = detail
        self.here = Latest(most.amount, most.get_expiry())

    def check(self, keys: list[str]) -> None:
        """Raise Problem 429 if one of the keys has reached the limit."""
        if (wait := self.wait(keys)) > 0:
            raise refusal(self.name, math.ceil(wait), self.detail)

    def wait(self, keys: list[str]) -> float:
        """Seconds until none of the keys has reached the limit; 0 if none has."""
        return max(self.shared.ask(self._wait, self.here.wait, key) for key in keys)

    def count(self, keys: list[str]) -> None:
        """Count one attempt for each of the keys."""
        for key in keys:
            self.shared.ask(self._hit, self.here.hit, key)

    def _hit(self, redis: MovingWindowRateLimiter, key: str) -> object:
        return redis.hit(self.most, key)

    def _wait(self, redis: MovingWindowRateLimiter, key: str) -> float:
        if redis.test(self.most, key):
            return 0
        return max(1, redis.get_window_stats(self.most, key).reset_time - time.time())


def of_account(email: str) -> str:
    """A key for an address, as a hash."""
    return f"account:{hashlib.sha256(email.lower().encode()).hexdigest()}"
