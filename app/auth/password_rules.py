"""What a new password may not be: a common one, or the account's e-mail address.

The rules are for whoever sets a password, never for signing in: NIST SP 800-63B, section 5.1.1.2.
"""

from pathlib import Path
from typing import Final, LiteralString, NamedTuple

from app.core.texts import compatible

LIST: Final = Path(__file__).with_name("common_passwords.txt")
"""One password a line, behind a head that names the source and ends with an empty line."""

COMMON: Final = frozenset(LIST.read_text("utf-8").partition("\n\n")[2].splitlines())


class Weakness(NamedTuple):
    """Why a password is refused: the code of the error, and what it says."""

    code: LiteralString
    detail: LiteralString


COMMON_PASSWORD: Final = Weakness("common_password", "must not be one of the commonest passwords")
EMAIL_AS_PASSWORD: Final = Weakness(
    "email_as_password", "must not be the e-mail address, nor the part before its @"
)


def weakness(password: str, email: str | None) -> Weakness | None:
    """Return why an account with this address may not get the password; None if it may.

    Compared in NFKC and without regard to letter case. The lengths are checked by its schema.
    """
    folded = compatible(password).casefold()
    if folded in COMMON:
        return COMMON_PASSWORD
    address = (email or "").casefold()
    if folded in (address, address.partition("@")[0]):
        return EMAIL_AS_PASSWORD
    return None
