"""gunicorn's threads, for a service that answers in time and leaves in order.

A client that sends nothing holds no thread, and one that is slow holds it until the deadline of its
request. On SIGTERM the worker goes on for a while, and says with each answer that it is the last on
its connection.
"""

import signal
import time
from math import inf
from typing import Any, Final

from gunicorn.workers.gthread import ThreadWorker

from app import lifecycle, tally
from app.server import messages
from app.server.lanes import Lanes
from app.server.polling import PollingWorker

TURN_SECONDS: Final = 0.1


class Worker(PollingWorker):
    """gthread, which waits for clients in its poller, parts from them there, and leaves in order.

    Before it is run, `grace` and `patience` are set to SHUTDOWN_GRACE and REQUEST_DEADLINE.
    """

    grace = 0.0
    alive: bool

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.leaving: float | None = None

    def run(self) -> None:
        """Take requests until told to leave."""
        messages.adapt(self.cfg)
        lifecycle.note_ready(self.age)
        tally.note_threads(self.cfg.threads, 0, 0)
        super().run()

    def handle_exit(self, sig: int, frame: object) -> None:
        """SIGTERM: begin to leave; the second changes nothing."""
        if self.leaving is None:
            self.leaving = time.monotonic()
            lifecycle.leave()
            self.method_queue.defer(lambda: None)

    def wait_for_and_dispatch_events(self, timeout: float) -> None:
        """As many turns as there are in this time, for gthread has much to do after each.

        Only one where it leaves and has to look soon.
        """
        end = time.monotonic() + (timeout if self.leaving is None else min(timeout, TURN_SECONDS))
        while (left := end - time.monotonic()) > 0:
            super().wait_for_and_dispatch_events(left)
            if self.leaving is not None:
                break
        self._leave_in_time()
        if tally.wanted() and isinstance(self.tpool, Lanes):
            busy = sum(connection.sock.busy for connection in self.connections)
            tally.note_threads(self.cfg.threads, busy, self.tpool.queued)

    def _leave_in_time(self) -> None:
        if lifecycle.interrupted():
            self.handle_quit(signal.SIGQUIT, None)
        if lifecycle.stopping() and self.leaving is None:
            self.leaving = time.monotonic()
        if self.alive and self.leaving is not None and self._may_go(self.leaving):
            self.alive = False
            self._stop_listening()

    def _may_go(self, since: float) -> bool:
        """After the grace, or when a newer worker has taken over."""
        replaced = not lifecycle.stopping() and lifecycle.newest() > self.age
        return replaced or time.monotonic() - since >= self.grace

    def _stop_listening(self) -> None:
        """Take who waits to be let in, and have who comes later refused, and so go elsewhere.

        gthread keeps the door open until the last request is answered, and who came meanwhile and
        sent something is reset: whether it was read, nobody can tell.
        """
        self.set_accept_enabled(False)
        self.yields_until = inf
        for listener in self.sockets:
            before = -1
            while before < self.nr_conns:
                before = self.nr_conns
                ThreadWorker.accept(self, listener)
            listener.close()

    def handle_request(self, request: Any, connection: Any) -> bool:
        """As ever, but one who leaves says so."""
        if self.leaving is not None or lifecycle.stopping():
            request.force_close()
        return super().handle_request(request, connection)
