"""The user of the current request, and its personal access token."""

from contextvars import ContextVar
from datetime import datetime
from typing import Final, NamedTuple


class Principal(NamedTuple):
    """The authenticated user of a request; `external` for the token of another issuer.

    `scopes` are the permissions of a personal access token or of another issuer's token; None means
    all, as for a sign-in. Only personal access tokens have `token_id` and `expires_at`.
    """

    user_id: str
    external: bool
    scopes: frozenset[str] | None = None
    token_id: str | None = None
    expires_at: datetime | None = None


class PresentedToken:
    """The id of the request's personal access token.

    Every statement of the request checks that the token is still valid, and sets `checked`.
    """

    def __init__(self, token_id: str) -> None:
        self.id: Final = token_id
        self.checked = False


PRESENTED: Final[ContextVar[PresentedToken | None]] = ContextVar("presented", default=None)
"""The personal access token of the current request; None if it has none."""
