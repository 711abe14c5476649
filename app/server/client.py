"""A client's connection, which a thread waits for only until a deadline."""

import errno
import math
import select
import socket
import time
from contextlib import suppress
from typing import Any

from app.core import deadline


class Client(socket.socket):
    """A socket whose reads end with the request's deadline, and of which a write takes `patience`.

    A client that is slower counts as disconnected: ConnectionResetError. Where `holds` is set, the
    next bytes, the head of a response, are sent together with its body.
    """

    held = b""
    holds = False
    discarded = 0
    arrived = until = 0.0  # when a request became readable, and until when it is read at least

    def __init__(self, accepted: socket.socket, patience: float) -> None:
        super().__init__(accepted.family, accepted.type, accepted.proto, accepted.detach())
        super().setblocking(False)
        self.patience = patience

    def setblocking(self, flag: bool, /) -> None:
        """Do nothing: it waits here, and each change of mode would be a system call."""

    def settimeout(self, seconds: float | None, /) -> None:
        """Limit the reads that follow; 0, which the parser sets when it is done, has no effect."""
        if seconds:
            self.until = min(self.until, time.monotonic() + seconds)

    def recv(self, size: int, flags: int = 0, /) -> bytes:
        """The next bytes, as soon as there are some."""
        left = deadline.left()  # which the application may have renewed
        left = max(0.0 if math.isinf(left) else left, self.until - time.monotonic())
        if left > 0:
            with suppress(BlockingIOError):
                return super().recv(size, flags)
        self._wait(select.POLLIN, left)
        return super().recv(size, flags)

    def sendall(self, data: Any, flags: int = 0, /) -> None:
        """Send all of it, and what is held before it."""
        data, self.held = self.held + data, b""
        if self.holds:
            self.holds, self.held = False, data
            return
        rest, until = memoryview(data), time.monotonic() + self.patience
        while rest:
            try:
                rest = rest[super().send(rest) :]
            except BlockingIOError:
                self._wait(select.POLLOUT, until - time.monotonic())

    def _wait(self, event: int, seconds: float) -> None:
        poller = select.poll()
        poller.register(self, event)
        if seconds <= 0 or not poller.poll(seconds * 1000):
            raise ConnectionResetError(errno.ECONNRESET, "the client is too slow")

    def flush(self) -> None:
        """Send what is held, and hold nothing."""
        self.holds = False
        if self.held and self.fileno() != -1:
            self.sendall(b"")
