"""Making a message of a mail of the outbox: plain text, the same each time it is made."""

from collections.abc import Mapping
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from typing import Any, Final, NamedTuple

from app.auth.mail_kinds import MailKind
from app.auth.mail_tokens import MailToken
from app.core.config import Settings
from app.core.secrets import Keys
from app.core.sender import Sender, is_address
from app.ops.mail.templates import Template

NOBODY: Final = Sender("", "tasks@localhost")
"""Who mails are from where they are only logged."""


class Mail(NamedTuple):
    """A mail of the outbox that a worker has claimed; `expired` if it is too old to be sent."""

    user_id: str
    id: str
    kind: str
    recipient: str
    seed: bytes | None
    key_id: str | None
    created_at: datetime
    attempts: int
    expired: bool

    def link(self, public_url: str, keys: Mapping[str, Keys]) -> str | None:
        """Return the address that the mail leads to, if it has one.

        Raises KeyError if its token needs keys that are not among these, by their ids.
        """
        if self.seed is None or self.key_id is None:
            return None
        kind = MailKind(self.kind)
        token = MailToken.derive(self.user_id, kind, bytes(self.seed), keys[self.key_id])
        return f"{public_url}?token={token}"


class Composer:
    """Makes messages as the settings have it. Raises ConfigurationError for unusable texts."""

    def __init__(
        self, settings: Settings, templates: Mapping[str, Template], keys: Mapping[str, Keys]
    ) -> None:
        self.sender = Sender.parse(settings.mail_from) if settings.mail_from else NOBODY
        self.public_url = settings.public_url or f"http://127.0.0.1:{settings.port}"
        self.templates = templates
        self.keys = keys

    def link(self, mail: Mail) -> str | None:
        """Return the mail's link, if it has one. Raises KeyError as `Mail.link` does."""
        return mail.link(self.public_url, self.keys)

    def compose(self, mail: Mail) -> EmailMessage:
        """Return the message. Raises KeyError for unknown keys, ValueError for an unfit mail."""
        if not is_address(mail.recipient):
            raise ValueError("the recipient is no address")
        values: dict[str, Any] = {
            "app": self.sender.name or self.sender.domain,
            "email": mail.recipient,
        }
        if link := self.link(mail):
            values["link"] = link
        try:
            subject, text = self.templates[mail.kind].filled(**values)
        except KeyError:
            raise ValueError("the mail lacks what its text names") from None
        message = EmailMessage(policy=SMTP)
        message["From"] = Address(self.sender.name, addr_spec=self.sender.address)
        message["To"] = Address(addr_spec=mail.recipient)
        message["Subject"] = subject
        message["Date"] = mail.created_at
        message["Message-ID"] = f"<{mail.id}@{self.sender.domain}>"
        message["Auto-Submitted"] = "auto-generated"  # RFC 3834
        message.set_content(text, cte="quoted-printable")  # any server takes it (RFC 5321)
        return message
