"""gunicorn's threads, for a service that answers in time and leaves in order.

A client that sends nothing holds no thread, and one that is slow holds it until the deadline of its
request. On SIGTERM the worker goes on for a while, and says with each answer that it is the last on
its connection.
"""

import math
import socket
import time
from collections import deque
from concurrent.futures import Future
from functools import partial
from selectors import EVENT_READ
from typing import Any, Final

from gunicorn.http.message import Request
from gunicorn.http.parser import RequestParser
from gunicorn.workers.gthread import ThreadWorker

from app import lifecycle
from app.client import Client
from app.lanes import Lanes

TURN_SECONDS: Final = 0.1
PARTING_SECONDS: Final = 2.0
PARTING_BYTES: Final = 8 * 1024 * 1024

UNREAD_BYTES: Final = 65536
"""Of a body that the application did not want; what is longer is not read to save a connection."""


class LastRequest(Request):  # type: ignore[misc]  # gunicorn has no types
    """A request that ends its connection where much of its body is left unread."""

    def should_close(self) -> bool:
        """Whether the answer says `Connection: close`."""
        return bool(super().should_close()) or unread(self.body) > UNREAD_BYTES


def unread(body: Any) -> float:
    """How many bytes are left of a request's body; infinitely many if it does not say."""
    if body.failed or getattr(body.reader, "parser", None):
        return math.inf
    return getattr(body.reader, "length", 0)


class Worker(ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    """gthread, which waits for clients in its poller, parts from them there, and leaves in order.

    Before it is run, `grace` and `patience` are set to SHUTDOWN_GRACE and REQUEST_DEADLINE.
    """

    grace = 0.0
    patience = 30.0

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.leaving: float | None = None
        self.parting: deque[Any] = deque()

    def get_thread_pool(self) -> Lanes:
        """Instead of gthread's one pool."""
        return Lanes(self.cfg.threads, self.patience)

    def run(self) -> None:
        """Take requests until told to leave."""
        RequestParser.mesg_class = LastRequest  # gunicorn has no setting for it
        lifecycle.note_ready(self.age)
        super().run()

    # Leaving

    def handle_exit(self, sig: int, frame: object) -> None:
        """SIGTERM: begin to leave; the second changes nothing."""
        if self.leaving is None:
            self.leaving = time.monotonic()
            self.method_queue.defer(lambda: None)

    def wait_for_and_dispatch_events(self, timeout: float) -> None:
        """One turn of gthread's loop, and a short one for who is leaving."""
        if self.leaving is not None:
            timeout = min(timeout, TURN_SECONDS)
        super().wait_for_and_dispatch_events(timeout)
        if lifecycle.stopping() and self.leaving is None:
            self.leaving = time.monotonic()
        if self.leaving is not None and self._may_go(self.leaving):
            self.alive = False

    def _may_go(self, since: float) -> bool:
        """After the grace, or when a newer worker has taken over."""
        replaced = not lifecycle.stopping() and lifecycle.newest() > self.age
        return replaced or time.monotonic() - since >= self.grace

    def _cap_keepalive(self, deadline: float) -> None:
        super()._cap_keepalive(deadline)
        for connection in self.pending_conns:
            connection.timeout = min(connection.timeout, deadline)

    def handle_request(self, request: Any, connection: Any) -> bool:
        """As ever, but one who leaves says so."""
        if self.leaving is not None:
            request.force_close()
        client = connection.sock
        if not isinstance(client, Client):
            return bool(super().handle_request(request, connection))
        client.hold()
        try:
            return bool(super().handle_request(request, connection))
        finally:
            client.flush()

    # Waiting for clients, and parting from them

    def enqueue_req(self, connection: Any) -> None:
        """Give the connection a thread, but a new one only when it has sent something."""
        if connection.initialized or connection.data_ready or self.cfg.is_ssl:
            super().enqueue_req(connection)
            return
        connection.sock = Client(connection.sock, self.patience)
        connection.set_timeout()
        self.pending_conns.append(connection)
        readable = partial(self.on_pending_socket_readable, connection)
        self.poller.register(connection.sock, EVENT_READ, readable)

    def finish_request(self, connection: Any, done: Future[object]) -> None:
        """Keep the connection for the next request, or part from it without waiting here."""
        ended = done.cancelled() or done.exception() is not None or not done.result()
        if ended and isinstance(connection.sock, Client):
            self._part(connection)
        else:
            super().finish_request(connection, done)

    def _part(self, connection: Any) -> None:
        """Say that nothing follows, and read what still comes, so that the answer is not lost.

        Source: RFC 9112, section 9.6.
        """
        try:
            connection.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self._drop(connection)
            return
        connection.timeout = time.monotonic() + PARTING_SECONDS
        connection.unread = PARTING_BYTES
        self.parting.append(connection)
        self.poller.register(connection.sock, EVENT_READ, partial(self._read_on, connection))

    def _read_on(self, connection: Any, client: Client) -> None:
        try:
            read = client.discard(UNREAD_BYTES)
        except BlockingIOError:
            return
        except OSError:
            read = 0
        connection.unread -= read
        if not read or connection.unread <= 0:
            self.parting.remove(connection)
            self.poller.unregister(client)
            self._drop(connection)

    def murder_pending(self) -> None:
        """Close what sent nothing, and what has had its time to part."""
        super().murder_pending()
        while self.parting and self.parting[0].timeout <= time.monotonic():
            connection = self.parting.popleft()
            self.poller.unregister(connection.sock)
            self._drop(connection)

    def _drop(self, connection: Any) -> None:
        self.nr_conns -= 1
        connection.close()
