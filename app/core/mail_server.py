"""The server that takes mails: MAIL_URL."""

from enum import StrEnum
from typing import Final, NamedTuple, Self
from urllib.parse import unquote, urlsplit

from app.core.database_url import is_here


class Security(StrEnum):
    """How the connection to the server is protected, by the scheme of its URL."""

    NONE = "smtp"
    """Plain text, on this host alone."""
    STARTTLS = "smtp+starttls"
    """Plain text until TLS is agreed on, which is required before anything else (RFC 3207)."""
    TLS = "smtps"
    """TLS from the beginning (RFC 8314)."""


PORTS: Final = {Security.NONE: 25, Security.STARTTLS: 587, Security.TLS: 465}


class MailServer(NamedTuple):
    """Where mails are handed over, and as whom."""

    host: str
    port: int
    security: Security
    user: str
    password: str

    @classmethod
    def parse(cls, url: str) -> Self:
        """Read a URL. Raises ValueError unless it is encrypted or stays on this host."""
        parts = urlsplit(url)
        security = Security(parts.scheme)
        if not parts.hostname or parts.path not in {"", "/"} or parts.query or parts.fragment:
            raise ValueError(url)
        if security is Security.NONE and not is_here(parts):
            raise ValueError(url)
        if parts.port == 0 or (parts.password is None) != (parts.username is None):
            raise ValueError(url)
        user, password = unquote(parts.username or ""), unquote(parts.password or "")
        # smtplib sends no others.
        if not all(text.isascii() and text.isprintable() for text in (user, password)):
            raise ValueError(url)
        if parts.username is not None and not (user and password):
            raise ValueError(url)
        port = parts.port or PORTS[security]
        return cls(parts.hostname, port, security, user, password)


def mail_url(text: str) -> str:
    """Return the URL of a mail server as it is, if it is one. Raises ValueError."""
    if not (text.isascii() and text.isprintable()) or " " in text:
        raise ValueError(text)
    MailServer.parse(text)
    return text
