"""The limits of mails that somebody may have sent to an address that need not be theirs.

They count what is asked for, not what is sent, so they do not tell which addresses have accounts.
Requests for a new password, which anybody may send, are counted apart: they keep nobody from
confirming an address.
"""

from typing import Final, NamedTuple

from flask import Flask, current_app
from limits import RateLimitItemPerHour

from app.web.attempts import Attempts, of_account
from app.web.networks import caller_address
from app.web.request import current
from app.web.shared_counts import Shared

LINKS: Final = RateLimitItemPerHour(5)
RESETS: Final = RateLimitItemPerHour(5, namespace="RESETS")
NOTICES: Final = RateLimitItemPerHour(5, namespace="NOTICES")
FROM_ONE: Final = RateLimitItemPerHour(50)
MAILS: Final = "mail_limits"


class MailLimits(NamedTuple):
    """Counts of mails by recipient, and by the network that asks for them."""

    links: Attempts
    resets: Attempts
    notices: Attempts
    callers: Attempts


def limit_links(recipient: str) -> None:
    """Count a mail that is to confirm an address. Raises Problem 429."""
    _limit(_limits().links, recipient)


def limit_resets(recipient: str) -> None:
    """Count a request for a new password. Raises Problem 429."""
    _limit(_limits().resets, recipient)


def may_tell(recipient: str) -> bool:
    """Count a notice; return whether it may be sent: at most five an hour to one address.

    Without a limit, whoever has signed up with the address of somebody else could send this person
    any number, by changing the password again and again.
    """
    notices, keys = _limits().notices, [of_account(recipient)]
    if notices.wait(keys) > 0:
        return False
    notices.count(keys)
    return True


def _limit(recipients: Attempts, recipient: str) -> None:
    counts = (
        (_limits().callers, [f"mails:{caller_address(current())}"]),
        (recipients, [of_account(recipient)]),
    )
    for attempts, keys in counts:
        attempts.check(keys)
    for attempts, keys in counts:
        attempts.count(keys)


def _limits() -> MailLimits:
    limits: MailLimits = current_app.extensions[MAILS]
    return limits


def init_app(app: Flask, shared: Shared) -> None:
    """Count the mails that are asked of this application."""
    for_one = "Too many mails were asked for, for this address."
    app.extensions[MAILS] = MailLimits(
        Attempts(shared, LINKS, "mail", for_one),
        Attempts(shared, RESETS, "mail", for_one),
        Attempts(shared, NOTICES, "mail", for_one),
        Attempts(shared, FROM_ONE, "mail", "Too many mails were asked for, from this network."),
    )
