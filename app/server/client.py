"""A client's connection, as gunicorn's threads see it: they wait for it, but never for long."""

import errno
import math
import select
import socket
import time
from typing import Any, Final

AHEAD_BYTES: Final = 8192
"""What is read before a thread is chosen: as much as gunicorn's parser asks for at once."""

LEAST_SECONDS: Final = 0.01
"""To read what is there of a request that waited for a thread until its deadline was over."""

LATE_SECONDS: Final = 1.0
"""From when a thread has it until such a request has to be there."""


class Client(socket.socket):
    """A connection that does not block, for good, and so costs few system calls.

    A thread reads its request until `deadline`, and waits for it to take an answer no longer than
    `patience`. Whoever is slower counts as gone: ConnectionResetError.
    """

    deadline = 0.0
    begun = math.inf
    """When a thread began to read the request."""

    expires = 0.0
    """When it is closed if nothing comes; in monotonic seconds, as all of these."""

    busy = False
    """Whether a thread has it."""

    muted = True
    """Whether the poller does not watch it."""

    parting = 0
    """How many bytes are read for nobody before it is closed; 0 unless it is to be closed."""

    def __init__(self, accepted: socket.socket, patience: float) -> None:
        family, kind, protocol = accepted.family, accepted.type, accepted.proto
        super().__init__(family, kind, protocol, accepted.detach())
        super().setblocking(False)
        self.patience = patience
        self.limit = patience
        self.ahead: bytes | None = None
        self.held: bytes | None = None

    def setblocking(self, flag: bool, /) -> None:
        """Nothing. gunicorn says it several times with each request."""

    def settimeout(self, value: float | None, /) -> None:
        """Wait no longer than this for what comes next, nor than the deadline."""
        self.limit = self.patience if value is None else value

    def gettimeout(self) -> float:
        """What was set; never 0, which would mean that nothing waits."""
        return self.limit

    # Reading

    def read_ahead(self) -> bytes:
        """What has arrived, which `recv` gives again; empty if the client has hung up.

        Raises BlockingIOError if nothing has arrived.
        """
        if self.ahead is None:
            self.ahead = super().recv(AHEAD_BYTES)
        return self.ahead

    def recv(self, size: int, flags: int = 0, /) -> bytes:
        """As ever, once what was read ahead is used up."""
        if self.ahead is not None:
            data, rest = self.ahead[:size], self.ahead[size:]
            self.ahead = rest or None
            return data
        now = time.monotonic()
        if now > max(self.deadline, self.begun + LATE_SECONDS):
            raise too_slow()  # however much has come: a body in tiny chunks takes a processor
        until = max(now + LEAST_SECONDS, min(self.deadline, now + self.limit))
        while True:
            try:
                return super().recv(size, flags)
            except BlockingIOError:
                self._wait(select.POLLIN, until)

    def discard(self, size: int) -> int:
        """Read what has arrived, for nobody; how much that was, or 0 if nothing follows.

        Raises BlockingIOError if nothing has arrived.
        """
        return len(super().recv(size))

    def is_closed(self) -> bool:
        """Whether the client has hung up, or will send no more; looks at the next byte if any."""
        try:
            return not super().recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            return True

    # Writing

    def hold(self) -> None:
        """Let what is written first, the head of an answer, wait for what is written next."""
        self.held = b""

    def flush(self) -> None:
        """Send what still waits, and let nothing wait any more."""
        held, self.held = self.held, None
        if held:
            self._write(held)

    def sendall(self, data: Any, flags: int = 0, /) -> None:
        """As ever, or together with what is written next."""
        if self.held == b"":
            self.held = data
            return
        held, self.held = self.held, None
        self._write(held + data if held else data)

    def send(self, data: Any, flags: int = 0, /) -> int:
        """All of it and at once: gunicorn says 100 Continue so."""
        self._write(data)
        return len(data)

    def sendfile(self, file: Any, offset: int = 0, count: int | None = None) -> int:
        """As ever, after what waits."""
        self.flush()
        try:
            return super().sendfile(file, offset, count)
        except TimeoutError:
            raise too_slow() from None

    def shutdown(self, how: int, /) -> None:
        """As ever, after what waits."""
        self.flush()
        super().shutdown(how)

    def close(self) -> None:
        """Nothing yet: gunicorn says it in a thread, and the poller has to forget it first."""

    def end(self) -> None:
        """What `close` is otherwise."""
        super().close()

    def _write(self, data: Any) -> None:
        until = 0.0
        while True:
            try:
                sent = super().send(data)
            except BlockingIOError:
                sent = 0
            if sent == len(data):
                return
            data = memoryview(data)[sent:]
            until = until or time.monotonic() + self.patience
            self._wait(select.POLLOUT, until)

    def _wait(self, event: int, until: float) -> None:
        poller = select.poll()
        poller.register(self, event)
        if not poller.poll(max(0.0, until - time.monotonic()) * 1000):
            raise too_slow()


def too_slow() -> ConnectionResetError:
    """What gunicorn takes for a client that is gone."""
    return ConnectionResetError(errno.ECONNRESET, "the client is too slow")
