"""Rate limits of requests, by user and by the network of their address.

Headers follow draft-ietf-httpapi-ratelimit-headers (11), the status 429 RFC 6585.
"""

from typing import Final

from flask import Flask, current_app
from limits.strategies import MovingWindowRateLimiter

from app.core.config import Settings
from app.core.metrics import tally
from app.core.metrics.families import REFUSALS
from app.core.problem_kinds import TOO_MANY_REQUESTS
from app.core.problems import Problem
from app.web.counters import MINUTE, Limit, PresentMinute, minute, seconds_left
from app.web.networks import caller_address
from app.web.request import Request, current
from app.web.shared_counts import Shared

LIMITED_PATH: Final = "/v1/"
WEIGHED_BYTES: Final = 16 * 1024
"""A request counts once more for each further 16 KiB of its body."""
PASSWORD_SHARE: Final = 10
LEAST_PASSWORDS: Final = 60
"""A tenth of an address's requests, and at least 60 a minute, may have a password hashed."""
REQUESTS: Final = "request_limits"


class RequestLimits:
    """Counts requests in fixed windows, the minutes of the clock."""

    def __init__(self, settings: Settings, shared: Shared) -> None:
        self.user = Limit(settings.ratelimit_per_user, "user")
        self.address = Limit(settings.ratelimit_per_address, "address")
        self.shared = shared
        self.here = PresentMinute()

    def by_address(self) -> None:
        """Count a request under /v1/ for its address. Raises Problem 429."""
        incoming = current()
        if incoming.path.startswith(LIMITED_PATH):
            self.check(incoming, self.address, caller_address(incoming))

    def by_password(self) -> None:
        """Count a password to be hashed for the caller's address. Raises Problem 429."""
        if not self.address.amount:
            return
        most = max(LEAST_PASSWORDS, self.address.amount // PASSWORD_SHARE)
        key = f"password:{caller_address(current())}"
        if self.shared.ask(_count, self.here.hit, key, 1) > most:
            detail = f"At most {most} passwords a minute are checked for one address."
            raise refusal(self.address.name, seconds_left(), detail)

    def check(self, incoming: Request, limit: Limit, who: str, weight: int = 1) -> None:
        """Count a request as `weight` requests of `who`. Raises Problem 429 beyond the limit.

        The weight is capped at the limit, so that every request is accepted in some minute.
        """
        if not limit.amount:
            return
        count = self._count(incoming, limit, who, min(weight, limit.amount))
        if count > limit.amount:
            detail = f"At most {limit.amount} requests a minute are accepted from one {limit.name}"
            detail += f"; this one counts as {weight}." if weight > 1 else "."
            raise refusal(limit.name, seconds_left(), detail)

    def count_more(self, user_id: str, weight: int) -> int:
        """Count further work of a request that has been counted, as `weight` requests.

        For work whose amount shows only while it is done: chunks of an import, a body of unknown
        length, the time of a search. Returns the seconds that the user has to wait for more of it,
        0 within the limit. Raises nothing, so that the caller can report what has been done.
        """
        incoming, limit = current(), self.user
        if not limit.amount or weight < 1:
            return 0
        count = self._count(incoming, limit, user_id, min(weight, limit.amount))
        return seconds_left() if count > limit.amount else 0

    def _count(self, incoming: Request, limit: Limit, who: str, amount: int) -> int:
        """Count, and keep what is left for the response headers."""
        count = self.shared.ask(_count, self.here.hit, f"{limit.name}:{who}", amount)
        others = [met for met in incoming.limits if met[1] is not limit]
        incoming.limits = [*others, (max(0, limit.amount - count), limit)]
        return count


def _count(redis: MovingWindowRateLimiter, key: str, amount: int = 1) -> int:
    return redis.storage.incr(f"{key}:{minute()}", MINUTE, amount)


def refusal(limit: str, seconds: int, detail: str | None = None) -> Problem:
    """429 with Retry-After in seconds, counted in the metrics under the limit's name."""
    tally.add(REFUSALS, limit)
    return Problem(TOO_MANY_REQUESTS, detail, headers={"Retry-After": str(seconds)})


def by_user(weight: int = 0) -> None:
    """Count a request for its user, as `weight` requests or by the length of its body.

    Raises Problem 429.
    """
    incoming = current()
    if principal := incoming.principal:
        limits = request_limits()
        weight = weight or weight_of_bytes(incoming.content_length or 0)
        limits.check(incoming, limits.user, principal.user_id, weight)


def weight_of_bytes(length: int) -> int:
    """The number of requests that one with a body of this length counts as."""
    return 1 + max(0, length - 1) // WEIGHED_BYTES


def count_length(length: int) -> None:
    """Count a chunked body by its length, once it is read. Raises Problem 429."""
    if principal := current().principal:
        wait = request_limits().count_more(principal.user_id, weight_of_bytes(length) - 1)
        if wait:
            raise refusal("user", wait)


def request_limits() -> RequestLimits:
    """The current application's counts of requests."""
    limits: RequestLimits = current_app.extensions[REQUESTS]
    return limits


def init_app(app: Flask, settings: Settings, shared: Shared) -> None:
    """Count this application's requests, by address before anything else is looked at.

    So a flood of invalid tokens costs no verification.
    """
    app.extensions[REQUESTS] = limits = RequestLimits(settings, shared)
    app.before_request(limits.by_address)
