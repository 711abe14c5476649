"""Checks of another issuer's claims: the token is an access token, and which scopes it has.

Source: RFC 8725, sections 3.11 and 3.12; RFC 9068, sections 2 and 4.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from app.core.principal import PERMISSIONS, granted

ACCESS_TOKENS: Final = ("jwt", "at+jwt")
"""Values of `typ` for access tokens, in lower case and without `application/`."""

NOT_OF_BEARER_TOKENS: Final = ("cnf", "events", "at_hash", "c_hash", "s_hash")
"""Claims that bearer tokens do not have.

`cnf` binds the token to a key that the client must prove (RFC 7800), which is not supported here.
`events` marks a security event such as a sign-out (RFC 8417). The hashes belong to ID tokens
(OpenID Connect Core, section 3.3.2.11).
"""

OTHER_USES: Final = {
    "typ": ("id", "refresh", "offline", "logout"),  # Keycloak
    "token_use": ("id", "refresh"),  # Amazon Cognito
}
"""Claims, with values in lower case, by which issuers mark tokens that are no access tokens."""

OF_OPENID: Final = frozenset({"openid", "profile", "email", "address", "phone", "offline_access"})
"""Scopes of OpenID Connect, which are about the user's identity and not about any API."""


def require_access_token(header: Mapping[str, Any], claims: Mapping[str, Any]) -> None:
    """Raise ValueError unless the token is a bearer access token."""
    kind = header.get("typ", "jwt")
    if not isinstance(kind, str) or kind.lower().removeprefix("application/") not in ACCESS_TOKENS:
        raise ValueError("typ")
    if any(name in claims for name in NOT_OF_BEARER_TOKENS):
        raise ValueError("not a bearer token")
    for name, uses in OTHER_USES.items():
        if str(claims.get(name)).lower() in uses:
            raise ValueError(name)


def scopes_of(
    claims: Mapping[str, Any], mapping: Iterable[tuple[str, str]]
) -> frozenset[str] | None:
    """Return the permissions that a token grants here; None for all of them.

    `mapping` has pairs of an issuer's scope and our permission; only mapped scopes count. Without a
    mapping, scopes with the names of our permissions count, and a token with no scopes but those of
    OpenID Connect has all permissions. Raises ValueError if the claims are not valid.
    """
    named = _named(claims.get("scope")) | _named(claims.get("scp"))
    pairs = tuple(mapping)
    if pairs:
        return granted(ours for theirs, ours in pairs if theirs in named)
    return granted(named.intersection(PERMISSIONS)) if named - OF_OPENID else None


def _named(claim: object) -> frozenset[str]:
    """Return the scopes in a claim: text with spaces (RFC 8693, section 4.2) or a list of texts."""
    names = claim.split(" ") if isinstance(claim, str) else [] if claim is None else claim
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError("scope")
    return frozenset(filter(None, names))
