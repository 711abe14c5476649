"""One call of a webhook: a POST, bounded in time and bytes, whose redirects are not followed."""

import http.client
import io
import socket
import ssl
import time
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from threading import Lock
from typing import Any, Final, NamedTuple

from app.core.webhook_urls import WebhookUrl
from app.ops.hooks.connecting import Refused, addresses_of, connect, encrypted

SECONDS: Final = 15.0
"""How long a call may take, from resolving the name to the end of the answer."""

MOST_BYTES: Final = 65_536
"""Bytes of an answer that are read."""


class Answer(NamedTuple):
    """How a call ended: with a status, or with an error. `retry_after` is in seconds."""

    status: int | None = None
    error: str | None = None
    retry_after: float = 0.0

    @property
    def accepted(self) -> bool:
        """Whether the receiver has the message."""
        return self.error is None


class Call:
    """A call that another thread may cut when its time is up."""

    def __init__(self, url: WebhookUrl, networks: tuple[str, ...], context: ssl.SSLContext) -> None:
        self.url = url
        self.networks = networks
        self.context = context
        self.ends_at = time.monotonic() + SECONDS
        self.lock = Lock()
        self.connection: socket.socket | None = None
        self.is_cut = False

    def send(self, headers: dict[str, str], body: bytes) -> Answer:
        """Send the message; return how that ended, in whatever way."""
        try:
            addresses = addresses_of(self.url, self.networks, self._left())
            return self._exchange(addresses, headers, body)
        except Refused as refused:
            return Answer(error=refused.reason)
        except (OSError, http.client.HTTPException, ValueError) as error:
            late = self.is_cut or isinstance(error, TimeoutError)
            return Answer(error="Timeout" if late else type(error).__name__)

    def cut(self) -> None:
        """End the call now; what it waits for fails."""
        with self.lock:
            self.is_cut = True
            if self.connection:
                with suppress(OSError):
                    self.connection.shutdown(socket.SHUT_RDWR)

    def _exchange(self, addresses: Any, headers: dict[str, str], body: bytes) -> Answer:
        connection = connect(addresses, self._left, self._watch)
        if self.url.scheme == "https":
            connection = encrypted(connection, self.url.host, self.context, self._watch)
        with connection:
            client = http.client.HTTPConnection(self.url.host, self.url.port)
            client.sock = Bounded(connection)
            client.request("POST", self.url.target, body, self._named(headers))
            response = client.getresponse()
            status = response.status
            retry_after = response.getheader("Retry-After")
            with suppress(OSError, http.client.HTTPException):
                response.read(MOST_BYTES)
        if 200 <= status < 300:
            return Answer(status)
        error = "Redirect" if 300 <= status < 400 else "Status"
        return Answer(status, error, _seconds(retry_after))

    def _named(self, headers: dict[str, str]) -> dict[str, str]:
        """Name the host, without the scheme's own port (RFC 9110, section 7.2)."""
        return {"host": str(self.url).split("/")[2], **headers, "connection": "close"}

    def _watch(self, connection: socket.socket) -> None:
        with self.lock:
            self.connection = connection
            connection.settimeout(max(0.001, self._left()))
            if self.is_cut:
                raise TimeoutError

    def _left(self) -> float:
        return self.ends_at - time.monotonic()


class Bounded:
    """What http.client needs of a connection, with a bounded answer."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection

    def sendall(self, data: bytes) -> None:
        """Send the data."""
        self.connection.sendall(data)

    def makefile(self, _mode: str) -> io.BufferedReader:
        """Return a file to read the answer from."""
        return io.BufferedReader(Reading(self.connection))

    def close(self) -> None:
        """Do nothing: the caller closes the connection."""


class Reading(io.RawIOBase):
    """Reads from a connection, at most MOST_BYTES in all."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.left = MOST_BYTES

    def readable(self) -> bool:
        """Whether it can be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read what has come. Raises OSError if the answer is too long."""
        if self.left <= 0:
            raise OSError("the answer is too long")
        count = self.connection.recv_into(memoryview(buffer)[: self.left])
        self.left -= count
        return count


def _seconds(retry_after: str | None) -> float:
    """Return the seconds of a Retry-After, 0 without a valid one (RFC 9110, section 10.2.3)."""
    text = (retry_after or "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        at = parsedate_to_datetime(text[:40])
    except (ValueError, OverflowError):
        return 0.0
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return max(0.0, (at - datetime.now(UTC)).total_seconds())
