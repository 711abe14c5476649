"""A conversation with the mail server: bounded in time and bytes, and never in plain text.

Signals bound it, so it belongs to the main thread. When its time is up, the connection is shut
down: whatever waits for the server then ends at once, and an answer that has come is not lost.
"""

import signal
import smtplib
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from email.message import EmailMessage
from types import FrameType
from typing import Any, Final

from app.core.mail_server import MailServer, Security

STEP_SECONDS: Final = 60.0
"""How long one answer may take; servers may look through a message before they accept it."""

LONGEST_SECONDS: Final = 180.0
"""How long a conversation may take, before the server is asked to end it."""

AGAIN_SECONDS: Final = 1.0
"""How long each further address of the server is tried once the time is up."""

QUIT_SECONDS: Final = 5.0

MOST_BYTES: Final = 65_536
"""Bytes of all answers of the server before TLS, and again within TLS."""

PERMANENT: Final = 500
"""The first code of answers that are final (RFC 5321, section 4.2.1)."""


class Undelivered(Exception):
    """The server has not accepted a mail.

    `permanent` if it never will; `reason` is a class of error and a code, without any text.
    """

    def __init__(self, reason: str, *, permanent: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.permanent = permanent


class Limit:
    """Ends the conversation of a `with` block when its seconds are over."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.connection: socket.socket | None = None
        self.ends = False

    def __enter__(self) -> "Limit":
        self.before = signal.signal(signal.SIGALRM, self._end)
        signal.setitimer(signal.ITIMER_REAL, self.seconds, AGAIN_SECONDS)
        return self

    def __exit__(self, *_error: object) -> None:
        self.ends = True
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, self.before)
        if self.connection:
            self.connection.close()

    def watch(self, connection: socket.socket) -> None:
        """Let this connection be the one to shut down; TLS may come between."""
        self.connection = self.connection or socket.fromfd(
            connection.fileno(), connection.family, connection.type
        )

    def _end(self, number: int, frame: FrameType | None) -> None:
        if self.ends:
            return
        if self.connection is None:  # nothing has been sent yet
            raise TimeoutError
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)


def shorten(seconds: float) -> None:
    """Let the present conversation, if there is one, end in so many seconds at the latest."""
    left, _ = signal.getitimer(signal.ITIMER_REAL)
    if left:
        signal.setitimer(signal.ITIMER_REAL, min(left, max(seconds, 0.001)), AGAIN_SECONDS)


class Answers:
    """What the server answers, up to MOST_BYTES."""

    def __init__(self, file: Any) -> None:
        self.file = file
        self.left = MOST_BYTES

    def readline(self, size: int) -> bytes:
        """Return the next line. Raises OSError if the server has said too much."""
        line: bytes = self.file.readline(min(size, self.left + 1))
        self.left -= len(line)
        if self.left < 0:
            raise OSError("the answers are too long")
        return line

    def close(self) -> None:
        """Close the file; the socket stays."""
        self.file.close()


class _Limited:
    """A client of smtplib whose answers are bounded, and whose connection has a limit."""

    sock: Any
    file: Any

    def __init__(self, limit: Limit, *arguments: Any, **options: Any) -> None:
        self.limit = limit
        super().__init__(*arguments, **options)

    def getreply(self) -> tuple[int, bytes]:
        """Read an answer. It is called for each, and first of all for the server's greeting."""
        if self.file is None:
            self.limit.watch(self.sock)
            self.file = Answers(self.sock.makefile("rb"))
        answer: tuple[int, bytes] = super().getreply()  # type: ignore[misc]  # of smtplib.SMTP
        return answer


class Plain(_Limited, smtplib.SMTP):
    """A client that begins in plain text."""


class Encrypted(_Limited, smtplib.SMTP_SSL):
    """A client that begins with TLS."""


@contextmanager
def conversation(server: MailServer, limit: Limit) -> Iterator[smtplib.SMTP]:
    """Open a conversation, encrypted and signed in; what follows in it has to be sent with `send`.

    It is ended politely if nothing fails in it. Raises Undelivered.
    """
    with explained():
        client = _connect(server, limit)
    try:
        with explained():
            if server.security is Security.STARTTLS:
                client.starttls(context=ssl.create_default_context())
            if server.user:
                client.login(server.user, server.password)
        yield client
        shorten(QUIT_SECONDS)
        with suppress(OSError, smtplib.SMTPException, ValueError):
            client.quit()
    finally:
        client.close()


def _connect(server: MailServer, limit: Limit) -> smtplib.SMTP:
    address = (server.host, server.port)
    if server.security is Security.TLS:
        context = ssl.create_default_context()
        return Encrypted(limit, *address, timeout=STEP_SECONDS, context=context)
    return Plain(limit, *address, timeout=STEP_SECONDS)


def send(client: smtplib.SMTP, sender: str, recipient: str, message: EmailMessage) -> None:
    """Hand the message over; when this returns, the server has accepted it. Raises Undelivered."""
    with explained(of_the_mail=True):
        client.sendmail(sender, [recipient], message.as_bytes())


@contextmanager
def explained(*, of_the_mail: bool = False) -> Iterator[None]:
    """Turn what a conversation may raise into Undelivered.

    A refusal is permanent if it is of the recipient or of the message. What the server says of the
    service itself, such as its password, its operator can mend while the mail waits.
    """
    try:
        yield
    except smtplib.SMTPRecipientsRefused as error:
        [(code, _)] = error.recipients.values()
        raise _undelivered(error, code, of_the_mail) from None
    except smtplib.SMTPDataError as error:
        raise _undelivered(error, error.smtp_code, of_the_mail) from None
    except smtplib.SMTPResponseException as error:
        raise _undelivered(error, error.smtp_code, False) from None
    except (OSError, smtplib.SMTPException, ValueError) as error:
        raise Undelivered(type(error).__name__) from None


def _undelivered(error: Exception, code: int, of_the_mail: bool) -> Undelivered:
    permanent = of_the_mail and code >= PERMANENT
    return Undelivered(f"{type(error).__name__} {code}", permanent=permanent)
