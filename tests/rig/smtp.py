"""A real mail server on a port of 127.0.0.1, which keeps what it accepts, and has faults."""

import asyncio
import logging
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

from tests.rig.certificates import LOCAL, Authority, Identity
from tests.rig.listening import Listening

logging.getLogger("mail.log").setLevel(logging.WARNING)  # which tells of each command

USER, PASSWORD = "tasks@example.com", "a pass/word: of #1"


@dataclass
class Step:
    """A point of each conversation, which it passes at once unless it is held."""

    reached: Event = field(default_factory=Event)
    free: Event = field(default_factory=Event)

    def __post_init__(self) -> None:
        self.free.set()

    def hold(self) -> None:
        """Let conversations wait here until `free` is set."""
        self.reached.clear()
        self.free.clear()


@dataclass
class Faults:
    """What the server answers in place of acceptance; every field may be set at any time."""

    recipient: Callable[[int], str] | None = None
    """The answer to the so-manieth recipient, counted from one; empty to accept it."""

    content: Callable[[int], str] | None = None
    """The answer to the so-manieth content of a mail."""

    on_content: Callable[[], None] | None = None
    """Called before a content is accepted."""


class MailServer(Listening):
    """Takes mails; `accepted` has each in the order of the answers.

    With `identity` it offers STARTTLS, and demands it and a password; with `implicit` it speaks TLS
    from the beginning.
    """

    def __init__(self, identity: Identity | None = None, *, implicit: bool = False) -> None:
        super().__init__()
        self.accepted: list[EmailMessage] = []
        self.recipients: list[str] = []
        self.users: list[str] = []
        self.faults = Faults()
        self.greeted, self.addressed, self.content = Step(), Step(), Step()
        self.contents = self.asked = 0
        self._context = context_of(identity) if identity else None
        self._implicit = implicit
        self._transports: list[asyncio.Transport] = []
        self._open: set[asyncio.BaseProtocol] = set()

    def url(self, host: str = "127.0.0.1") -> str:
        """What MAIL_URL has to be."""
        if self._context is None:
            return f"smtp://{host}:{self.port}/"
        scheme = "smtps" if self._implicit else "smtp+starttls"
        password = PASSWORD.replace("/", "%2F").replace("#", "%23").replace(" ", "%20")
        return f"{scheme}://{USER}:{password}@{host}:{self.port}"

    def __exit__(self, *error: object) -> None:
        for step in (self.greeted, self.addressed, self.content):
            step.free.set()
        super().__exit__(*error)

    async def _listen(self) -> None:
        context = self._context if self._implicit else None
        self._server = await self._loop.create_server(
            self._protocol, sock=self._listener, ssl=context
        )

    async def _end(self) -> None:
        await super()._end()
        for transport in self._transports:
            transport.abort()
        self._transports.clear()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        while self._open:
            await asyncio.sleep(0)

    def _protocol(self) -> SMTP:
        server, starts = self, self._context is not None and not self._implicit

        class Protocol(SMTP):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                server._transports.append(transport)
                server._open.add(self)
                super().connection_made(transport)

            def connection_lost(self, error: Exception | None) -> None:
                server._open.discard(self)
                super().connection_lost(error)

        return Protocol(
            self,
            hostname="mail.example.com",
            loop=self._loop,
            tls_context=self._context if starts else None,
            require_starttls=starts,
            auth_required=starts,
            auth_require_tls=starts,
            authenticator=self._authenticate,
            enable_SMTPUTF8=False,
        )

    def _authenticate(
        self, server: SMTP, session: Any, envelope: Any, mechanism: str, data: LoginPassword
    ) -> AuthResult:
        known = (data.login, data.password) == (USER.encode(), PASSWORD.encode())
        if known:
            self.users.append(USER)
        return AuthResult(success=known, handled=known)

    # What aiosmtpd calls

    async def handle_EHLO(
        self, server: SMTP, session: Any, envelope: Any, hostname: str, responses: list[str]
    ) -> list[str]:
        session.host_name = hostname
        await self._pass(self.greeted)
        return responses

    async def handle_RCPT(
        self, server: SMTP, session: Any, envelope: Any, address: str, options: list[str]
    ) -> str:
        await self._pass(self.addressed)
        self.asked += 1
        fault = self.faults.recipient
        if fault and (answer := fault(self.asked)):
            return answer
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Any, envelope: Any) -> str:
        await self._pass(self.content)
        self.contents += 1
        fault = self.faults.content
        if fault and (answer := fault(self.contents)):
            return answer
        if self.faults.on_content:
            await self._loop.run_in_executor(None, self.faults.on_content)
        message = message_from_bytes(envelope.content.replace(b"\r\n", b"\n"), policy=default)
        assert isinstance(message, EmailMessage)
        self.accepted.append(message)
        self.recipients += envelope.rcpt_tos
        return "250 OK"

    async def _pass(self, step: Step) -> None:
        step.reached.set()
        if not step.free.is_set():
            await self._loop.run_in_executor(None, step.free.wait)


def context_of(identity: Identity) -> ssl.SSLContext:
    """The context of a server that shows this certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with TemporaryDirectory() as directory:
        path = Path(directory) / "identity.pem"
        path.write_bytes(identity.certificate + identity.key)
        context.load_cert_chain(path)
    return context


def trusted(authority: Authority, directory: Path) -> str:
    """A file that SSL_CERT_FILE may name, with which the authority is trusted."""
    path = directory / "authority.pem"
    path.write_bytes(authority.certificate)
    return str(path)


def identity(authority: Authority, *names: str) -> Identity:
    """A certificate of the authority, for this host unless other names are given."""
    return authority.issue(*(names or LOCAL))
