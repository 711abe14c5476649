"""gthread's worker, for a service that answers in time and shuts down in order.

A client that sends nothing holds no thread, and one that is slow holds it until the deadline of its
request. On SIGTERM the worker goes on for a while, and closes connections as they are used.
"""

import math
import signal
import socket
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from selectors import EVENT_READ
from types import SimpleNamespace
from typing import Any, Final

from gunicorn.workers.gthread import ThreadWorker

from app.core import deadline, lifecycle
from app.core.metrics import tally
from app.server.client import Client
from app.server.lanes import Lanes

HEAD_BYTES: Final = 8192  # looked at to choose a thread
REPORT_SECONDS: Final = 0.5  # between two reports of the load
BODY_BYTES: Final = 65536  # gunicorn closes a connection that has so much of a body left unread
LATE_SECONDS: Final = 0.1  # to read a request that waited for a thread beyond its deadline
LINGER_SECONDS: Final = 2.0  # to read from a connection before it is closed
MOST_DISCARDED: Final = 8 * 1024 * 1024  # bytes that are so read


class Idle(deque[Any]):
    """Connections that wait for a request; a thread may add one while the main loop iterates."""

    def __iter__(self) -> Iterator[Any]:
        return iter([*super().__iter__()])


class Worker(ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    """The worker that gunicorn.conf.py names, where these attributes are set."""

    alive: bool
    grace = 0.0  # SHUTDOWN_GRACE
    patience = 30.0  # REQUEST_DEADLINE
    error_response: Callable[[int], bytes]  # to what gunicorn refuses with this status
    leaving = 0.0  # since when it shuts down
    reported = 0.0

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.keepalived_conns = Idle()

    def get_thread_pool(self) -> Lanes:
        """The threads."""
        return Lanes(self.cfg.threads)

    def enqueue_req(self, conn: Any) -> None:
        """Have a request handled that has begun to arrive; otherwise the connection waits for one.

        Threads call this too: gthread would wake its main loop after each response.
        """
        if not conn.data_ready:
            conn.data_ready = True
            conn.sock = Client(conn.sock, self.patience)
        client = conn.sock
        try:
            # What was read together with the request before is not in the socket any more.
            head = conn.parser.unreader.buf.getvalue() if conn.parser else b""
            head = head or socket.socket.recv(client, HEAD_BYTES, socket.MSG_PEEK)
        except BlockingIOError:
            conn.timeout = time.monotonic() + (self.cfg.keepalive if self.alive else LINGER_SECONDS)
            self.keepalived_conns.append(conn)
            on_readable = partial(self.on_client_socket_readable, conn)
            self.poller.register(client, EVENT_READ, on_readable)
            return
        except OSError:
            head = b""
        if head:
            client.arrived = time.monotonic()
            self.tpool.submit(head, partial(self._serve, conn))
        else:
            self.method_queue.defer(self._close, conn)

    def _serve(self, conn: Any) -> None:
        """Handle one request in a thread, until its deadline."""
        client = conn.sock
        client.until = max(client.arrived + self.patience, time.monotonic() + LATE_SECONDS)
        deadline.note_arrival(client.arrived)
        kept = False
        try:
            kept = self.handle(conn)
        finally:
            if kept:
                self.enqueue_req(conn)
            else:
                self.method_queue.defer(self._part, conn)

    def handle_request(self, req: Any, conn: Any) -> bool:
        """Answer, with the head and the beginning of the body in one piece."""
        if lifecycle.leaving() or getattr(req.body.reader, "length", math.inf) > BODY_BYTES:
            req.force_close()
        conn.sock.holds = True
        try:
            return bool(super().handle_request(req, conn))
        finally:
            conn.sock.flush()

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        """Answer with gunicorn's status, and a body that the application makes."""
        written: list[bytes] = []
        taker = SimpleNamespace(gettimeout=lambda: 0.0, sendall=written.append)
        super().handle_error(req, taker, addr, exc)
        with suppress(OSError):
            client.sendall(self.error_response(int(written[0].split(b" ", 2)[1])))

    def _part(self, conn: Any) -> None:
        """Close the connection once the client has read the response.

        gthread would wait for that in its main loop. Source: RFC 9112, section 9.6.
        """
        try:
            conn.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self._close(conn)
        else:
            conn.timeout = time.monotonic() + LINGER_SECONDS
            self.pending_conns.append(conn)  # which gthread closes when the time is over
            self.poller.register(conn.sock, EVENT_READ, partial(self._discard, conn))

    def _discard(self, conn: Any, client: Client) -> None:
        try:
            read = len(socket.socket.recv(client, BODY_BYTES))
        except BlockingIOError:
            return
        except OSError:
            read = 0
        client.discarded += read
        if not read or client.discarded > MOST_DISCARDED:
            self.pending_conns.remove(conn)
            self.poller.unregister(client)
            self._close(conn)

    def _close(self, conn: Any) -> None:
        self.nr_conns -= 1
        conn.close()

    def handle_exit(self, sig: int, frame: object) -> None:
        """SIGTERM: begin to shut down; a second one changes nothing."""
        lifecycle.leave()
        self.method_queue.defer(lambda: None)

    def wait_for_and_dispatch_events(self, timeout: float) -> None:
        """One turn of the main loop, after which the worker may end, and reports its load."""
        super().wait_for_and_dispatch_events(timeout)
        now = time.monotonic()
        if lifecycle.interrupted():
            self.handle_quit(signal.SIGQUIT, None)
        if self.alive and lifecycle.leaving():
            self.leaving = self.leaving or now
            replaced = not lifecycle.stopping() and lifecycle.newest() > self.age
            if replaced or now - self.leaving >= self.grace:
                self.alive = False
                self._stop_listening()
        if (ledger := tally.ledger()) and now - self.reported > REPORT_SECONDS:
            self.reported = now
            running, waiting = self.tpool.load()
            ledger.note_threads(self.cfg.threads, running + waiting, waiting)

    def _stop_listening(self) -> None:
        """Take the connections that wait to be accepted; later ones are refused and go elsewhere.

        gthread listens until its last request is answered, and resets connections made meanwhile.
        """
        self.set_accept_enabled(False)
        for listener in self.sockets:
            before = -1
            while before < self.nr_conns:
                before = self.nr_conns
                self.accept(listener)
            listener.close()
