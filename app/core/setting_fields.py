"""Kinds of settings: how the text of an environment variable is parsed, described and shown."""

import os
import re
from collections.abc import Callable, Iterable
from dataclasses import field
from typing import Any, Final

from app.core.database_url import MASK, sqlalchemy_url, without_credentials
from app.core.principal import PERMISSIONS

DATABASE: Final = (
    "postgres://, postgresql:// or postgresql+psycopg2:// with host and database, and with no "
    "parameter but libpq's"
)

LEAST_BYTES: Final = 32
"""RFC 7518, section 3.2, for HS256."""

LEAST_CHARACTERS: Final = 8
"""Distinct characters."""

LEAST_TRIPLES: Final = 17
"""Distinct substrings of three characters; a repetition of 16 characters or less has fewer."""

PLACEHOLDERS: Final = re.compile(
    "changeme|changethis|replaceme|replacethis|placeholder|your(jwt)?secret|mysecret|supersecret"
    "|secretkey|astringsecret|opensslrand"  # of jwt.io, and the Neon page's command for its output
)
"""Placeholders of examples, in lower case and reduced to letters and digits."""

WORDS: Final = re.compile("password|passwort|passw0rd|secret|insecure|default|example|test|admin")
"""Words that do not count."""


def setting(
    default: Any,
    expects: str,
    parse: Callable[[str], Any],
    show: Callable[[Any], str] = str,
) -> Any:
    """Declare a dataclass field that is read from the environment variable of its name.

    `expects` completes the error "<variable> expects ..." and stands in docs/settings.md. `parse`
    raises ValueError for text that is not valid. `show` formats a value for operators and hides
    secrets.
    """
    metadata = {"expects": expects, "parse": parse, "show": show}
    return field(default=default, metadata=metadata)


def choice(default: str, *options: str) -> Any:
    """Declare a setting that has one of these values."""
    expects = f"{', '.join(options[:-1])} or {options[-1]}"
    return setting(default, expects, matching("|".join(options)))


def integer(default: int, low: int, high: int) -> Any:
    """Declare a setting that is a whole number from `low` to `high`."""
    parse = _number(int, r"[0-9]{1,12}", low, high)
    return setting(default, f"{low} to {high}", parse)


def seconds(default: float, low: float, high: float) -> Any:
    """Declare a setting that is a number of seconds, with at most three decimals."""
    parse = _number(float, r"[0-9]{1,6}(\.[0-9]{1,3})?", low, high)
    return setting(default, f"{low} to {high}", parse)


def database(expects: str = DATABASE) -> Any:
    """Declare a setting that is the URL of a PostgreSQL database; credentials are hidden."""
    return setting(None, expects, sqlalchemy_url, without_credentials)


def matching(pattern: str) -> Callable[[str], str]:
    """Return a parser of text that matches the whole regular expression."""

    def parse(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError
        return text

    return parse


def separated(parse: Callable[[str], str]) -> Callable[[str], tuple[str, ...]]:
    """Return a parser of a comma-separated list; `parse` reads each entry."""
    return lambda text: tuple(parse(word.strip()) for word in text.split(",") if word.strip())


def scopes(text: str) -> tuple[tuple[str, str], ...]:
    """Parse pairs `theirs=ours` that map an issuer's scopes to permissions of this service."""
    pairs = tuple((theirs, ours) for theirs, _, ours in (w.rpartition("=") for w in text.split()))
    # A comma in a name most likely separates two pairs.
    if not all(theirs and "," not in theirs and ours in PERMISSIONS for theirs, ours in pairs):
        raise ValueError
    return pairs


def folder(text: str) -> str:
    """Parse the path of a folder that exists."""
    if "\0" in text or not os.path.isdir(text):
        raise ValueError
    return text


def is_weak(secret: str) -> bool:
    """Whether the secret is short, a known placeholder, a repetition or a few common words.

    Generated secrets of 32 characters (hexadecimal, Base64, UUIDs) pass with near certainty.
    """
    if len(secret.encode()) < LEAST_BYTES or len(set(secret)) < LEAST_CHARACTERS:
        return True
    lower = secret.lower()
    letters = re.sub(r"[\W_]+", "", lower)
    if PLACEHOLDERS.search(letters):
        return True
    rest = WORDS.sub("", lower)
    return len({rest[at : at + 3] for at in range(len(rest) - 2)}) < LEAST_TRIPLES


def secret(text: str) -> str:
    """Parse a secret that is strong enough to sign tokens."""
    if is_weak(text):
        raise ValueError
    return text


def bearer_secret(text: str) -> str:
    """Parse a secret that fits into an Authorization header: visible ASCII without spaces."""
    return secret(matching(r"[\x21-\x7e]+")(text))


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
