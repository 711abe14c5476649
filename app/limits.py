"""Rate limits: ten failed sign-ins a minute from one address or for one account."""

import hashlib
import logging
import math
import time
from collections.abc import Callable
from typing import Final

from flask import Flask, current_app, request
from limits import RateLimitItemPerMinute
from limits.errors import ConfigurationError as StorageConfigurationError
from limits.errors import StorageError
from limits.storage import MemoryStorage, storage_from_string
from limits.strategies import MovingWindowRateLimiter, RateLimiter

from app.config import ConfigurationError, Settings
from app.problems import TOO_MANY_REQUESTS, Problem

FAILED_SIGN_INS: Final = RateLimitItemPerMinute(10)
PATIENCE_SECONDS: Final = 0.5
AWAY_SECONDS: Final = 10
EXTENSION: Final = "sign_in_limits"

logger = logging.getLogger(__name__)


class SignInLimits:
    """Counts failed sign-ins in the storage at `uri`; in this process while that is away."""

    def __init__(self, uri: str) -> None:
        options = {"socket_connect_timeout": PATIENCE_SECONDS, "socket_timeout": PATIENCE_SECONDS}
        storage = storage_from_string(uri, wrap_exceptions=True, **options)
        self.shared: RateLimiter = MovingWindowRateLimiter(storage)
        self.local: RateLimiter = MovingWindowRateLimiter(MemoryStorage())
        self.retry_at = 0.0

    def check(self, keys: list[str]) -> None:
        """Raise Problem 429 if one of the keys has failed too often of late."""
        for key in keys:
            wait = self._with_storage(_wait, key)
            if wait > 0:
                raise Problem(TOO_MANY_REQUESTS, headers={"Retry-After": str(math.ceil(wait))})

    def count(self, keys: list[str]) -> None:
        """Count one failure for each of the keys."""
        for key in keys:
            self._with_storage(_hit, key)

    def _with_storage(self, do: Callable[[RateLimiter, str], float], key: str) -> float:
        if time.monotonic() >= self.retry_at:
            try:
                return do(self.shared, key)
            except StorageError:
                self.retry_at = time.monotonic() + AWAY_SECONDS
                logger.warning("the storage of rate limits is away; counting in this process")
        return do(self.local, key)


def _wait(limiter: RateLimiter, key: str) -> float:
    """How many seconds until the key may try again; 0 for now."""
    if limiter.test(FAILED_SIGN_INS, key):
        return 0
    return max(1, limiter.get_window_stats(FAILED_SIGN_INS, key).reset_time - time.time())


def _hit(limiter: RateLimiter, key: str) -> float:
    return limiter.hit(FAILED_SIGN_INS, key)


def sign_in_keys(email: str) -> list[str]:
    """Whom an attempt counts against: the address it comes from and the account it is for."""
    account = hashlib.sha256(email.lower().encode()).hexdigest()
    return [f"address:{request.remote_addr}", f"account:{account}"]


def sign_in_limits() -> SignInLimits:
    """The counts of this application."""
    limits: SignInLimits = current_app.extensions[EXTENSION]
    return limits


def init_app(app: Flask, settings: Settings) -> None:
    """Count where RATELIMIT_STORAGE_URI says. Raises ConfigurationError if that cannot be."""
    try:
        app.extensions[EXTENSION] = SignInLimits(settings.ratelimit_storage_uri)
    except StorageConfigurationError:
        message = "RATELIMIT_STORAGE_URI names a storage whose client is not installed"
        raise ConfigurationError(message) from None
    except ValueError:
        raise ConfigurationError("RATELIMIT_STORAGE_URI expects a valid URL") from None
