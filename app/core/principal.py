"""Who the current request comes from, and the personal access token it came with."""

from contextvars import ContextVar
from datetime import datetime
from typing import Final, NamedTuple


class Principal(NamedTuple):
    """The user of a request; `external` if another issuer's token names them.

    `scopes` limit what a personal access token or another issuer's token may be used for; they are
    None for a sign-in, which may do everything. Personal access tokens have an id and may expire.
    """

    user_id: str
    external: bool
    scopes: frozenset[str] | None = None
    token_id: str | None = None
    expires_at: datetime | None = None


class PresentedToken:
    """A personal access token that a request came with, by its id.

    Every statement of the request checks that it is still valid; `checked` once one has done so.
    """

    def __init__(self, token_id: str) -> None:
        self.id: Final = token_id
        self.checked = False


PRESENTED: Final[ContextVar[PresentedToken | None]] = ContextVar("presented", default=None)
"""The personal access token of the current request, if it came with one."""
