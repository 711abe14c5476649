"""What another issuer's token says of itself: that it is an access token, and what it may do.

Source: RFC 8725, sections 3.11 and 3.12; RFC 9068, sections 2 and 4.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from app.core.permissions import PERMISSIONS, granted

ACCESS_TOKENS: Final = ("jwt", "at+jwt")
"""The `typ` headers that an access token may have, without `application/` and in lower case."""

FOREIGN_TO_ACCESS_TOKENS: Final = ("cnf", "events", "at_hash", "c_hash", "s_hash")
"""Claims that no bearer token has: `cnf` binds it to a key that the client has to prove (RFC 7800),
which is not looked at here; `events` makes it a notice, such as that of a sign-out (RFC 8417); the
hashes belong to ID tokens (OpenID Connect Core, section 3.3.2.11).
"""

OTHER_USES: Final = {
    "typ": ("id", "refresh", "offline", "logout"),  # Keycloak
    "token_use": ("id", "refresh"),  # Amazon Cognito
}
"""Claims by which issuers tell their other tokens apart, in lower case."""

OF_OPENID: Final = frozenset({"openid", "profile", "email", "address", "phone", "offline_access"})
"""Scopes of OpenID Connect, which are about who the user is and not about any API."""


def require_access_token(header: Mapping[str, Any], claims: Mapping[str, Any]) -> None:
    """Raise ValueError for a token of another kind, or one that only its holder may present."""
    kind = header.get("typ", "jwt")
    if not isinstance(kind, str) or kind.lower().removeprefix("application/") not in ACCESS_TOKENS:
        raise ValueError("typ")
    if any(name in claims for name in FOREIGN_TO_ACCESS_TOKENS):
        raise ValueError("not a bearer token")
    for name, uses in OTHER_USES.items():
        if str(claims.get(name)).lower() in uses:
            raise ValueError(name)


def scopes(claims: Mapping[str, Any], mapping: Iterable[tuple[str, str]]) -> frozenset[str] | None:
    """What the token may be used for here; None for everything.

    With a mapping of the issuer's names to ours, what it names of these and nothing else. Without
    one, what it names by our names; everything if it has no scopes, or those of OpenID Connect
    alone. Raises ValueError for scopes that are none.
    """
    named = _named(claims.get("scope")) | _named(claims.get("scp"))
    pairs = tuple(mapping)
    if pairs:
        return granted(ours for theirs, ours in pairs if theirs in named)
    return granted(named.intersection(PERMISSIONS)) if named - OF_OPENID else None


def _named(claim: object) -> frozenset[str]:
    """The scopes of one claim: a text with spaces (RFC 8693, section 4.2) or a list of texts."""
    names = claim.split(" ") if isinstance(claim, str) else [] if claim is None else claim
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError("scope")
    return frozenset(filter(None, names))
