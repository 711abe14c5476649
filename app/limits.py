"""Rate limits: requests of one user and from one address, and failed sign-ins.

The headers follow draft-ietf-httpapi-ratelimit-headers (11), the problem's 429 RFC 6585.
"""

import hashlib
import math
import time
from functools import lru_cache
from ipaddress import IPv6Address
from typing import Final

from flask import Flask, current_app
from limits import RateLimitItemPerMinute
from limits.errors import ConfigurationError as StorageConfigurationError
from limits.strategies import MovingWindowRateLimiter

from app import tally
from app.config import ConfigurationError, Settings
from app.counters import MINUTE, LastMinute, Limit, PresentMinute, Shared, minute, seconds_left
from app.exchange import Request, current
from app.metrics.families import REFUSALS
from app.problems import TOO_MANY_REQUESTS, Problem

LIMITED_PATH: Final = "/v1/"
FAILED_SIGN_INS: Final = RateLimitItemPerMinute(10)
REQUESTS: Final = "request_limits"
SIGN_INS: Final = "sign_in_limits"
LONGEST_ADDRESS: Final = 64
"""Characters that two addresses are told apart by; none has as many."""


class RequestLimits:
    """Counts the requests of each minute."""

    def __init__(self, settings: Settings, shared: Shared) -> None:
        self.user = Limit(settings.ratelimit_per_user, "user")
        self.address = Limit(settings.ratelimit_per_address, "address")
        self.shared = shared
        self.here = PresentMinute()

    def by_address(self) -> None:
        """Take so many requests from one address, whatever they ask for. Raises Problem 429."""
        incoming = current()
        if incoming.path.startswith(LIMITED_PATH):
            self.check(incoming, self.address, caller_address(incoming))

    def check(self, incoming: Request, limit: Limit, who: str) -> None:
        """Count one request. Raises Problem 429 if it is one too many."""
        if not limit.amount:
            return
        count = self.shared.ask(_count, self.here.hit, f"{limit.name}:{who}")
        incoming.limits.append((max(0, limit.amount - count), limit))
        if count > limit.amount:
            tally.add(REFUSALS, limit.name)
            detail = f"At most {limit.amount} requests a minute are taken of one {limit.name}."
            headers = {"Retry-After": str(seconds_left())}
            raise Problem(TOO_MANY_REQUESTS, detail, headers=headers)


class SignInLimits:
    """Counts failed sign-ins: ten within a minute from one address or for one account."""

    def __init__(self, shared: Shared) -> None:
        self.shared = shared
        self.here = LastMinute(FAILED_SIGN_INS.amount)

    def check(self, keys: list[str]) -> None:
        """Raise Problem 429 if one of the keys has failed too often of late."""
        for key in keys:
            wait = self.shared.ask(_wait, self.here.wait, key)
            if wait > 0:
                tally.add(REFUSALS, "sign-in")
                raise Problem(TOO_MANY_REQUESTS, headers={"Retry-After": str(math.ceil(wait))})

    def count(self, keys: list[str]) -> None:
        """Count one failure for each of the keys."""
        for key in keys:
            self.shared.ask(_fail, self.here.hit, key)


def _count(redis: MovingWindowRateLimiter, key: str) -> int:
    return redis.storage.incr(f"{key}:{minute()}", MINUTE)


def _wait(redis: MovingWindowRateLimiter, key: str) -> float:
    if redis.test(FAILED_SIGN_INS, key):
        return 0
    return max(1, redis.get_window_stats(FAILED_SIGN_INS, key).reset_time - time.time())


def _fail(redis: MovingWindowRateLimiter, key: str) -> None:
    redis.hit(FAILED_SIGN_INS, key)


@lru_cache(maxsize=1024)
def network(address: str) -> str:
    """Whom an address stands for: of IPv6, the /64 that a single subscriber has all of (RFC 6177).

    Some proxies add the port. What is no address at all stands for itself.
    """
    if address.count(":") == 1:
        return address.partition(":")[0]
    try:
        known = IPv6Address(address)
    except ValueError:
        return address
    return str(known.ipv4_mapped or known.packed[:8].hex(":", 2))


def caller_address(incoming: Request) -> str:
    """Where the request comes from, as limits see it."""
    return network((incoming.remote_addr or "")[:LONGEST_ADDRESS])


def sign_in_keys(email: str) -> list[str]:
    """Whom an attempt counts against: the address it comes from and the account it is for."""
    account = hashlib.sha256(email.lower().encode()).hexdigest()
    return [f"sign-in:{caller_address(current())}", f"account:{account}"]


def by_user() -> None:
    """Take so many requests of one user, wherever they come from. Raises Problem 429."""
    incoming = current()
    if principal := incoming.principal:
        limits = request_limits()
        limits.check(incoming, limits.user, principal.user_id)


def request_limits() -> RequestLimits:
    """The counts of this application's requests."""
    limits: RequestLimits = current_app.extensions[REQUESTS]
    return limits


def sign_in_limits() -> SignInLimits:
    """The counts of this application's failed sign-ins."""
    limits: SignInLimits = current_app.extensions[SIGN_INS]
    return limits


def init_app(app: Flask, settings: Settings) -> None:
    """Count where RATELIMIT_STORAGE_URI says. Raises ConfigurationError if that cannot be.

    The address is looked at before all else, so that a flood of tokens costs no verification.
    """
    try:
        shared = Shared(settings.ratelimit_storage_uri)
    except StorageConfigurationError:
        message = "RATELIMIT_STORAGE_URI names a storage whose client is not installed"
        raise ConfigurationError(message) from None
    except ValueError:
        raise ConfigurationError("RATELIMIT_STORAGE_URI expects a valid URL") from None
    app.extensions[REQUESTS] = limits = RequestLimits(settings, shared)
    app.extensions[SIGN_INS] = SignInLimits(shared)
    app.before_request(limits.by_address)
