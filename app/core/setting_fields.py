"""Kinds of settings: how the text of an environment variable is parsed, described and shown."""

import re
from collections.abc import Callable, Iterable
from dataclasses import field
from typing import Any, Final

from app.core.database_url import MASK, sqlalchemy_url, without_credentials
from app.core.hosts import trusted_host
from app.core.principal import PERMISSIONS
from app.core.secret_strength import is_weak

DATABASE: Final = "postgres://, postgresql:// or postgresql+psycopg2:// with host and database"


def setting(
    variable: str,
    default: Any,
    expects: str,
    parse: Callable[[str], Any],
    show: Callable[[Any], str] = str,
) -> Any:
    """Declare a dataclass field that is read from an environment variable.

    `expects` completes the error "<variable> expects ..." and is the README's text. `parse` raises
    ValueError for text that is not valid. `show` formats a value for operators and hides secrets.
    """
    metadata = {"variable": variable, "expects": expects, "parse": parse, "show": show}
    return field(default=default, metadata=metadata)


def choice(variable: str, default: str, *options: str) -> Any:
    """Declare a setting that has one of these values."""
    expects = f"{', '.join(options[:-1])} or {options[-1]}"
    return setting(variable, default, expects, matching("|".join(options)))


def integer(variable: str, default: int, low: int, high: int) -> Any:
    """Declare a setting that is a whole number from `low` to `high`."""
    parse = _number(int, r"[0-9]{1,12}", low, high)
    return setting(variable, default, f"{low} to {high}", parse)


def seconds(variable: str, default: float, low: float, high: float) -> Any:
    """Declare a setting that is a number of seconds, with at most three decimals."""
    parse = _number(float, r"[0-9]{1,6}(\.[0-9]{1,3})?", low, high)
    return setting(variable, default, f"{low} to {high}", parse)


def database(variable: str, expects: str = DATABASE) -> Any:
    """Declare a setting that is the URL of a PostgreSQL database; credentials are hidden."""
    return setting(variable, None, expects, sqlalchemy_url, without_credentials)


def matching(pattern: str) -> Callable[[str], str]:
    """Return a parser of text that matches the whole regular expression."""

    def parse(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError
        return text

    return parse


def host_names(text: str) -> tuple[str, ...]:
    """Parse the comma-separated hosts of TRUSTED_HOSTS."""
    return tuple(map(trusted_host, _words(text)))


def scopes(text: str) -> tuple[tuple[str, str], ...]:
    """Parse pairs `theirs=ours` that map an issuer's scopes to permissions of this service."""
    pairs = tuple((theirs, ours) for theirs, _, ours in (w.rpartition("=") for w in text.split()))
    # A comma in a name most likely separates two pairs.
    if not all(theirs and "," not in theirs and ours in PERMISSIONS for theirs, ours in pairs):
        raise ValueError
    return pairs


def secret(text: str) -> str:
    """Parse a secret that is strong enough to sign tokens."""
    if is_weak(text):
        raise ValueError
    return text


def secret_list(text: str) -> tuple[str, ...]:
    """Parse comma-separated secrets."""
    return tuple(map(secret, _words(text)))


def bearer_secret(text: str) -> str:
    """Parse a secret that fits into an Authorization header: visible ASCII without spaces."""
    return secret(matching(r"[\x21-\x7e]+")(text))


def joined(values: Iterable[str]) -> str:
    """Show a list, separated by commas."""
    return ",".join(values)


def joined_pairs(values: Iterable[tuple[str, str]]) -> str:
    """Show pairs as `scopes` parses them."""
    return " ".join(f"{theirs}={ours}" for theirs, ours in values)


def hidden(value: object) -> str:
    """Show that a secret is set, and nothing of it."""
    return MASK if value else ""


def without_query(url: str) -> str:
    """Show a URL with its query masked, because some issuers take access keys there."""
    end = re.search(r"[?#]", url)
    return f"{url[: end.start() + 1]}{MASK}" if end else url


def _number(
    of: Callable[[str], Any], pattern: str, low: float, high: float
) -> Callable[[str], Any]:
    def parse(text: str) -> Any:
        if not re.fullmatch(pattern, text) or not low <= of(text) <= high:
            raise ValueError
        return of(text)

    return parse


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]
