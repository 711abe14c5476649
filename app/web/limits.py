"""Rate limits: requests of one user and from one address, and failed sign-ins.

The headers follow draft-ietf-httpapi-ratelimit-headers (11), the problem's 429 RFC 6585.
"""

import hashlib
import math
import re
import time
from contextlib import suppress
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

from flask import Flask, current_app
from limits import RateLimitItemPerMinute
from limits.errors import ConfigurationError as StorageConfigurationError
from limits.strategies import MovingWindowRateLimiter

from app.core.config import ConfigurationError, Settings
from app.core.metrics import tally
from app.core.metrics.families import REFUSALS
from app.core.problem_kinds import TOO_MANY_REQUESTS
from app.core.problems import Problem
from app.web.counters import MINUTE, LastMinute, Limit, PresentMinute, Shared, minute, seconds_left
from app.web.exchange import Request, current

LIMITED_PATH: Final = "/v1/"
FAILED_SIGN_INS: Final = RateLimitItemPerMinute(10)
NO_ADDRESS: Final = "unknown"
LONGEST_NODE: Final = 128
"""An address of IPv6 with a zone, a port and quotation marks is half as long."""
BRACKETED: Final = re.compile(r"\[([^\[\]]*)\](?::[^:]*)?")
WEIGHED_BYTES: Final = 16 * 1024
"""A request counts once more for each further so many bytes of its body."""
LEAST_DIGITS: Final = len(str(WEIGHED_BYTES))
PASSWORD_SHARE: Final = 10
LEAST_PASSWORDS: Final = 60
"""Of the requests of an address a tenth may have a password hashed, and so many in any case."""
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

    def by_password(self) -> None:
        """Have so many passwords of one address hashed in a minute. Raises Problem 429."""
        if not self.address.amount:
            return
        most = max(LEAST_PASSWORDS, self.address.amount // PASSWORD_SHARE)
        key = f"password:{caller_address(current())}"
        if self.shared.ask(_count, self.here.hit, key, 1) > most:
            detail = f"At most {most} passwords a minute are taken of one address."
            raise refusal(self.address.name, seconds_left(), detail)

    def check(self, incoming: Request, limit: Limit, who: str, weight: int = 1) -> None:
        """Count one request, which weighs as much as so many. Raises Problem 429 if it is too much.

        None weighs more than all that is taken in a minute, so that each is taken in some minute.
        """
        if not limit.amount:
            return
        count = self._count(incoming, limit, who, min(weight, limit.amount))
        if count > limit.amount:
            detail = f"At most {limit.amount} requests a minute are taken of one {limit.name}"
            detail += f"; this one counts as {weight}." if weight > 1 else "."
            raise refusal(limit.name, seconds_left(), detail)

    def count_more(self, user_id: str, weight: int) -> int:
        """Count work of a request that has been counted already, as if it were so many requests.

        For work whose amount shows only while it is done: the chunks of an import, a body of
        unknown length, the time of a search. Returns how many seconds the user has to wait before
        there may be more of it, 0 while there is budget left. Raises nothing, so that what is done
        already can be told of; the caller ends or refuses what it does.
        """
        incoming, limit = current(), self.user
        if not limit.amount or weight < 1:
            return 0
        count = self._count(incoming, limit, user_id, min(weight, limit.amount))
        return seconds_left() if count > limit.amount else 0

    def _count(self, incoming: Request, limit: Limit, who: str, amount: int) -> int:
        """Count so many requests, and keep for the headers what is left then."""
        count = self.shared.ask(_count, self.here.hit, f"{limit.name}:{who}", amount)
        others = [met for met in incoming.limits if met[1] is not limit]
        incoming.limits = [*others, (max(0, limit.amount - count), limit)]
        return count


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
                raise refusal("sign-in", math.ceil(wait))

    def count(self, keys: list[str]) -> None:
        """Count one failure for each of the keys."""
        for key in keys:
            self.shared.ask(_fail, self.here.hit, key)


def refusal(limit: str, seconds: int, detail: str | None = None) -> Problem:
    """Count a refusal by this limit, and return the 429 that says in how many seconds to retry."""
    tally.add(REFUSALS, limit)
    return Problem(TOO_MANY_REQUESTS, detail, headers={"Retry-After": str(seconds)})


def _count(redis: MovingWindowRateLimiter, key: str, amount: int = 1) -> int:
    return redis.storage.incr(f"{key}:{minute()}", MINUTE, amount)


def _wait(redis: MovingWindowRateLimiter, key: str) -> float:
    if redis.test(FAILED_SIGN_INS, key):
        return 0
    return max(1, redis.get_window_stats(FAILED_SIGN_INS, key).reset_time - time.time())


def _fail(redis: MovingWindowRateLimiter, key: str) -> None:
    redis.hit(FAILED_SIGN_INS, key)


def network(node: str) -> str:
    """Whom a node of X-Forwarded-For stands for: of IPv6, the /64 that a single subscriber has all
    of (RFC 6177).

    It may have a port, brackets, quotation marks or a zone, as proxies write them (RFC 7239,
    section 6). All that are no address (`unknown`, `_hidden`, anything else) are one client, or
    whoever may choose them would never meet a limit.
    """
    return _network(node) if len(node) <= LONGEST_NODE else NO_ADDRESS


@lru_cache(maxsize=1024)
def _network(node: str) -> str:
    bare = node.strip(' \t"')
    if not bare:
        return ""  # nobody says, as on a socket of Unix
    bracketed = BRACKETED.fullmatch(bare)
    host = (bracketed[1] if bracketed else bare).partition("%")[0]
    for candidate in (host, host.rpartition(":")[0]):  # with a port, it is no address yet
        with suppress(ValueError):
            return _subscriber(ip_address(candidate))
    return NO_ADDRESS


def _subscriber(address: IPv4Address | IPv6Address) -> str:
    if isinstance(address, IPv4Address):
        return str(address)
    return str(address.ipv4_mapped or address.packed[:8].hex(":", 2))


def caller_address(incoming: Request) -> str:
    """Where the request comes from, as limits see it."""
    return network((incoming.remote_addr or "")[:LONGEST_ADDRESS])


def sign_in_keys(email: str) -> list[str]:
    """Whom an attempt counts against: the address it comes from and the account it is for."""
    account = hashlib.sha256(email.lower().encode()).hexdigest()
    return [f"sign-in:{caller_address(current())}", f"account:{account}"]


def by_user() -> None:
    """Take so many requests of one user, wherever they come from; a long one counts as several.

    Raises Problem 429.
    """
    incoming = current()
    _check_user(incoming, weight_of(incoming))


def by_user_whatever_the_size() -> None:
    """As `by_user`, where another step counts what the body costs. Raises Problem 429."""
    _check_user(current(), 1)


def _check_user(incoming: Request, weight: int) -> None:
    if principal := incoming.principal:
        limits = request_limits()
        limits.check(incoming, limits.user, principal.user_id, weight)


def weight_of(incoming: Request) -> int:
    """As how many requests one counts: one, and one for each further 16 KiB of its body."""
    text = incoming.environ.get("CONTENT_LENGTH", "")
    if len(text) < LEAST_DIGITS:
        return 1
    return weight_of_bytes(incoming.content_length or 0)


def weight_of_bytes(length: int) -> int:
    """As how many requests a body of this length counts."""
    return 1 + max(0, length - 1) // WEIGHED_BYTES


def count_length(length: int) -> None:
    """Count a body whose length showed only when it was read. Raises Problem 429."""
    principal = current().principal
    if principal is None:
        return
    if wait := request_limits().count_more(principal.user_id, weight_of_bytes(length) - 1):
        raise refusal("user", wait)


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
