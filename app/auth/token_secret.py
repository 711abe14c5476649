"""The text of a personal access token: `tasks_pat_`, what it holds, and a checksum.

A scanner finds it in what should not hold it, and a typing error is refused without the database.
Source: GitHub, "Behind GitHub's new authentication token formats".
"""

import hashlib
import hmac
import re
import zlib
from typing import Final, NamedTuple, Self
from uuid import UUID

PREFIX: Final = "tasks_pat_"
SECRET_BYTES: Final = 24
CONTENT_BYTES: Final = 16 + SECRET_BYTES
CONTENT_LENGTH: Final = 54
CHECKSUM_LENGTH: Final = 6
TOKEN: Final = re.compile(rf"{PREFIX}([0-9A-Za-z]{{{CONTENT_LENGTH}}})[0-9A-Za-z]{{6}}")

DIGITS: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
VALUES: Final = {digit: value for value, digit in enumerate(DIGITS)}


class PersonalToken(NamedTuple):
    """A token: the user's id, so that one key finds it, and 24 bytes nobody can guess."""

    user_id: str
    secret: bytes

    @classmethod
    def derive(cls, user_id: str, seed: bytes, key: bytes) -> Self:
        """The token that this seed gives under the key, always the same."""
        return cls(user_id, hmac.digest(key, seed, hashlib.sha256)[:SECRET_BYTES])

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """The token that `str` was made of; None for anything else."""
        match = TOKEN.fullmatch(text)
        if not match or not text.endswith(_checksum(text[:-CHECKSUM_LENGTH])):
            return None
        number = 0
        for digit in match[1]:
            number = number * len(DIGITS) + VALUES[digit]
        if number.bit_length() > CONTENT_BYTES * 8:
            return None
        content = number.to_bytes(CONTENT_BYTES)
        return cls(str(UUID(bytes=content[:16])), content[16:])

    @property
    def hash(self) -> bytes:
        """What the database knows of the token: its SHA-256."""
        return hashlib.sha256(str(self).encode()).digest()

    def __str__(self) -> str:
        content = UUID(self.user_id).bytes + self.secret
        text = PREFIX + _base62(int.from_bytes(content), CONTENT_LENGTH)
        return text + _checksum(text)


def _checksum(text: str) -> str:
    return _base62(zlib.crc32(text.encode()), CHECKSUM_LENGTH)


def _base62(number: int, length: int) -> str:
    digits = []
    for _ in range(length):
        number, value = divmod(number, len(DIGITS))
        digits.append(DIGITS[value])
    return "".join(reversed(digits))
