"""gunicorn's threads, for a service that answers in time and leaves in order.

A client that sends nothing holds no thread, and one that is slow holds it until the deadline of its
request. On SIGTERM the worker goes on for a while, and says with each answer that it is the last on
its connection.
"""

import math
import time
from typing import Any, Final

from gunicorn.http.message import Request
from gunicorn.http.parser import RequestParser

from app import lifecycle
from app.polling import PollingWorker

TURN_SECONDS: Final = 0.1


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


class Worker(PollingWorker):
    """gthread, which waits for clients in its poller, parts from them there, and leaves in order.

    Before it is run, `grace` and `patience` are set to SHUTDOWN_GRACE and REQUEST_DEADLINE.
    """

    grace = 0.0

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.leaving: float | None = None

    def run(self) -> None:
        """Take requests until told to leave."""
        RequestParser.mesg_class = LastRequest  # gunicorn has no setting for it
        lifecycle.note_ready(self.age)
        super().run()

    def handle_exit(self, sig: int, frame: object) -> None:
        """SIGTERM: begin to leave; the second changes nothing."""
        if self.leaving is None:
            self.leaving = time.monotonic()
            self.method_queue.defer(lambda: None)

    def wait_for_and_dispatch_events(self, timeout: float) -> None:
        """As many turns as there are in this time, for gthread has much to do after each.

        Only one where it has to look soon: when it has too many connections, or leaves.
        """
        end = time.monotonic() + (timeout if self.leaving is None else min(timeout, TURN_SECONDS))
        while (left := end - time.monotonic()) > 0:
            super().wait_for_and_dispatch_events(left)
            full = self.nr_conns >= self.worker_connections
            if self.leaving is not None or full == self._accepting:
                break
        self._leave_in_time()

    def _leave_in_time(self) -> None:
        if lifecycle.stopping() and self.leaving is None:
            self.leaving = time.monotonic()
        if self.leaving is not None and self._may_go(self.leaving):
            self.alive = False

    def _may_go(self, since: float) -> bool:
        """After the grace, or when a newer worker has taken over."""
        replaced = not lifecycle.stopping() and lifecycle.newest() > self.age
        return replaced or time.monotonic() - since >= self.grace

    def handle_request(self, request: Any, connection: Any) -> bool:
        """As ever, but one who leaves says so."""
        if self.leaving is not None:
            request.force_close()
        return super().handle_request(request, connection)
