"""A server of the tests on a port of 127.0.0.1, in an event loop and a thread of its own."""

import asyncio
import socket
from collections.abc import Coroutine
from threading import Thread
from typing import Any, Self


class Listening:
    """Takes connections while it is entered, but between `refuse` and `accept`.

    A server says how it begins, in `_listen`, and how it ends, in `_end`.
    """

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))  # closed by the server it becomes
        self.port: int = self._listener.getsockname()[1]
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, daemon=True)
        self._server: asyncio.Server | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        self._run(self._listen())
        return self

    def __exit__(self, *_: object) -> None:
        self._run(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def refuse(self) -> None:
        """Refuse new connections and cut those that are open, as a host without a server does."""
        self._run(self._end())

    def accept(self) -> None:
        """Take connections again."""
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self._run(self._listen())

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=30)

    async def _listen(self) -> None:
        """Begin to take connections from `_listener`, by `_server`."""
        raise NotImplementedError

    async def _end(self) -> None:
        """Take no more, and cut what is open; a server does the latter after this."""
        if self._server is None:
            return
        for listener in self._server.sockets:
            self._loop.remove_reader(listener.fileno())
        for _ in range(5):  # a server that is closed drops what it has just accepted, and leaks it
            await asyncio.sleep(0)
        self._server.close()
        self._server = None
