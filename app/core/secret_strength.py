"""Whether a secret is long and varied enough to be one, by rules that a person can follow."""

import re
from typing import Final

LEAST_BYTES: Final = 32
"""RFC 7518, section 3.2, for HS256."""

LEAST_CHARACTERS: Final = 8
"""Different ones."""

LEAST_TRIPLES: Final = 17
"""Different pieces of three characters: what repeats 16 characters or less has fewer."""

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
    "opensslrand",  # the command that our README names, in place of what it prints
)
"""What examples put where a secret goes; letters and digits only, in lower case."""

WORDS: Final = re.compile("password|passwort|passw0rd|secret|insecure|default|example|test|admin")
"""Words that add nothing to a secret."""


def is_weak(secret: str) -> bool:
    """Whether the secret is short, a known placeholder, a repetition or made of a few stock words.

    None of a generated secret's usual forms (hexadecimal, base64, UUIDs, 32 characters or more) is
    weak but by a chance that nobody meets.
    """
    if len(secret.encode()) < LEAST_BYTES or len(set(secret)) < LEAST_CHARACTERS:
        return True
    lower = secret.lower()
    letters = re.sub(r"[\W_]+", "", lower)
    if any(placeholder in letters for placeholder in PLACEHOLDERS):
        return True
    rest = WORDS.sub("", lower)
    return len({rest[at : at + 3] for at in range(len(rest) - 2)}) < LEAST_TRIPLES
