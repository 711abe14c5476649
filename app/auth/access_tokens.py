"""Issue and verify access tokens: this service's own (HS256) and another issuer's (JWKS).

The algorithms are fixed and every claim is checked, as RFC 8725 asks of users of RFC 7519. That
another issuer's token is an access token, and which scopes it has, follows RFC 8725, sections 3.11
and 3.12, and RFC 9068, sections 2 and 4.
"""

import hashlib
import time
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from threading import Lock
from typing import Any, Final
from uuid import UUID, uuid5

import jwt
from jwt.algorithms import OKPAlgorithm
from jwt.exceptions import InvalidSignatureError, PyJWKClientConnectionError

from app.auth.jwks import KeySet
from app.core.config import Settings
from app.core.principal import PERMISSIONS, Principal, granted
from app.core.problem_kinds import ISSUER_UNAVAILABLE
from app.core.problems import Problem, invalid_token
from app.core.secrets import Keys

ACCESS_SECONDS: Final = 15 * 60
MAX_SECONDS: Final = 24 * 60 * 60
LEEWAY_SECONDS: Final = 30
OWN_ISSUER: Final = "tasks-api"
OWN_ALGORITHM: Final = "HS256"
EXTERNAL_ALGORITHMS: Final = ("RS256", "ES256", "EdDSA", "Ed25519")
REQUIRED_CLAIMS: Final = ("exp", "iat", "iss", "aud", "sub")
CACHED_TOKENS: Final = 4096
LONGEST_TOKEN: Final = 8192
"""Characters; gunicorn refuses longer headers."""

REMEMBERED_SECONDS: Final = 5 * 60
ISSUERS: Final = UUID("6e0c9d3c-3a51-5a5b-9b0e-3f6b6f0d9a52")
"""The UUIDv5 namespace for the ids of other issuers' users (RFC 9562, section 5.5)."""

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

with suppress(ValueError):  # PyJWT 2.15 only has the older name, EdDSA
    jwt.register_algorithm("Ed25519", OKPAlgorithm())


class TokenVerifier:
    """Verifies access tokens, and caches the result.

    Own tokens stay in the cache until they expire, those of another issuer for five minutes.
    """

    def __init__(self, settings: Settings, own: Sequence[Keys]) -> None:
        self.own = own
        """The keys of this service, without which it issues no tokens."""
        self.issuer = settings.jwt_issuer
        self.audience = settings.jwt_audience
        self.scopes = settings.jwt_scopes
        self.keys = KeySet(settings.jwt_jwks_url) if settings.jwt_jwks_url else None
        self.verified: OrderedDict[bytes, tuple[Principal, float]] = OrderedDict()
        self.lock = Lock()

    def verify(self, token: str) -> Principal:
        """Return the user of a valid token. Raises Problem 401, or 503 without issuer keys."""
        if len(token) > LONGEST_TOKEN:
            raise invalid_token()
        # Hashed, because a client can encode one signature in many ways, of any length.
        digest = hashlib.blake2b(token.encode(errors="replace"), digest_size=32).digest()
        remembered = self.verified.get(digest)
        if remembered and remembered[1] > time.time():
            return remembered[0]
        try:
            principal, claims = self._decode(token)
        except PyJWKClientConnectionError:
            raise Problem(ISSUER_UNAVAILABLE) from None
        except (jwt.PyJWTError, ValueError, TypeError, KeyError, OverflowError):
            raise invalid_token() from None
        self._remember(digest, principal, claims["exp"] + LEEWAY_SECONDS)
        return principal

    def issue(
        self,
        user_id: str,
        *,
        session_id: str | None = None,
        seconds: int = ACCESS_SECONDS,
        now: int | None = None,
        under: Keys | None = None,
    ) -> str:
        """Return an access token for the user; the same second and keys give the same token.

        It counts as long as its session lasts, if it has one. `now` is in seconds since 1970.
        Raises Problem 401 if this service issues no tokens.
        """
        if not self.own:
            raise invalid_token("This service takes another issuer's tokens only.")
        issued = int(time.time()) if now is None else now
        claims: dict[str, Any] = {
            "iss": OWN_ISSUER,
            "aud": OWN_ISSUER,
            "sub": user_id,
            "iat": issued,
            "exp": issued + seconds,
        }
        if session_id:
            claims["sid"] = session_id
        keys = under or self.own[0]
        return jwt.encode(claims, keys.secret, OWN_ALGORITHM, {"kid": keys.id})

    def _decode(self, token: str) -> tuple[Principal, dict[str, Any]]:
        header = jwt.get_unverified_header(token)
        algorithm, key_id = header["alg"], header.get("kid")
        if algorithm == OWN_ALGORITHM and self.own:
            # Earlier releases set no `kid`: every secret is tried for a token without a known one.
            own = [keys for keys in self.own if keys.id == key_id] or self.own
            secrets = (keys.secret for keys in own)
            claims = _claims(token, secrets, algorithm, OWN_ISSUER, OWN_ISSUER)
            session_id = str(UUID(str(claims["sid"]))) if "sid" in claims else None
            own_user = str(UUID(claims["sub"]))
            principal = Principal(own_user, external=False, session_id=session_id)
            return principal._replace(ends_at=float(claims["exp"])), claims
        if algorithm in EXTERNAL_ALGORITHMS and self.keys and self.issuer and self.audience:
            candidates = self.keys.candidates(algorithm, key_id)
            claims = _claims(token, candidates, algorithm, self.issuer, self.audience)
            require_access_token(header, claims)
            user_id = uuid5(ISSUERS, f"{self.issuer}\n{claims['sub']}")
            scopes = scopes_of(claims, self.scopes)
            signed_in_at = float(claims.get("auth_time", claims["iat"]))
            principal = Principal(str(user_id), True, scopes, signed_in_at=signed_in_at)
            return principal._replace(ends_at=float(claims["exp"])), claims
        raise ValueError("algorithm")

    def _remember(self, digest: bytes, principal: Principal, until: float) -> None:
        if principal.external:  # the issuer may withdraw the key earlier
            until = min(until, time.time() + REMEMBERED_SECONDS)
        with self.lock:
            self.verified[digest] = (principal, until)
            if len(self.verified) > CACHED_TOKENS:
                self.verified.popitem(last=False)


def _claims(
    token: str, keys: Iterable[Any], algorithm: str, issuer: str, audience: str
) -> dict[str, Any]:
    """Return the claims of a token, verified with whichever of the keys signed it."""
    for key in keys:
        with suppress(InvalidSignatureError):
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=[algorithm],
                issuer=issuer,
                audience=audience,
                leeway=LEEWAY_SECONDS,
                options={"require": list(REQUIRED_CLAIMS)},
            )
            if not claims["sub"] or claims["exp"] - claims["iat"] > MAX_SECONDS:
                raise ValueError("lifetime")
            return claims
    raise ValueError("key")


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
