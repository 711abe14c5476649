"""A random secret in a file, shared by the processes of a checkout that has no JWT_SECRET."""

import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path
from tempfile import mkstemp
from typing import Final

from app.core.config import ConfigurationError
from app.core.setting_fields import is_weak

RANDOM_BYTES: Final = 48
LONGEST: Final = 1024


def shared_secret(path: Path) -> str:
    """Return the secret in this file; create the file, readable by its owner only, if missing.

    Processes that create it at the same time get the same secret. Raises ConfigurationError.
    """
    try:
        if not os.path.lexists(path):
            _create(path)
        secret = _read(path)
    except OSError as error:
        message = f"JWT_SECRET is required, as {path} cannot be used ({error.strerror})"
        raise ConfigurationError(message) from None
    if secret is None or is_weak(secret):
        message = f"{path} is no secret file of its owner alone: remove it, or set JWT_SECRET"
        raise ConfigurationError(message)
    return secret


def _create(path: Path) -> None:
    """Write the secret under another name first, so that no process reads half a file."""
    descriptor, name = mkstemp(prefix=f"{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(RANDOM_BYTES))
        with suppress(FileExistsError):  # another process was first
            os.link(name, path)
    finally:
        os.unlink(name)


def _read(path: Path) -> str | None:
    """Return the content; None unless it is a regular file that only its owner can read."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, errors="replace") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or stat.S_IMODE(status.st_mode) & 0o077:
            return None
        return file.read(LONGEST).strip()
