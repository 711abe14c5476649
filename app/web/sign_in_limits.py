"""The limit of failed sign-ins: ten within a minute from one address or for one account."""

from typing import Final

from flask import Flask, current_app
from limits import RateLimitItemPerMinute

from app.web.attempts import Attempts, of_account
from app.web.networks import caller_address
from app.web.request import current
from app.web.shared_counts import Shared

FAILED_SIGN_INS: Final = RateLimitItemPerMinute(10)
SIGN_INS: Final = "sign_in_limits"


def sign_in_keys(email: str) -> list[str]:
    """The keys that an attempt counts for: the caller's address and the account, as a hash."""
    return [f"sign-in:{caller_address(current())}", of_account(email)]


def sign_in_limits() -> Attempts:
    """The current application's counts of failed sign-ins."""
    limits: Attempts = current_app.extensions[SIGN_INS]
    return limits


def failed_sign_ins(shared: Shared) -> Attempts:
    """Counts of failed sign-ins."""
    detail = "Too many sign-ins have failed, for this account or from this address."
    return Attempts(shared, FAILED_SIGN_INS, "sign-in", detail)


def init_app(app: Flask, shared: Shared) -> None:
    """Count this application's failed sign-ins."""
    app.extensions[SIGN_INS] = failed_sign_ins(shared)
