"""A kept-alive HTTP/1.1 connection, as light as can be: it shares the server's processors."""

import asyncio
from typing import NamedTuple


class Answer(NamedTuple):
    """What came back, with the names of headers in small letters."""

    status: int
    headers: dict[str, str]
    body: bytes


class Wire:
    """One connection to the address, opened when it is needed; for one request at a time."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.address = address
        self.streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, request: bytes) -> Answer:
        """Send the request and return its answer. Raises OSError or EOFError if none comes."""
        try:
            if self.streams is None:
                self.streams = await asyncio.open_connection(*self.address)
            reader, writer = self.streams
            writer.write(request)
            answer = await read(reader)
        except BaseException:
            self.close()
            raise
        if answer.headers.get("connection", "").lower() == "close":
            self.close()
        return answer

    def close(self) -> None:
        """End the connection; the next request opens another."""
        if self.streams is not None:
            self.streams[1].close()
        self.streams = None


async def read(reader: asyncio.StreamReader) -> Answer:
    """The next answer on the connection; its length is always told here."""
    head = await reader.readuntil(b"\r\n\r\n")
    status, *lines = head.decode("latin-1").rstrip().split("\r\n")
    pairs = (line.split(": ", 1) for line in lines)
    headers = {name.lower(): value for name, value in pairs}
    code = int(status.split()[1])
    length = 0 if code in {204, 304} else int(headers["content-length"])
    return Answer(code, headers, await reader.readexactly(length))
