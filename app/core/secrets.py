"""The keys that follow from a secret, one for each purpose.

Those of JWT_SECRET make all that is made; what those of JWT_SECRETS_ACCEPTED made is taken as well,
so that a secret can be changed while nobody notices.
"""

import hashlib
import hmac
from base64 import urlsafe_b64encode
from collections.abc import Iterable
from typing import Final, NamedTuple, Self

from flask import Flask, current_app

SETTING: Final = "KEYS"
ID_BYTES: Final = 6


class Keys(NamedTuple):
    """What follows from one secret."""

    id: str
    """The `kid` of its access tokens (RFC 7515, section 4.1.4), which gives nothing of it away."""
    secret: str
    cursor: bytes
    fingerprint: bytes
    refresh_token: bytes
    personal_token: bytes

    @classmethod
    def derive(cls, secret: str) -> Self:
        """The keys of this secret, always the same."""

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


def derived(secrets: Iterable[str]) -> tuple[Keys, ...]:
    """The keys of each secret, once."""
    return tuple(Keys.derive(secret) for secret in dict.fromkeys(secrets))


def accepted() -> tuple[Keys, ...]:
    """All keys that something may have been made under, the present ones first."""
    keys: tuple[Keys, ...] = current_app.config[SETTING]
    return keys


def present() -> Keys:
    """The keys that everything is made under."""
    return accepted()[0]


def init_app(app: Flask, *secrets: str) -> None:
    """Make everything under the first secret, and take what was made under any of them."""
    app.config[SETTING] = derived(secrets)
