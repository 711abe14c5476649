"""The limit of failed sign-ins: ten within a minute from one address or for one account."""

import hashlib
import math
import time
from typing import Final

from flask import Flask, current_app
from limits import RateLimitItemPerMinute
from limits.strategies import MovingWindowRateLimiter

from app.web.counters import LastMinute
from app.web.networks import caller_address
from app.web.request import current
from app.web.request_limits import refusal
from app.web.shared_counts import Shared

FAILED_SIGN_INS: Final = RateLimitItemPerMinute(10)
SIGN_INS: Final = "sign_in_limits"


class SignInLimits:
    """Counts failed sign-ins in a moving window."""

    def __init__(self, shared: Shared) -> None:
        self.shared = shared
        self.here = LastMinute(FAILED_SIGN_INS.amount)

    def check(self, keys: list[str]) -> None:
        """Raise Problem 429 if one of the keys has reached the limit."""
        for key in keys:
            wait = self.shared.ask(_wait, self.here.wait, key)
            if wait > 0:
                detail = "Too many sign-ins have failed, for this account or from this address."
                raise refusal("sign-in", math.ceil(wait), detail)

    def count(self, keys: list[str]) -> None:
        """Count one failure for each of the keys."""
        for key in keys:
            self.shared.ask(lambda redis, key: redis.hit(FAILED_SIGN_INS, key), self.here.hit, key)


def _wait(redis: MovingWindowRateLimiter, key: str) -> float:
    if redis.test(FAILED_SIGN_INS, key):
        return 0
    return max(1, redis.get_window_stats(FAILED_SIGN_INS, key).reset_time - time.time())


def sign_in_keys(email: str) -> list[str]:
    """The keys that an attempt counts for: the caller's address and the account, as a hash."""
    account = hashlib.sha256(email.lower().encode()).hexdigest()
    return [f"sign-in:{caller_address(current())}", f"account:{account}"]


def sign_in_limits() -> SignInLimits:
    """The current application's counts of failed sign-ins."""
    limits: SignInLimits = current_app.extensions[SIGN_INS]
    return limits


def init_app(app: Flask, shared: Shared) -> None:
    """Count this application's failed sign-ins."""
    app.extensions[SIGN_INS] = SignInLimits(shared)
