"""Keys derived from the secrets, one for each purpose; the secret file of development.

Everything new is made with the keys of JWT_SECRET. What was made with those of JWT_SECRETS_ACCEPTED
stays valid, so that operators can rotate the secret without signing users out.
"""

import hashlib
import hmac
import os
import stat
from base64 import urlsafe_b64encode
from contextlib import suppress
from pathlib import Path
from secrets import token_urlsafe
from tempfile import mkstemp
from typing import Final, NamedTuple, Self

from flask import Flask, current_app

from app.core.config import ConfigurationError
from app.core.setting_fields import is_weak

SETTING: Final = "KEYS"
ID_BYTES: Final = 6
RANDOM_BYTES: Final = 48
LONGEST_FILE: Final = 1024


class Keys(NamedTuple):
    """The keys of one secret."""

    id: str
    """The `kid` of its access tokens (RFC 7515, section 4.1.4), which reveals nothing about it."""
    secret: str
    cursor: bytes
    fingerprint: bytes
    refresh_token: bytes
    personal_token: bytes
    mail_token: bytes
    webhook: bytes

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
            key("MAIL_TOKEN_KEY"),
            key("WEBHOOK_KEY"),
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


def shared_secret(path: Path) -> str:
    """Return the secret in this file; create the file, readable by its owner only, if missing.

    Processes that create it at the same time get the same secret. Raises ConfigurationError.
    """
    try:
        if not os.path.lexists(path):
            _create_file(path)
        secret = _read_file(path)
    except OSError as error:
        message = f"JWT_SECRET is required, as {path} cannot be used ({error.strerror})"
        raise ConfigurationError(message) from None
    if secret is None or is_weak(secret):
        message = f"{path} is no secret file of its owner alone: remove it, or set JWT_SECRET"
        raise ConfigurationError(message)
    return secret


def _create_file(path: Path) -> None:
    """Write the secret under another name first, so that no process reads half a file."""
    descriptor, name = mkstemp(prefix=f"{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(token_urlsafe(RANDOM_BYTES))
        with suppress(FileExistsError):  # another process was first
            os.link(name, path)
    finally:
        os.unlink(name)


def _read_file(path: Path) -> str | None:
    """Return the content; None unless it is a regular file that only its owner can read."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, errors="replace") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or stat.S_IMODE(status.st_mode) & 0o077:
            return None
        return file.read(LONGEST_FILE).strip()
