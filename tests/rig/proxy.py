"""A TCP proxy before PostgreSQL that counts flights, and can do what networks do to them."""

import asyncio
import socket
import struct
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit
from weakref import WeakSet

from tests.rig.listening import Listening

RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close with RST


@dataclass
class Faults:
    """What the proxy does to those who pass; every field may be set at any time."""

    delay: float = 0.0
    """Seconds that each new connection waits before anything of it is forwarded."""

    lag: float = 0.0
    """Seconds that each message takes more, as from another region."""

    asleep: bool = False
    """New connections are taken and wait, as at a database that wakes up."""

    black_hole: bool = False
    """What comes, from either side, vanishes; a connection that lost something stays silent."""

    lose_answer_to: bytes = b""
    """A message with these bytes is delivered, and the connection is cut when its answer comes."""

    cut_within: bytes = b""
    """Half of a message with these bytes is delivered, and the connection is cut."""

    every: int = 1
    """The cuts are for each so-manieth of those messages."""


class Proxy(Listening):
    """Forwards a port of 127.0.0.1; a flight is the first thing sent after an answer."""

    def __init__(self, database_url: str) -> None:
        super().__init__()
        parts = urlsplit(database_url)
        self.target = (parts.hostname or "", parts.port or 5432)
        self.faults = Faults()
        self.flights = 0
        self.cuts = 0
        self._matches = 0
        self.url = database_url.replace(f":{parts.port}/", f":{self.port}/")
        self._passages: set[asyncio.Task[None]] = set()
        self.writers: WeakSet[asyncio.StreamWriter] = WeakSet()
        """Those of both sides of each connection."""

    def cut(self) -> None:
        """Cut the connections that are open."""
        self._run(self._cut())

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._take, sock=self._listener)

    async def _end(self) -> None:
        await super()._end()
        await self._cut()
        writers = list(self.writers)  # also of those that were told to close and have yet to
        for writer in writers:
            writer.transport.abort()
        await asyncio.gather(*(each.wait_closed() for each in writers), return_exceptions=True)

    async def _cut(self) -> None:
        passages = list(self._passages)
        for passage in passages:
            passage.cancel()
        await asyncio.gather(*passages, return_exceptions=True)
        await asyncio.sleep(0)  # a transport that was aborted closes in the next round

    def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        passage = self._loop.create_task(Passage(self, reader, writer).run())
        self._passages.add(passage)
        passage.add_done_callback(self._passages.discard)

    def strikes(self, message: bytes, mark: bytes) -> bool:
        """Whether it is this message's turn to be cut."""
        if not mark or mark not in message:
            return False
        self._matches += 1
        struck = self._matches % self.faults.every == 0
        self.cuts += struck
        return struck


class Passage:
    """One connection through the proxy."""

    def __init__(
        self, proxy: Proxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.proxy = proxy
        self.faults = proxy.faults
        self.reader = reader
        self.writers = [writer]
        proxy.writers.add(writer)
        self.sent_last = "server"
        self.lost = False
        self.doomed = False
        self.cut = True

    async def run(self) -> None:
        """Forward until one side closes or the connection is cut; then close both."""
        try:
            await self._wait_for_the_way()
            reader, writer = await asyncio.open_connection(*self.proxy.target)
            self.writers.append(writer)
            self.proxy.writers.add(writer)
            await first_of(
                self._pump(self.reader, writer, self._of_client),
                self._pump(reader, self.writers[0], self._of_server),
            )
        except OSError:
            pass
        finally:
            self._close()

    async def _wait_for_the_way(self) -> None:
        await asyncio.sleep(self.faults.delay)
        while self.faults.asleep or self.faults.black_hole:
            await asyncio.sleep(0.02)

    async def _pump(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        passes: Callable[[bytes], bytes],
    ) -> None:
        while data := await reader.read(65536):
            self.lost = self.lost or self.faults.black_hole
            if self.lost:
                continue
            forwarded = passes(data)
            if self.faults.lag:
                await asyncio.sleep(self.faults.lag)
            writer.write(forwarded)
            await writer.drain()
            if len(forwarded) < len(data):
                return
        if self.lost or self.faults.black_hole:
            await asyncio.Event().wait()  # nobody on the other side hears of it
        self.cut = False

    def _of_client(self, message: bytes) -> bytes:
        if self.sent_last == "server":
            self.proxy.flights += 1
        self.sent_last = "client"
        if self.proxy.strikes(message, self.faults.cut_within):
            return message[: len(message) // 2]
        # A long message comes in several pieces.
        if self.proxy.strikes(message, self.faults.lose_answer_to):
            self.doomed = True
        return message

    def _of_server(self, message: bytes) -> bytes:
        self.sent_last = "server"
        return b"" if self.doomed else message

    def _close(self) -> None:
        for writer in self.writers:
            if not self.cut:
                writer.close()
                continue
            connection = writer.get_extra_info("socket")
            if connection.fileno() >= 0:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            writer.transport.abort()


async def first_of(*works: Coroutine[Any, Any, None]) -> None:
    """Return when the first of them does; the others are cancelled, whatever happens."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
