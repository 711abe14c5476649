"""Another issuer's public keys (RFC 7517): fetched, cached, and found for a token.

Forged tokens cannot cause more than one request a minute to the issuer.
"""

import logging
import time
from collections.abc import Iterator
from threading import Lock
from typing import Any, Final, NamedTuple

from jwt import PyJWK, PyJWKClient, PyJWTError
from jwt.exceptions import PyJWKClientConnectionError

LIFETIME_SECONDS: Final = 60 * 60
COOLDOWN_SECONDS: Final = 60
RETRY_SECONDS: Final = 10
STALE_SECONDS: Final = 24 * 60 * 60
TIMEOUT_SECONDS: Final = 5

MOST_KEYS: Final = 100
"""Keys that are read from a key set."""

MOST_TRIED: Final = 10
"""Keys that are tried for a token without a key id."""

ALGORITHMS: Final[dict[tuple[object, object], tuple[str, ...]]] = {
    ("RSA", None): ("RS256",),
    ("EC", "P-256"): ("ES256",),
    ("OKP", "Ed25519"): ("EdDSA", "Ed25519"),
    ("OKP", "Ed448"): ("EdDSA",),
}
"""The algorithms of a key by its type and curve; PyJWT's name is the first.

`EdDSA` is the older name for both curves (RFC 8037), `Ed25519` the newer one (RFC 9864).
"""

logger = logging.getLogger(__name__)


class SigningKey(NamedTuple):
    """A public key, its id if it has one, and the algorithms that it verifies."""

    id: str | None
    algorithms: tuple[str, ...]
    key: Any

    @classmethod
    def read(cls, jwk: Any) -> "SigningKey | None":
        """Return the key; None for another type or another purpose (RFC 7517, section 5)."""
        try:
            algorithms = ALGORITHMS[jwk["kty"], jwk.get("crv")]
            named = jwk.get("alg", algorithms[0]) in algorithms
            used = jwk.get("use", "sig") == "sig" and "verify" in jwk.get("key_ops", ("verify",))
            if not (named and used):
                return None
            key = PyJWK(jwk, algorithms[0]).key
        except (PyJWTError, LookupError, TypeError, ValueError, AttributeError):
            return None
        key_id = jwk.get("kid")
        return cls(key_id if isinstance(key_id, str) else None, algorithms, key)


class KeySet:
    """The cached key set of one fixed URL.

    A token that no cached key verifies causes a new request, at most once a minute. While the
    issuer does not answer, the cached keys stay valid for a day; requests are RETRY_SECONDS apart.
    """

    def __init__(self, url: str) -> None:
        self.client = PyJWKClient(url, cache_jwk_set=False, timeout=TIMEOUT_SECONDS)
        self.lock = Lock()
        self.latest: tuple[SigningKey, ...] | None = None
        self.seen_at = self.renewed_at = self.retry_at = 0.0

    def known(self) -> tuple[SigningKey, ...]:
        """Return the cached keys, after fetching them if they are older than an hour.

        Raises PyJWKClientConnectionError if there are none, or they are older than a day.
        """
        with self.lock:
            if self._stale or time.monotonic() - self.renewed_at >= LIFETIME_SECONDS:
                self._renew()
            if self.latest is None or self._stale:
                raise PyJWKClientConnectionError("the issuer's keys could not be fetched")
            return self.latest

    def candidates(self, algorithm: str, key_id: str | None) -> Iterator[Any]:
        """Yield the keys that may have signed a token with this header.

        If keys have the token's id, they are the only candidates. Any key may have signed a token
        without an id, and any key without an id a token whose id is unknown (RFC 7515, section
        4.1.4). After the cached candidates, the keys are fetched again, at most once a minute.
        """
        keys = self.known()
        tried = _fitting(keys, algorithm, key_id)
        yield from (each.key for each in tried)
        if key_id is not None and any(each.id == key_id for each in keys):
            return
        again = _fitting(self._refetched(), algorithm, key_id)
        yield from (each.key for each in again if each not in tried)

    @property
    def _stale(self) -> bool:
        return self.latest is None or time.monotonic() - self.seen_at > STALE_SECONDS

    def _refetched(self) -> tuple[SigningKey, ...]:
        with self.lock:
            if time.monotonic() - self.renewed_at >= COOLDOWN_SECONDS:
                self._renew()
            return self.latest or ()

    def _renew(self) -> None:
        now = time.monotonic()
        if now < self.retry_at:
            return
        try:
            self.latest = _read(self.client.fetch_data())
            self.seen_at = now
        except (PyJWTError, ValueError, OSError) as error:
            self.retry_at = now + RETRY_SECONDS
            logger.warning("the issuer's keys could not be fetched: %s", type(error).__name__)
        if self.latest == ():
            logger.warning("the issuer's key set holds no key that can be used: check JWT_JWKS_URL")
        if self.latest is not None:
            self.renewed_at = now


def _read(document: dict[str, Any]) -> tuple[SigningKey, ...]:
    """Return the usable keys of a set. Raises ValueError for a document without keys."""
    keys = document.get("keys")
    if not isinstance(keys, list) or not keys:
        raise ValueError("no key set")
    read = (SigningKey.read(jwk) for jwk in keys[:MOST_KEYS])
    return tuple(key for key in read if key)


def _fitting(
    keys: tuple[SigningKey, ...], algorithm: str, key_id: str | None
) -> tuple[SigningKey, ...]:
    if key_id is not None:
        named = tuple(key for key in keys if key.id == key_id)
        keys = named or tuple(key for key in keys if key.id is None)
    return tuple(key for key in keys if algorithm in key.algorithms)[:MOST_TRIED]
