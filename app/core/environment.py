"""Loading the settings of a process, ending it if they are wrong, warning of what looks wrong."""

import os
import re
import sys
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from difflib import get_close_matches
from ipaddress import ip_address
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import dotenv

from app.core.config import FAILED_TO_LOAD, ROOT, ConfigurationError, Settings, variable_of
from app.core.database_url import is_here

OTHERS: Final = ("DATABASE_URL_POOLED", "LOG_LEVELS", "PG", "POSTGRES")
"""What names of other programs' settings begin with that are almost the same as one of ours."""

SHORTEST: Final = 6
"""Characters: names shorter than this, such as PORTS, resemble too many others."""

LEAST_ALIKE: Final = 0.85
"""Lowest similarity that counts, from 0 to 1 for equal names (difflib)."""


def load() -> Settings:
    """Return the settings of the environment and, outside production, of the file `.env`.

    Ends the process if they are wrong.
    """
    production = os.environ.get("APP_ENV", "").strip() == "production"
    with stopping_the_start():
        if not production and "FLASK_SKIP_DOTENV" not in os.environ:
            load_dotenv(ROOT / ".env")
        return Settings.from_environment(os.environ)


@contextmanager
def stopping_the_start() -> Iterator[None]:
    """Turn a ConfigurationError into the end of the process.

    Standard error gets one line, and one for each setting that seems misspelt. The exit status is
    FAILED_TO_LOAD.
    """
    try:
        yield
    except ConfigurationError as error:
        lines = [str(error), *misspelt_settings()]
        sys.stderr.write("".join(f"Configuration: {line}\n" for line in lines))
        raise SystemExit(FAILED_TO_LOAD) from None


def load_dotenv(path: Path) -> None:
    """Set the variables of the file that the environment does not have.

    A byte order mark and Windows line ends are ignored, because editors add them. Raises
    ConfigurationError if the file cannot be read or is not UTF-8.
    """
    try:
        dotenv.load_dotenv(path, encoding="utf-8-sig")
    except OSError as error:
        message = f"{path} cannot be read ({error.strerror}): mend its permissions, or remove it"
        raise ConfigurationError(message) from None
    except ValueError:  # other bytes than UTF-8, or the U+0000 of UTF-16 in a name or value
        raise ConfigurationError(f"{path} is no text in UTF-8: save it as UTF-8") from None


def misspelt_settings() -> list[str]:
    """Return a warning for each variable whose name is almost that of a setting."""
    found = misspelt(os.environ, {variable_of(item) for item in fields(Settings)})
    return [
        f"{name} is not a setting and has no effect: is {meant} meant?"
        for name, meant in found.items()
    ]


def misspelt(names: Iterable[str], settings: Collection[str]) -> dict[str, str]:
    """Return the misspelt names and the setting that each most likely means."""
    found = {}
    for name in sorted({*names}.difference(settings)):
        if len(name) < SHORTEST or name.startswith(OTHERS):
            continue
        upper = name.upper().replace("-", "_")
        for meant in get_close_matches(upper, settings, n=1, cutoff=LEAST_ALIKE):
            # With another word before or after it, it is the name of something else.
            if not re.fullmatch(f"(.+_)?{meant}(_.+|[0-9]+)?", name):
                found[name] = meant
    return found


def without_mail(settings: Settings) -> list[str]:
    """Return a warning if the service cannot send mail."""
    if settings.sends_mail:
        return []
    return ["MAIL_URL is not set: requests that need mail are answered 503 (mail-unavailable)"]


def exposed_development(settings: Settings, addresses: Iterable[object]) -> list[str]:
    """Return a warning if, outside production, others reach this service or its database.

    `addresses` are those that gunicorn listens on.
    """
    reach = [f"listens on {place}" for place in map(_outside, addresses) if place]
    if settings.database_url and not is_here(urlsplit(settings.database_url)):
        reach.append("uses a database on another host")
    if settings.production or not reach:
        return []
    said = f"APP_ENV is {settings.app_env}: the service {' and '.join(reach)}"
    return [f"{said}; set APP_ENV=production where others are served"]


def _outside(address: object) -> str | None:
    """Return the host of gunicorn's address; None for loopback addresses and Unix sockets."""
    host = address[0] if isinstance(address, tuple) else "localhost"
    try:
        return None if host == "localhost" or ip_address(host).is_loopback else host
    except ValueError:
        return str(host)
