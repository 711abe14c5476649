"""The secrets that webhooks are signed with: made here, and stored sealed.

They have to be read again, unlike passwords and tokens, as every message is signed. Sealed means
encrypted and authenticated (Fernet) with a key of the service, so that a reader of the database
learns none. When JWT_SECRET changes, the worker seals them anew.
"""

from base64 import b64encode, urlsafe_b64encode
from secrets import token_bytes
from typing import Final

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from app.core.secrets import Keys

PREFIX: Final = "whsec_"
"""Source: Standard Webhooks, "Signature scheme"."""

BYTES: Final = 32


def new_secret() -> str:
    """Return a new secret, as users see it once."""
    return PREFIX + b64encode(token_bytes(BYTES)).decode()


def seal(secret: str, keys: Keys) -> str:
    """Seal a secret under these keys."""
    return _box(keys).encrypt(secret.encode()).decode()


def unseal(sealed: str, accepted: tuple[Keys, ...]) -> str:
    """Return the secret. Raises ValueError if none of the keys has sealed it."""
    try:
        return MultiFernet([_box(each) for each in accepted]).decrypt(sealed.encode()).decode()
    except InvalidToken:
        raise ValueError("sealed with a key that is no longer accepted") from None


def _box(keys: Keys) -> Fernet:
    return Fernet(urlsafe_b64encode(keys.webhook))
