"""One request in a thread of the worker: what of an answer leaves, and when."""

import json
import os
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
from gunicorn.config import Config
from gunicorn.glogging import Logger
from gunicorn.workers.gthread import TConn

from app.server.client import Client
from app.server.worker import Worker
from app.web.errors import of_server

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
Serve = Callable[[Application, bytes], bool]

REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture
def pair() -> Iterator[tuple[Client, socket.socket]]:
    ours, theirs = socket.socketpair()
    client = Client(ours, patience=30)
    theirs.settimeout(30)
    yield client, theirs
    client.close()
    theirs.close()


@pytest.fixture
def serve(pair: tuple[Client, socket.socket]) -> Iterator[Serve]:
    """Has a worker answer one request; whether it would keep the connection."""
    configuration = Config()
    worker = Worker(1, os.getpid(), [], None, 30, configuration, Logger(configuration))

    def served(application: Application, request: bytes) -> bool:
        client, theirs = pair
        connection = TConn(configuration, client, ("127.0.0.1", 1), ("127.0.0.1", 2))
        connection.data_ready = True
        worker.wsgi = application
        worker.error_response = of_server
        theirs.sendall(request)
        client.arrived = time.monotonic()
        return bool(worker.handle(connection))

    yield served
    worker.tmp.close()


def received(theirs: socket.socket) -> bytes:
    """What has arrived."""
    theirs.setblocking(False)
    try:
        return theirs.recv(65536)
    except BlockingIOError:
        return b""


def test_each_block_leaves_before_the_next_is_asked_for(
    pair: tuple[Client, socket.socket], serve: Serve
) -> None:
    seen = []

    def application(_: dict[str, Any], start: Callable[..., Any]) -> Iterator[bytes]:
        start("200 OK", [("Content-Length", "6")])
        for block in (b"one", b"two"):
            yield block
            seen.append(received(pair[1]))

    assert serve(application, REQUEST)
    assert seen[0].startswith(b"HTTP/1.1 200 OK\r\n")
    assert seen[0].endswith(b"\r\n\r\none")
    assert seen[1] == b"two"


@pytest.mark.parametrize(
    ("request_", "status", "headers"),
    [
        (REQUEST, "204 No Content", []),
        (REQUEST, "304 Not Modified", [("ETag", '"1"')]),
        (REQUEST, "200 OK", [("Content-Length", "0")]),
        (b"HEAD" + REQUEST[3:], "200 OK", [("Content-Length", "5")]),
    ],
)
def test_an_answer_without_a_body_leaves(
    pair: tuple[Client, socket.socket],
    serve: Serve,
    request_: bytes,
    status: str,
    headers: list[tuple[str, str]],
) -> None:
    def application(_: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        start(status, headers)
        return [b""]

    assert serve(application, request_)
    assert received(pair[1]).startswith(f"HTTP/1.1 {status}\r\n".encode())


def test_a_chunked_answer_is_whole(pair: tuple[Client, socket.socket], serve: Serve) -> None:
    def application(_: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        start("200 OK", [])
        return [b"", b"one", b"two"]

    assert serve(application, REQUEST)
    assert received(pair[1]).endswith(b"\r\n\r\n3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n")


@pytest.mark.parametrize("error", [ValueError, OSError])
def test_an_error_in_the_middle_of_an_answer_ends_the_connection(
    pair: tuple[Client, socket.socket], serve: Serve, error: type[Exception]
) -> None:
    def application(_: dict[str, Any], start: Callable[..., Any]) -> Iterator[bytes]:
        start("200 OK", [("Content-Length", "6")])
        yield b"one"
        pair[1].shutdown(socket.SHUT_WR)
        raise error

    assert not serve(application, REQUEST)
    assert received(pair[1]).endswith(b"\r\n\r\none")


def test_an_error_before_the_answer_is_answered(
    pair: tuple[Client, socket.socket], serve: Serve
) -> None:
    def application(_: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        raise ValueError

    assert not serve(application, REQUEST)
    head, _, body = received(pair[1]).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 500 ")
    assert json.loads(body)["type"] == "/problems/internal-error"
