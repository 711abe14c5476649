"""Personal access tokens: their text, the user of one, and whether it is still valid.

The text is `tasks_pat_`, the user's id and a secret, and a checksum. Secret scanners recognise the
prefix, and the checksum reveals typing errors without a query.
Source: GitHub, "Behind GitHub's new authentication token formats".
"""

import hashlib
import hmac
import re
import zlib
from typing import Final, NamedTuple, Self
from uuid import UUID

from sqlalchemy import bindparam, func, or_, select

from app.auth.models import PersonalAccessToken as Token
from app.core.principal import Principal, granted
from app.core.problems import invalid_token
from app.core.secrets import Keys
from app.db.run import execute, first
from app.db.scope import Role, Scope
from app.db.statement import Statement
from app.rows.shape import USER_ID

PREFIX: Final = "tasks_pat_"
SECRET_BYTES: Final = 24
CONTENT_BYTES: Final = 16 + SECRET_BYTES
CONTENT_LENGTH: Final = 54
CHECKSUM_LENGTH: Final = 6
TOKEN: Final = re.compile(rf"{PREFIX}([0-9A-Za-z]{{{CONTENT_LENGTH}}})[0-9A-Za-z]{{6}}")

DIGITS: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
VALUES: Final = {digit: value for value, digit in enumerate(DIGITS)}

UNEXPIRED: Final = or_(Token.expires_at.is_(None), Token.expires_at > func.now())


class PersonalToken(NamedTuple):
    """A personal token: 24 secret bytes, and the user's id, which leads to the row by its key."""

    user_id: str
    secret: bytes

    @classmethod
    def derive(cls, user_id: str, seed: str, keys: Keys) -> Self:
        """Return the token of this seed, in hex; the same arguments give the same token."""
        digest = hmac.digest(keys.personal_token, bytes.fromhex(seed), hashlib.sha256)
        return cls(user_id, digest[:SECRET_BYTES])

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Return the token with this text; None if the text is not valid."""
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
        """The SHA-256 of the text, which the database stores in its place."""
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


def find_bearer(text: str) -> Principal:
    """Return the principal of a personal access token. Raises Problem 401.

    Malformed text is refused without a query. The result may be cached, because it never changes
    while the token exists, and every later statement checks that it is not revoked or expired.
    """
    token = PersonalToken.parse(text)
    if token is None:
        raise invalid_token()
    scope = Scope(Role.AUTH, token.user_id)
    row = first(execute(scope, FIND, user_id=token.user_id, token_hash=token.hash))
    if row is None:
        raise invalid_token()
    return Principal(token.user_id, False, granted(row.scopes), row.id, row.expires_at)


FIND: Final = Statement(
    select(Token.id, Token.scopes, Token.expires_at).where(
        Token.user_id == USER_ID, Token.token_hash == bindparam("token_hash"), UNEXPIRED
    )
)
