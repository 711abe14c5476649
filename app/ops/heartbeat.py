"""The sign of life of the workers of this host: a file, whose time is when one was well.

A worker that is about to be busy for a while sets a time in the future, and writes nothing then.
"""

import os
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from app.core.config import Settings

FRESH_SECONDS: Final = 60.0
"""How old a sign of life may be."""


def file_of(settings: Settings) -> Path:
    """Return WORKER_HEALTH_FILE, or else a file of this account among the temporary ones."""
    if settings.worker_health_file:
        return Path(settings.worker_health_file)
    return Path(tempfile.gettempdir()) / f"tasks-api-worker.{os.getuid()}"


def beat(file: Path, busy_seconds: float = 0.0) -> None:
    """Note that a worker is well, and still will be in so many seconds. Raises OSError.

    The file is replaced, not written to: anyone may have put a link in its place.
    """
    until = time.time() + busy_seconds
    descriptor, name = tempfile.mkstemp(prefix=f"{file.name}.", dir=file.parent)
    try:
        os.close(descriptor)
        os.utime(name, (until, until))
        os.replace(name, file)
    except OSError:
        with suppress(OSError):
            os.unlink(name)
        raise


def is_alive(file: Path) -> bool:
    """Whether a worker of this host was well within the last minute."""
    try:
        return time.time() - file.lstat().st_mtime < FRESH_SECONDS
    except OSError:
        return False
