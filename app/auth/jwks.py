"""Another issuer's public keys (RFC 7517), fetched when needed and never at a forger's bidding."""

import time
from collections.abc import Iterator, Sequence
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
"""Keys that are read of a set."""

MOST_TRIED: Final = 10
"""Keys that a token without a key id is tried with."""

ALGORITHMS: Final[dict[tuple[object, object], tuple[str, ...]]] = {
    ("RSA", None): ("RS256",),
    ("EC", "P-256"): ("ES256",),
    ("OKP", "Ed25519"): ("EdDSA", "Ed25519"),
    ("OKP", "Ed448"): ("EdDSA",),
}
"""What a key of this type and curve signs with, first by the name that PyJWT has for it.

`EdDSA` is the older name, of both curves (RFC 8037); `Ed25519` the newer of one (RFC 9864).
"""


class SigningKey(NamedTuple):
    """A public key, its id if it has one, and the algorithms whose signatures it verifies."""

    id: str | None
    algorithms: tuple[str, ...]
    key: Any

    @classmethod
    def read(cls, jwk: Any) -> "SigningKey | None":
        """The key, or None for one of another type or for another purpose (RFC 7517, section 5)."""
        try:
            algorithms = ALGORITHMS[jwk["kty"], jwk.get("crv")]
            if not _is_for(algorithms, jwk):
                return None
            key = PyJWK(jwk, algorithms[0]).key
        except (PyJWTError, LookupError, TypeError, ValueError, AttributeError):
            return None
        key_id = jwk.get("kid")
        return cls(key_id if isinstance(key_id, str) else None, algorithms, key)


class KeySet:
    """The key set at one URL, which no token can change.

    A token that none of the known keys has signed makes it look again, at most once a minute; when
    the issuer does not answer, the last known keys stay good for a day, and the next attempt waits.
    """

    def __init__(self, url: str) -> None:
        self.client = PyJWKClient(url, cache_jwk_set=False, timeout=TIMEOUT_SECONDS)
        self.lock = Lock()
        self.latest: tuple[SigningKey, ...] | None = None
        self.seen_at = self.renewed_at = self.looked_at = self.retry_at = 0.0

    def known(self) -> tuple[SigningKey, ...]:
        """The issuer's keys as they were within the hour, or as they were last seen.

        Raises PyJWKClientConnectionError where there are none or they were seen too long ago.
        """
        with self.lock:
            if self._stale or time.monotonic() - self.renewed_at >= LIFETIME_SECONDS:
                self._renew()
            if self.latest is None or self._stale:
                raise PyJWKClientConnectionError("the issuer's keys could not be fetched")
            return self.latest

    def candidates(self, algorithm: str, key_id: str | None) -> Iterator[Any]:
        """The keys that may have signed a token with this header, the likely ones first.

        If the set has keys with the token's id, no other is a candidate. A token without an id may
        be of any key, one with an unknown id of any key without one (RFC 7515, section 4.1.4). When
        all known candidates were tried, the issuer is asked again, at most once a minute.
        """
        keys = self.known()
        tried = _fitting(keys, algorithm, key_id)
        yield from (each.key for each in tried)
        if key_id is not None and any(each.id == key_id for each in keys):
            return
        again = _fitting(self._looked_again(), algorithm, key_id)
        yield from (each.key for each in again if each not in tried)

    @property
    def _stale(self) -> bool:
        return self.latest is None or time.monotonic() - self.seen_at > STALE_SECONDS

    def _looked_again(self) -> tuple[SigningKey, ...]:
        with self.lock:
            if time.monotonic() - self.looked_at >= COOLDOWN_SECONDS:
                self._renew()
            return self.latest or ()

    def _renew(self) -> None:
        now = time.monotonic()
        if now < self.retry_at:
            return
        try:
            self.latest = _read(self.client.fetch_data())
            self.seen_at = now
        except (PyJWTError, ValueError, OSError):
            self.retry_at = now + RETRY_SECONDS
        if self.latest is not None:
            self.renewed_at = self.looked_at = now


def _is_for(algorithms: Sequence[str], jwk: dict[str, Any]) -> bool:
    """Whether the key is there to verify signatures, of one of these algorithms."""
    return (
        jwk.get("alg", algorithms[0]) in algorithms
        and jwk.get("use", "sig") == "sig"
        and "verify" in jwk.get("key_ops", ("verify",))
    )


def _read(document: dict[str, Any]) -> tuple[SigningKey, ...]:
    """The keys of a set that are of use. Raises ValueError for a document without keys."""
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
