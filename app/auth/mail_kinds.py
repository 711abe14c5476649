"""The kinds of mails, what their links are for, and how long these can be used."""

from enum import StrEnum
from typing import Final

HOURS: Final = 24
"""How long a mail is tried, if its link can be used for so long."""


class Purpose(StrEnum):
    """What a link's token is sent for; its text begins with it, so that the app's page knows."""

    PASSWORD = "password"  # noqa: S105 no password
    """To choose a password."""
    ADDRESS = "address"
    """To confirm an address."""


class MailKind(StrEnum):
    """What a mail is about; each has a text in app/ops/mail/texts."""

    PASSWORD_RESET = "password_reset"  # noqa: S105 no password
    REGISTRATION = "registration"
    """To an address for which an account was asked, where it has to be confirmed first."""
    INVITATION = "invitation"
    EMAIL_VERIFICATION = "email_verification"
    EMAIL_CHANGE = "email_change"
    """To the new address."""
    EMAIL_CHANGED = "email_changed"
    """To the old address, once the new one is confirmed."""
    PASSWORD_CHANGED = "password_changed"  # noqa: S105 no password

    @property
    def purpose(self) -> Purpose | None:
        """What its link is for; None for a notice, which has none."""
        return PURPOSES.get(self)

    @property
    def hours(self) -> int:
        """How long its link can be used, and a notice is of use."""
        return LIFETIMES.get(self, HOURS)


PURPOSES: Final = {
    MailKind.PASSWORD_RESET: Purpose.PASSWORD,
    MailKind.INVITATION: Purpose.PASSWORD,
    MailKind.REGISTRATION: Purpose.ADDRESS,
    MailKind.EMAIL_VERIFICATION: Purpose.ADDRESS,
    MailKind.EMAIL_CHANGE: Purpose.ADDRESS,
}

LIFETIMES: Final = {MailKind.PASSWORD_RESET: 1, MailKind.INVITATION: 7 * 24}
