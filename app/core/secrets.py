"""Keys derived from the secrets, one for each purpose.

Everything new is made with the keys of JWT_SECRET. What was made with those of JWT_SECRETS_ACCEPTED
stays valid, so that operators can rotate the secret without signing users out.
"""

import hashlib
import hmac
from base64 import urlsafe_b64encode
from typing import Final, NamedTuple, Self

from flask import Flask, current_app

SETTING: Final = "KEYS"
ID_BYTES: Final = 6


class Keys(NamedTuple):
    """The keys of one secret."""

    id: str
    """The `kid` of its access tokens (RFC 7515, section 4.1.4), which reveals nothing about it."""
    secret: str
    cursor: bytes
    fingerprint: bytes
    refresh_token: bytes
    personal_token: bytes

    @classmethod
    def derive(cls, secret: str) -> Self:
        """Derive the keys of a secret; the same secret gives the same keys."""

        def key(purpose: str) -> bytes:
            return hmac.digest(secret.encode(), purpose.encode(), hashlib.sha256)

        return cls(
            urlsafe_b64encode(key("KEY_ID")[:ID_BYTES]).decode(),
            secret,
            key("CURSOR_KEY"),
            key("FINGERPRINT_KEY"),
            key("REFRESH_TOKEN_KEY"),
            key("PERSONAL_TOKEN_KEY"),
        )

    def __repr__(self) -> str:
        return f"Keys({self.id})"


def accepted() -> tuple[Keys, ...]:
    """Return all accepted keys, those of JWT_SECRET first."""
    keys: tuple[Keys, ...] = current_app.config[SETTING]
    return keys


def present() -> Keys:
    """Return the keys of JWT_SECRET, which everything new is made with."""
    return accepted()[0]


def init_app(app: Flask, *secrets: str) -> None:
    """Set the secrets of the application: the first for everything new, the others accepted."""
    app.config[SETTING] = tuple(Keys.derive(secret) for secret in dict.fromkeys(secrets))
