"""Tickets: who a stream is for, in the address that Pushpin requests its next page from.

Pushpin sends that request without the client's headers, and answers several streams with one
request if their paths are equal, whatever follows a question mark: so the ticket is in the path.

It is signed with our keys, and counts only together with Pushpin's own signature, so that an
address from a log opens nothing. It lasts no longer than the access token that the stream began
with, and every statement checks that its session or personal token still counts.
"""

import re
import time
from typing import Final, NamedTuple, Self

from app.auth.policies import call_as
from app.core.principal import Principal, granted
from app.core.problem_kinds import NOT_FOUND
from app.core.problems import Problem, invalid_token
from app.web import cursors, grip
from app.web.request import current

LONGEST_SECONDS: Final = 15 * 60
"""A client then comes again and shows a token, also one whose token never expires."""

LONGEST: Final = 400
"""Characters of a ticket."""

PURPOSE: Final = "ticket"
_ID: Final = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
CONTENT: Final = re.compile(f"({_ID}) ({_ID})? ({_ID})? ([0-9]{{1,12}}) ([0-9.]{{1,64}})", re.ASCII)


class Ticket(NamedTuple):
    """A user and their session or personal token, until when they may read, and from where on."""

    user_id: str
    session_id: str | None
    token_id: str | None
    until: int
    """In seconds since 1970."""
    place: str
    """Digits and dots, for the feed that it is a ticket of."""

    @classmethod
    def issue(cls, principal: Principal, place: str) -> Self:
        """Return a ticket that lasts as long as the access token, and 15 minutes at most."""
        until = time.time() + LONGEST_SECONDS
        if principal.ends_at is not None:
            until = min(until, principal.ends_at)
        if principal.expires_at is not None:
            until = min(until, principal.expires_at.timestamp())
        return cls(principal.user_id, principal.session_id, principal.token_id, int(until), place)

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Return the ticket with this text; None unless this service has signed it."""
        sealed = cursors.Sealed.parse(text) if len(text) <= LONGEST else None
        content = CONTENT.fullmatch(sealed.text) if sealed else None
        if sealed is None or content is None or not sealed.is_for(PURPOSE):
            return None
        user_id, session_id, token_id, until, place = content.groups()
        return cls(user_id, session_id, token_id, int(until), place)

    @property
    def seconds(self) -> int:
        """How long it lasts; 0 if it is over."""
        return max(0, self.until - int(time.time()))

    def __str__(self) -> str:
        ids = f"{self.user_id} {self.session_id or ''} {self.token_id or ''}"
        return cursors.seal(f"{ids} {self.until} {self.place}", PURPOSE)


def require_ticket(text: str) -> Ticket:
    """Return the ticket with this text. Raises Problem 401 if it is not valid, or is over."""
    ticket = Ticket.parse(text)
    if ticket is None or not ticket.seconds:
        raise invalid_token("The ticket is not valid here, or it is over.")
    return ticket


def by_ticket() -> None:
    """Let Pushpin call with a ticket that still lasts, to read.

    Raises Problem 404 for everybody else, as if there were nothing here, and 401 as
    `require_ticket` does.
    """
    incoming = current()
    if not grip.can_hold(incoming):
        raise Problem(NOT_FOUND)
    ticket = require_ticket((incoming.view_args or {}).get("ticket", ""))
    scopes = granted(["tasks:read"])
    call_as(Principal(ticket.user_id, False, scopes, ticket.token_id, None, ticket.session_id))
