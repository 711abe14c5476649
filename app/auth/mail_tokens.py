"""The tokens in the links of mails."""

import hashlib
import hmac
from typing import NamedTuple, Self

from app.auth.mail_kinds import PURPOSES, MailKind, Purpose
from app.auth.owned_secrets import OwnedSecret
from app.core.secrets import Keys


class MailToken(NamedTuple):
    """The token of a mail's link: 256 secret bits, of which the database has the hash.

    The table of mails has the seed until the mail is sent, which is of no use without the keys.
    """

    purpose: Purpose
    owned: OwnedSecret

    @classmethod
    def derive(cls, user_id: str, kind: MailKind, seed: bytes, keys: Keys) -> Self:
        """Return the token of this seed; the same arguments give the same token.

        Raises KeyError for a kind of mail without a link.
        """
        message = kind.encode() + b"\0" + seed
        secret = hmac.digest(keys.mail_token, message, hashlib.sha256)
        return cls(PURPOSES[kind], OwnedSecret(user_id, secret))

    @classmethod
    def parse(cls, text: str, purpose: Purpose) -> Self | None:
        """Return the token with this text; None if it is not one for this purpose."""
        prefix = f"{purpose}_"
        owned = OwnedSecret.parse(text.removeprefix(prefix)) if text.startswith(prefix) else None
        return cls(purpose, owned) if owned else None

    @property
    def user_id(self) -> str:
        """The user whose token it is, who need not have an account yet."""
        return self.owned.user_id

    @property
    def hash(self) -> bytes:
        """What the database stores in its place."""
        return self.owned.hash

    def __str__(self) -> str:
        return f"{self.purpose}_{self.owned}"
