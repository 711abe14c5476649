"""The threads of a worker and who gets one: health has threads that no other request can hold."""

import errno
import math
import re
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Final

from app import deadline

HEALTH: Final = re.compile(rb"(?:GET|HEAD) /health(/db)? HTTP/1\.[01]\r\n")
HAS_BODY: Final = re.compile(rb"\r\n(?:content-length|transfer-encoding)[ \t]*:", re.IGNORECASE)
HEAD_BYTES: Final = 8192

LEAST_SECONDS: Final = 0.01
"""To read what is there of a request that waited for a thread until its deadline was over."""


class Client(socket.socket):
    """A client's connection, which no thread waits for longer than `patience`: to send its request
    until the deadline, and to take what it is answered as long again.
    """

    deadline = 0.0
    patience = math.inf

    def recv(self, size: int, flags: int = 0) -> bytes:
        """As ever, but whoever is too slow counts as gone."""
        with self._within(max(LEAST_SECONDS, self.deadline - time.monotonic())):
            return super().recv(size, flags)

    def sendall(self, data: Any, flags: int = 0) -> None:
        """As ever, but whoever does not read counts as gone."""
        with self._within(self.patience):
            super().sendall(data, flags)

    def sendfile(self, file: Any, offset: int = 0, count: int | None = None) -> int:
        """As ever, but whoever does not read counts as gone."""
        with self._within(self.patience):
            return super().sendfile(file, offset, count)

    @contextmanager
    def _within(self, seconds: float) -> Iterator[None]:
        given = self.gettimeout()
        least = seconds if given is None else min(given, seconds)
        self.settimeout(None if math.isinf(least) else least)
        try:
            yield
        except TimeoutError:
            raise ConnectionResetError(errno.ECONNRESET, "the client is too slow") from None
        finally:
            self.settimeout(given)


class Lanes:
    """The threads of a worker: those for requests, and others that only /health is given."""

    def __init__(self, threads: int, patience: float) -> None:
        self.patience = patience
        self.ordinary = ThreadPoolExecutor(threads)
        self.health = {None: ThreadPoolExecutor(1), b"/db": ThreadPoolExecutor(2)}

    def submit(self, handle: Callable[[Any], object], connection: Any) -> Future[object]:
        """Handle the request that has begun to arrive, or nothing where the client has gone."""
        arrived = time.monotonic()
        lane: ThreadPoolExecutor | None = self.ordinary
        if isinstance(connection.sock, Client):
            connection.sock.deadline = arrived + self.patience
            connection.sock.patience = self.patience
            lane = self._lane(connection)
        if lane is None:
            gone: Future[object] = Future()
            gone.set_result(False)
            return gone
        return lane.submit(handle_arrived, arrived, handle, connection)

    def _lane(self, connection: Any) -> ThreadPoolExecutor | None:
        """Only what is all there and cannot wait for its client goes to the threads of health."""
        if connection.parser and connection.parser.unreader.buf.getvalue():
            return self.ordinary  # the next bytes on the socket are not the request's first
        connection.sock.setblocking(False)
        try:
            head = connection.sock.recv(HEAD_BYTES, socket.MSG_PEEK)
        except BlockingIOError:
            return self.ordinary
        except OSError:
            return None
        asked = HEALTH.match(head)
        if asked and b"\r\n\r\n" in head and not HAS_BODY.search(head):
            return self.health[asked[1]]
        return self.ordinary if head else None

    def shutdown(self, wait: bool = True) -> None:
        """As an executor's."""
        for lane in (self.ordinary, *self.health.values()):
            lane.shutdown(wait=wait)


def handle_arrived(arrived: float, handle: Callable[[Any], object], connection: Any) -> object:
    """Handle a request in this thread, which it may have waited for."""
    deadline.note_arrival(arrived)
    return handle(connection)
