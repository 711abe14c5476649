"""Recognise weak secrets: short, repetitive, or copied from an example."""

import re
from typing import Final

LEAST_BYTES: Final = 32
"""RFC 7518, section 3.2, for HS256."""

LEAST_CHARACTERS: Final = 8
"""Distinct characters."""

LEAST_TRIPLES: Final = 17
"""Distinct substrings of three characters; a repetition of 16 characters or less has fewer."""

PLACEHOLDERS: Final = (
    "changeme",
    "changethis",
    "replaceme",
    "replacethis",
    "placeholder",
    "yoursecret",
    "yourjwtsecret",
    "mysecret",
    "supersecret",
    "secretkey",
    "astringsecret",  # jwt.io
    "opensslrand",  # the command in docs/operations/neon.md instead of its output
)
"""Placeholders of examples, in lower case and reduced to letters and digits."""

WORDS: Final = re.compile("password|passwort|passw0rd|secret|insecure|default|example|test|admin")
"""Words that do not count."""


def is_weak(secret: str) -> bool:
    """Whether the secret is short, a known placeholder, a repetition or a few common words.

    Generated secrets of 32 characters (hexadecimal, Base64, UUIDs) pass with near certainty.
    """
    if len(secret.encode()) < LEAST_BYTES or len(set(secret)) < LEAST_CHARACTERS:
        return True
    lower = secret.lower()
    letters = re.sub(r"[\W_]+", "", lower)
    if any(placeholder in letters for placeholder in PLACEHOLDERS):
        return True
    rest = WORDS.sub("", lower)
    return len({rest[at : at + 3] for at in range(len(rest) - 2)}) < LEAST_TRIPLES
