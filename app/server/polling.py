"""gthread's worker, whose clients wait in its poller: for their turn, and for the end."""

import socket
import time
from functools import partial
from math import inf
from selectors import EVENT_READ
from typing import Any, Final

from gunicorn.workers.gthread import ThreadWorker

from app import callers, deadline, lifecycle
from app.server.client import Client
from app.server.lanes import Lanes

PARTING_SECONDS: Final = 2.0
PARTING_BYTES: Final = 8 * 1024 * 1024
PARTING_PIECE: Final = 65536

YIELD_SECONDS: Final = 0.005
"""How long a new connection is left to the other workers."""


class PollingWorker(ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    """A connection is given a thread only while a request of it is answered.

    The poller watches it all the time, also then: as a rule nothing comes, and a thread that ends
    leaves the poller nothing to do. What comes all the same has to wait: the connection is muted,
    and heard again once the thread is done. Neither misses the other: the thread sets `busy` to
    false before it looks whether the connection is muted, and the poller mutes it before it looks
    whether it is still busy. All else of a connection is changed by the poller's thread alone, or
    by the one that is busy with it.
    """

    patience = 30.0

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.connections: set[Any] = set()
        self.keepalive = float(self.cfg.keepalive)
        self.last = inf
        self.yields_until = inf

    def get_thread_pool(self) -> Any:
        """Instead of gthread's one pool; where gunicorn ends TLS, all is left as gthread has it."""
        return super().get_thread_pool() if self.cfg.is_ssl else Lanes(self.cfg.threads)

    # New connections

    def accept(self, listener: Any) -> None:
        """Take a new connection, unless another worker has clearly fewer: each was woken by it.

        If the first took it, one would at times have most or all of them, its interpreter's lock
        would serve them in turn, and another core would be idle.
        """
        if self._has_more():
            self.yields_until = time.monotonic() + YIELD_SECONDS
        else:
            super().accept(listener)
            lifecycle.note_load(self.age, self.nr_conns)

    def _has_more(self) -> bool:
        # One more is none too many: to wait for that costs clients that connect for each request.
        return bool(self.nr_conns > lifecycle.least_load() + 1)

    def wait_for_and_dispatch_events(self, timeout: float) -> None:
        """One turn: wait until something comes, and do what there is to do about it."""
        lifecycle.note_load(self.age, self.nr_conns if self.alive else None)
        yields = self.yields_until < inf
        super().wait_for_and_dispatch_events(min(timeout, YIELD_SECONDS) if yields else timeout)
        if yields:
            self._yield_in_time()
        may_accept = self.alive and self.yields_until == inf
        self.set_accept_enabled(may_accept and self.nr_conns < self.worker_connections)

    def _yield_in_time(self) -> None:
        """Take new connections again: when there are fewer, or none other has taken this one."""
        if self.yields_until <= time.monotonic():
            self.yields_until = inf
            for listener in self.sockets:
                super().accept(listener)
        elif not self._has_more():
            self.yields_until = inf

    def enqueue_req(self, connection: Any) -> None:
        """Have a new connection wait until it sends something."""
        if self.cfg.is_ssl:
            super().enqueue_req(connection)
            return
        connection.sock = Client(connection.sock, self.patience)
        connection.sock.expires = time.monotonic() + self.keepalive
        connection.data_ready = True
        self.connections.add(connection)
        self._hear(connection)

    def _hear(self, connection: Any) -> None:
        client = connection.sock
        if client.muted and not client.busy and connection in self.connections:
            client.muted = False
            self.poller.register(client, EVENT_READ, partial(self._on_readable, connection))

    def _on_readable(self, connection: Any, client: Client) -> None:
        """A request, or the end of the connection, or more than was asked for."""
        if connection not in self.connections:
            return  # it has ended since the poller looked
        if client.parting:
            self._discard(connection)
        elif client.busy:
            self.poller.unregister(client)
            client.muted = True
            self._hear(connection)
        else:
            self._take(connection)

    # From the poller to a thread, and back

    def _take(self, connection: Any) -> None:
        """Give a thread the request that has begun to arrive."""
        client, arrived = connection.sock, time.monotonic()
        try:
            head = left_over(connection) or client.read_ahead()
        except BlockingIOError:
            return
        except OSError:
            head = b""
        if not head:
            self._drop(connection)
            return
        client.busy = True
        client.deadline = arrived + self.patience
        work = partial(self._serve, connection, arrived)
        self.tpool.choose(head).submit(work, callers.caller(head))

    def _serve(self, connection: Any, arrived: float) -> None:
        """In a thread: answer one request, and have the connection go on or end.

        A request that turns out to be of a user who has all threads they may have waits without
        one, and is answered from its beginning.
        """
        deadline.note_arrival(arrived)
        client, kept = connection.sock, False
        client.begun = time.monotonic()
        try:
            kept = self.handle(connection)
        except callers.NotYet as not_yet:
            work = partial(self._serve, connection, arrived)
            self.tpool.ordinary.submit(work, not_yet.caller)
            return
        except Exception:
            self.log.exception("Error handling a connection")
        if not kept:
            self.method_queue.defer(self._part, connection)
        elif left_over(connection):
            self.method_queue.defer(self._take, connection)
        else:
            client.expires = time.monotonic() + self.keepalive
            client.busy = False
            if client.muted:
                self.method_queue.defer(self._hear, connection)

    def handle_request(self, request: Any, connection: Any) -> bool:
        """As ever, but the head of an answer leaves with its body."""
        client = connection.sock
        if not isinstance(client, Client):
            return bool(super().handle_request(request, connection))
        if self.nr_conns > self.max_keepalived:
            request.force_close()
        client.hold()
        try:
            return bool(super().handle_request(request, connection))
        except callers.NotYet:
            connection.parser.postpone(request)
            raise
        finally:
            client.flush()

    # The end

    def _part(self, connection: Any) -> None:
        """Say that nothing follows, and read what still comes, so that the answer is not lost.

        Source: RFC 9112, section 9.6.
        """
        client = connection.sock
        client.parting = PARTING_BYTES
        client.expires = time.monotonic() + PARTING_SECONDS
        client.busy = False
        self._hear(connection)
        try:
            client.shutdown(socket.SHUT_WR)
        except OSError:
            self._drop(connection)

    def _discard(self, connection: Any) -> None:
        client = connection.sock
        try:
            read = client.discard(PARTING_PIECE)
        except BlockingIOError:
            return
        except OSError:
            read = 0
        client.parting -= read
        if not read or client.parting <= 0:
            self._drop(connection)

    def murder_pending(self) -> None:
        """Close what has sent nothing in its time, and what has had its time to part."""
        super().murder_pending()
        now = time.monotonic()
        idle = [connection for connection in self.connections if not connection.sock.busy]
        for connection in idle:
            if min(connection.sock.expires, self.last) <= now:
                self._drop(connection)

    def _cap_keepalive(self, deadline: float) -> None:
        super()._cap_keepalive(deadline)
        self.last = deadline

    def _drop(self, connection: Any) -> None:
        client = connection.sock
        self.connections.remove(connection)
        if not client.muted:
            self.poller.unregister(client)
        client.end()
        self.nr_conns -= 1


def left_over(connection: Any) -> bytes:
    """What has been read of the next request already."""
    parser = connection.parser
    return (parser.unreader.buf.getvalue() if parser else b"") or connection.sock.ahead or b""
