"""The threads of a worker and who gets one: health has threads that no other request can hold."""

import re
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final

from app import deadline
from app.client import Client

HEALTH: Final = re.compile(rb"(?:GET|HEAD) /health(/db)? HTTP/1\.[01]\r\n")
HAS_BODY: Final = re.compile(rb"\r\n(?:content-length|transfer-encoding)[ \t]*:", re.IGNORECASE)


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
        try:
            head = connection.sock.read_ahead()
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
