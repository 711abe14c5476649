"""Requests as bytes: what no client would send, or not so slowly, or not so much."""

import select
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from http.client import HTTPResponse

from tests.conftest import Account

HOST = b"Host: localhost\r\n"
BODY = b"Content-Type: application/json\r\n"
CHUNKED = b"POST /v1/auth/token HTTP/1.1\r\n" + HOST + BODY + b"Transfer-Encoding: chunked\r\n\r\n"

GET = b"GET /health HTTP/1.1\r\n" + HOST + b"\r\n"
MEGABYTE = 2**20
PROMPT = 1.0
"""Seconds: ten times what /health promises, for a machine that is busy with other tests."""


def connect(server: str) -> socket.socket:
    """A connection on which nothing has been said."""
    host, port = server.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=60)


def exchange(server: str, request: bytes) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of what the server answers to these bytes."""
    with connect(server) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        return received(connection)


def ask(server: str, request: bytes) -> tuple[int, dict[str, str], bytes]:
    """As `exchange`, without hanging up before the answer, which a balancer may take for an end."""
    with connect(server) as connection:
        connection.sendall(request)
        return answered(connection)


def received(connection: socket.socket) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of what comes before the connection ends."""
    answer = b"".join(iter(lambda: connection.recv(65536), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    status, *lines = head.decode("latin-1").split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines)
    return int(status.split()[1]), headers, body


@contextmanager
def connections(server: str, count: int, begun: bytes = b"") -> Iterator[list[socket.socket]]:
    """So many connections that have sent no more than this."""
    with ExitStack() as stack:
        opened = [stack.enter_context(connect(server)) for _ in range(count)]
        for connection in opened:
            connection.sendall(begun)
        yield opened


def seconds(server: str, request: bytes) -> tuple[int, float]:
    """The status of the answer, and how long it took."""
    started = time.monotonic()
    status = exchange(server, request)[0]
    return status, time.monotonic() - started


def answered(connection: socket.socket) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of the next answer, whether or not the connection ends with it."""
    response = HTTPResponse(connection)
    response.begin()
    headers = {name.lower(): value for name, value in response.getheaders()}
    return response.status, headers, response.read()


def asking(path: str, account: Account, method: str = "GET", body: bytes = b"") -> bytes:
    """A whole request of this user."""
    return (
        f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {account.token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body


def memory(pid: int) -> int:
    """How many bytes of memory the process has."""
    shown = subprocess.run(["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, check=True)
    return int(shown.stdout) * 1024


def stream(connection: socket.socket, chunk: int, look: Callable[[], object]) -> int:
    """Send up to a gigabyte in chunks of this size, looking at each megabyte; return how much was
    sent when the server answered or hung up.
    """
    sent, block = 0, b" " * 65536
    connection.sendall(CHUNKED)
    with suppress(ConnectionError):
        while sent < 2**30 and not select.select([connection], [], [], 0)[0]:
            if sent % chunk == 0:
                connection.sendall((b"\r\n" if sent else b"") + f"{chunk:x}\r\n".encode())
            connection.sendall(block)
            sent += len(block)
            if sent % MEGABYTE == 0:
                look()
    return sent
