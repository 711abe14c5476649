"""The form of tokens that lead to a row of their user: the user's id, and 32 secret bytes."""

import hashlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import NamedTuple, Self
from uuid import UUID


class OwnedSecret(NamedTuple):
    """32 secret bytes, and the user's id, which leads to the row by its key."""

    user_id: str
    secret: bytes

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Return the token with this text; None if the text is not valid."""
        try:
            data = urlsafe_b64decode(text.encode("ascii"))
        except ValueError:
            return None
        if len(data) != 48 or str(token := cls(str(UUID(bytes=data[:16])), data[16:])) != text:
            return None
        return token

    @property
    def hash(self) -> bytes:
        """The SHA-256 of the secret, which the database stores in its place."""
        return hashlib.sha256(self.secret).digest()

    def __str__(self) -> str:
        return urlsafe_b64encode(UUID(self.user_id).bytes + self.secret).decode()
