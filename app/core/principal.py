"""The user of the current request: what its access token permits, and who has to know of it.

The API calls permissions scopes, as RFC 6750 does.
"""

import threading
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from datetime import datetime
from typing import Final, Literal, NamedTuple, get_args

Permission = Literal["tasks:read", "tasks:write", "account"]

PERMISSIONS: Final[tuple[Permission, ...]] = get_args(Permission)

SAFE: Final = frozenset({"GET", "HEAD"})

Listener = Callable[[str], bool]
"""Takes the id of the user and returns whether the request of this thread may go on."""


def required(method: str) -> Permission:
    """Return the permission that a method needs for rows of any kind."""
    return "tasks:read" if method in SAFE else "tasks:write"


def granted(scopes: Iterable[str]) -> frozenset[str]:
    """Return the permissions of these scopes; writing includes reading, as responses show rows."""
    given = frozenset(scopes)
    return given | {"tasks:read"} if "tasks:write" in given else given


class Principal(NamedTuple):
    """The authenticated user of a request; `external` for the token of another issuer.

    `scopes` are the permissions of a personal access token or of another issuer's token; None means
    all, as for a sign-in. Only personal access tokens have `token_id` and `expires_at`, and only
    those of a sign-in here have `session_id`. `signed_in_at` is when another issuer's
    user signed in, and `ends_at` when an access token expires, in seconds since 1970.
    """

    user_id: str
    external: bool
    scopes: frozenset[str] | None = None
    token_id: str | None = None
    expires_at: datetime | None = None
    session_id: str | None = None
    signed_in_at: float | None = None
    ends_at: float | None = None


class PresentedToken:
    """The id of the request's personal access token, or of the session of its access token.

    Every statement of the request checks that these still count, and that the account is not
    disabled, and sets `checked`.
    """

    def __init__(self, principal: Principal) -> None:
        self.id: Final = principal.token_id
        self.session_id: Final = principal.session_id
        self.checked = False


PRESENTED: Final[ContextVar[PresentedToken | None]] = ContextVar("presented", default=None)
"""The token of the current request; None if it has none."""


class _Thread(threading.local):
    listener: Listener | None = None


_thread: Final = _Thread()


def listen(listener: Listener) -> None:
    """Call this listener for each request of this thread.

    app/server listens, to share its threads fairly between users. Other servers do not, and then
    every request goes on.
    """
    _thread.listener = listener


def may_go_on(user_id: str) -> bool:
    """Report the user of this thread's request; False if the user has too many threads already."""
    return _thread.listener is None or _thread.listener(user_id)
