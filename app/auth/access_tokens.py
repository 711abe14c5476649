"""Issue and verify access tokens: this service's own (HS256) and another issuer's (JWKS).

The algorithms are fixed and every claim is checked, as RFC 8725 asks of users of RFC 7519.
"""

import hashlib
import time
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from threading import Lock
from typing import Any, Final
from uuid import UUID, uuid5

import jwt
from jwt.algorithms import OKPAlgorithm
from jwt.exceptions import InvalidSignatureError, PyJWKClientConnectionError

from app.auth.claims import require_access_token, scopes_of
from app.auth.jwks import KeySet
from app.core.config import Settings
from app.core.principal import Principal
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


with suppress(ValueError):  # PyJWT 2.15 only has the older name, EdDSA
    jwt.register_algorithm("Ed25519", OKPAlgorithm())


class TokenVerifier:
    """Verifies access tokens, and caches the result.

    Own tokens stay in the cache until they expire, those of another issuer for five minutes.
    """

    def __init__(self, settings: Settings, own: Sequence[Keys]) -> None:
        self.own = own
        self.issuer = settings.jwt_issuer
        self.audience = settings.jwt_audience
        self.scopes = settings.jwt_scopes
        self.keys = KeySet(settings.jwt_jwks_url) if settings.jwt_jwks_url else None
        self.verified: OrderedDict[bytes, tuple[Principal, float]] = OrderedDict()
        self.lock = Lock()

    @property
    def issues(self) -> bool:
        """Whether this service issues tokens of its own."""
        return bool(self.own)

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
        except (jwt.PyJWTError, ValueError, TypeError, KeyError):
            raise invalid_token() from None
        self._remember(digest, principal, claims["exp"] + LEEWAY_SECONDS)
        return principal

    def issue(
        self,
        user_id: str,
        *,
        seconds: int = ACCESS_SECONDS,
        now: int | None = None,
        under: Keys | None = None,
    ) -> str:
        """Return an access token for the user; the same second and keys give the same token.

        `now` is in seconds since 1970. Raises Problem 401 if this service issues no tokens.
        """
        if not self.own:
            raise invalid_token("This service takes another issuer's tokens only.")
        issued = int(time.time()) if now is None else now
        claims = {
            "iss": OWN_ISSUER,
            "aud": OWN_ISSUER,
            "sub": user_id,
            "iat": issued,
            "exp": issued + seconds,
        }
        keys = under or self.own[0]
        return jwt.encode(claims, keys.secret, OWN_ALGORITHM, {"kid": keys.id})

    def _decode(self, token: str) -> tuple[Principal, dict[str, Any]]:
        header = jwt.get_unverified_header(token)
        if header["alg"] == OWN_ALGORITHM and self.own:
            claims = self._own_claims(token, header.get("kid"))
            return Principal(str(UUID(claims["sub"])), external=False), claims
        if header["alg"] in EXTERNAL_ALGORITHMS and self.keys and self.issuer and self.audience:
            claims = self._external_claims(token, header, self.keys, self.issuer, self.audience)
            user_id = uuid5(ISSUERS, f"{self.issuer}\n{claims['sub']}")
            scopes = scopes_of(claims, self.scopes)
            return Principal(str(user_id), external=True, scopes=scopes), claims
        raise ValueError("algorithm")

    def _external_claims(
        self, token: str, header: dict[str, Any], keys: KeySet, issuer: str, audience: str
    ) -> dict[str, Any]:
        """Return the claims of another issuer's token, verified with whichever key signed it."""
        algorithm: str = header["alg"]
        for key in keys.candidates(algorithm, header.get("kid")):
            with suppress(InvalidSignatureError):
                claims = self._claims(token, key, [algorithm], issuer, audience)
                require_access_token(header, claims)
                return claims
        raise ValueError("key")

    def _own_claims(self, token: str, key_id: str | None) -> dict[str, Any]:
        """Return the claims of an own token, verified with the secret that its `kid` names.

        Every secret is tried for a token without a known `kid`, as earlier releases set none.
        """
        named = [keys for keys in self.own if keys.id == key_id]
        *others, last = named or self.own
        for keys in others:
            with suppress(InvalidSignatureError):
                return self._claims(token, keys.secret, [OWN_ALGORITHM], OWN_ISSUER, OWN_ISSUER)
        return self._claims(token, last.secret, [OWN_ALGORITHM], OWN_ISSUER, OWN_ISSUER)

    def _claims(
        self, token: str, key: Any, algorithms: list[str], issuer: str, audience: str
    ) -> dict[str, Any]:
        claims: dict[str, Any] = jwt.decode(
            token,
            key,
            algorithms=algorithms,
            issuer=issuer,
            audience=audience,
            leeway=LEEWAY_SECONDS,
            options={"require": list(REQUIRED_CLAIMS)},
        )
        if not claims["sub"] or claims["exp"] - claims["iat"] > MAX_SECONDS:
            raise ValueError("lifetime")
        return claims

    def _remember(self, digest: bytes, principal: Principal, until: float) -> None:
        if principal.external:  # the issuer may withdraw the key earlier
            until = min(until, time.time() + REMEMBERED_SECONDS)
        with self.lock:
            self.verified[digest] = (principal, until)
            if len(self.verified) > CACHED_TOKENS:
                self.verified.popitem(last=False)
