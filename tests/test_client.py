"""A client's connection: what is read before it is asked for, and what is sent together."""

import socket
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest

from app.server.client import AHEAD_BYTES, Client
from tests.raw import MEGABYTE


@pytest.fixture
def pair() -> Iterator[tuple[Client, socket.socket]]:
    ours, theirs = socket.socketpair()
    client = Client(ours, patience=0.2)
    theirs.settimeout(30)
    yield client, theirs
    client.end()
    theirs.close()


def patient(client: Client) -> None:
    client.deadline = time.monotonic() + 60
    client.patience = client.limit = 60


def read_to_the_end(theirs: socket.socket, size: int) -> bytes:
    return b"".join(iter(lambda: theirs.recv(size), b""))


def test_what_was_read_ahead_is_read_again_and_once(pair: tuple[Client, socket.socket]) -> None:
    client, theirs = pair
    patient(client)
    theirs.sendall(b"GET / HTTP/1.1\r\n")
    assert client.read_ahead() == client.read_ahead() == b"GET / HTTP/1.1\r\n"
    theirs.sendall(b"Host: localhost\r\n")
    assert [client.recv(10), client.recv(10)] == [b"GET / HTTP", b"/1.1\r\n"]
    assert client.recv(AHEAD_BYTES) == b"Host: localhost\r\n"


def test_the_end_of_a_connection_is_read_as_often_as_it_is_asked_for(
    pair: tuple[Client, socket.socket],
) -> None:
    client, theirs = pair
    theirs.close()
    assert [client.read_ahead(), client.recv(10), client.recv(10)] == [b"", b"", b""]


def test_a_look_tells_who_has_hung_up_and_takes_nothing(
    pair: tuple[Client, socket.socket],
) -> None:
    client, theirs = pair
    assert not client.is_closed()
    theirs.sendall(b"GET /")
    assert not client.is_closed()
    patient(client)
    assert client.recv(10) == b"GET /"
    theirs.close()
    assert client.is_closed()


def test_nothing_is_read_ahead_where_nothing_has_arrived(
    pair: tuple[Client, socket.socket],
) -> None:
    with pytest.raises(BlockingIOError):
        pair[0].read_ahead()


def test_a_thread_waits_for_what_is_under_way(pair: tuple[Client, socket.socket]) -> None:
    client, theirs = pair
    patient(client)
    read: list[bytes] = []
    thread = Thread(target=lambda: read.append(client.recv(10)))
    thread.start()
    theirs.sendall(b"late")
    thread.join(timeout=30)
    assert read == [b"late"]


def test_who_sends_nothing_until_the_deadline_is_gone(pair: tuple[Client, socket.socket]) -> None:
    client, _ = pair
    client.deadline = time.monotonic()
    with pytest.raises(ConnectionResetError):
        client.recv(10)


def test_who_sends_without_end_is_gone_at_the_deadline_too(
    pair: tuple[Client, socket.socket],
) -> None:
    client, theirs = pair
    theirs.sendall(b"much")
    client.begun = time.monotonic() - 60
    client.deadline = time.monotonic() + 60
    assert client.recv(1) == b"m"
    client.deadline = time.monotonic() - 0.01
    with pytest.raises(ConnectionResetError):
        client.recv(1)


def test_who_waited_for_a_thread_beyond_the_deadline_is_read_all_the_same(
    pair: tuple[Client, socket.socket],
) -> None:
    client, theirs = pair
    theirs.sendall(b"late")
    client.deadline, client.begun = time.monotonic() - 1, time.monotonic()
    assert client.recv(10) == b"late"


def test_a_timeout_shortens_the_wait_and_none_does_not_lengthen_it(
    pair: tuple[Client, socket.socket],
) -> None:
    client, _ = pair
    patient(client)
    client.settimeout(0.01)
    with pytest.raises(ConnectionResetError):
        client.recv(10)
    client.settimeout(None)
    assert client.gettimeout() == 60


def test_setting_it_to_block_does_not(pair: tuple[Client, socket.socket]) -> None:
    client, _ = pair
    client.setblocking(True)
    with pytest.raises(BlockingIOError):
        client.read_ahead()


def test_the_head_of_an_answer_leaves_with_its_body(pair: tuple[Client, socket.socket]) -> None:
    client, theirs = pair
    client.hold()
    client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    theirs.setblocking(False)
    with pytest.raises(BlockingIOError):
        theirs.recv(AHEAD_BYTES)
    client.sendall(b"one")
    assert theirs.recv(AHEAD_BYTES) == b"HTTP/1.1 200 OK\r\n\r\none"
    client.sendall(b"two")
    assert theirs.recv(AHEAD_BYTES) == b"two"


def test_a_head_without_a_body_leaves_when_the_answer_is_whole(
    pair: tuple[Client, socket.socket],
) -> None:
    client, theirs = pair
    client.hold()
    client.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")
    client.flush()
    client.flush()
    client.sendall(b"next")
    assert theirs.recv(24, socket.MSG_WAITALL) == b"HTTP/1.1 204 No Content\r"
    assert theirs.recv(7, socket.MSG_WAITALL) == b"\n\r\nnext"


def test_what_is_said_at_once_waits_for_no_head(pair: tuple[Client, socket.socket]) -> None:
    client, theirs = pair
    client.hold()
    assert client.send(b"HTTP/1.1 100 Continue\r\n\r\n") == 25
    assert theirs.recv(AHEAD_BYTES) == b"HTTP/1.1 100 Continue\r\n\r\n"


def test_a_slow_reader_gets_all_that_is_larger_than_the_buffers(
    pair: tuple[Client, socket.socket],
) -> None:
    client, theirs = pair
    patient(client)
    body = bytes(range(256)) * (8 * MEGABYTE // 256)
    read: list[bytes] = []
    thread = Thread(target=lambda: read.append(read_to_the_end(theirs, 10_000)))
    thread.start()
    client.hold()
    client.sendall(b"head")
    client.sendall(body)
    client.shutdown(socket.SHUT_WR)
    thread.join(timeout=60)
    assert read == [b"head" + body]


def test_a_file_leaves_after_the_head_and_whole(
    pair: tuple[Client, socket.socket], tmp_path: Path
) -> None:
    client, theirs = pair
    patient(client)
    (tmp_path / "file").write_bytes(bytes(range(256)) * 4096)
    read: list[bytes] = []
    thread = Thread(target=lambda: read.append(read_to_the_end(theirs, 10_000)))
    thread.start()
    client.hold()
    client.sendall(b"head")
    with (tmp_path / "file").open("rb") as file:
        client.sendfile(file, offset=256, count=MEGABYTE - 512)
    client.shutdown(socket.SHUT_WR)
    thread.join(timeout=60)
    assert read == [b"head" + bytes(range(256)) * 4094]


def test_who_does_not_read_an_answer_is_gone(pair: tuple[Client, socket.socket]) -> None:
    answer = bytes(16 * MEGABYTE)
    with pytest.raises(ConnectionResetError):
        pair[0].sendall(answer)


def test_who_does_not_read_a_file_is_gone(
    pair: tuple[Client, socket.socket], tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(bytes(16 * MEGABYTE))
    with (tmp_path / "file").open("rb") as file, pytest.raises(ConnectionResetError):
        pair[0].sendfile(file)


def test_what_was_held_is_sent_before_the_end(pair: tuple[Client, socket.socket]) -> None:
    client, theirs = pair
    client.hold()
    client.sendall(b"head")
    client.shutdown(socket.SHUT_WR)
    assert read_to_the_end(theirs, 10) == b"head"
