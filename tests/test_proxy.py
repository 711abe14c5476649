"""The proxy does what networks do: to bytes, so that it is tried without a database."""

import socket
from collections.abc import Iterator
from threading import Thread

import pytest

from tests.locks import until
from tests.rig.proxy import Proxy


@pytest.fixture
def echo() -> Iterator[int]:
    """The port of a server that sends back what it is sent, in capitals."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                Thread(target=answer, args=(connection,), daemon=True).start()

        thread = Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def answer(connection: socket.socket) -> None:
    with connection:
        try:
            while data := connection.recv(65536):
                RECEIVED.append(data)
                connection.sendall(data.upper())
        except OSError:
            return


RECEIVED: list[bytes] = []


@pytest.fixture
def proxy(echo: int) -> Iterator[Proxy]:
    RECEIVED.clear()
    with Proxy(f"postgresql://127.0.0.1:{echo}/any") as forwarding:
        yield forwarding


@pytest.fixture
def client(proxy: Proxy) -> Iterator[socket.socket]:
    """A connection that has been used already."""
    with connect(proxy) as connection:
        assert ask(connection, b"hello") == b"HELLO"
        yield connection


def connect(proxy: Proxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=20)


def ask(connection: socket.socket, message: bytes) -> bytes:
    connection.sendall(message)
    return connection.recv(65536)


def silent(connection: socket.socket) -> bool:
    """Whether nothing comes for a while, not even an end."""
    connection.settimeout(0.2)
    try:
        connection.recv(1)
    except TimeoutError:
        return True
    finally:
        connection.settimeout(20)
    return False


def test_it_counts_how_often_the_client_waits(client: socket.socket, proxy: Proxy) -> None:
    before = proxy.flights
    ask(client, b"one")
    ask(client, b"two")
    assert proxy.flights - before == 2


def test_an_end_is_passed_on_after_all_that_came_before(
    client: socket.socket, proxy: Proxy
) -> None:
    client.sendall(b"last words")
    client.shutdown(socket.SHUT_WR)
    until(lambda: b"last words" in RECEIVED)


def test_a_new_connection_can_be_held_up(proxy: Proxy) -> None:
    proxy.faults.delay = 0.5
    with connect(proxy) as connection:
        connection.sendall(b"hello")
        assert silent(connection)
        assert connection.recv(65536) == b"HELLO"


def test_a_new_connection_waits_until_the_server_wakes(client: socket.socket, proxy: Proxy) -> None:
    proxy.faults.asleep = True
    with connect(proxy) as connection:
        connection.sendall(b"hello")
        assert silent(connection)
        assert ask(client, b"still here") == b"STILL HERE"
        proxy.faults.asleep = False
        assert connection.recv(65536) == b"HELLO"


def test_what_vanishes_is_not_missed_by_anybody(client: socket.socket, proxy: Proxy) -> None:
    proxy.faults.black_hole = True
    client.sendall(b"lost")
    with connect(proxy) as connection:
        connection.sendall(b"hello")
        assert silent(client)
        assert silent(connection)
        proxy.faults.black_hole = False
        assert connection.recv(65536) == b"HELLO"
    client.sendall(b"lost as well")
    assert silent(client)
    assert not any(b"lost" in message for message in RECEIVED)


def test_a_connection_is_cut_when_the_answer_comes(client: socket.socket, proxy: Proxy) -> None:
    proxy.faults.lose_answer_to, proxy.faults.every = b"insert", 2
    assert ask(client, b"insert one") == b"INSERT ONE"
    with pytest.raises(ConnectionResetError):
        ask(client, b"insert two")
    assert b"insert two" in RECEIVED
    assert proxy.cuts == 1


def test_a_connection_is_cut_within_a_message(client: socket.socket, proxy: Proxy) -> None:
    proxy.faults.cut_within = b"insert"
    with pytest.raises(ConnectionResetError):
        ask(client, b"insert one")
    assert b"insert one" not in RECEIVED
    assert proxy.cuts == 1


def test_connections_are_refused_and_taken_again(client: socket.socket, proxy: Proxy) -> None:
    proxy.refuse()
    with pytest.raises(ConnectionResetError):
        client.recv(1)
    with pytest.raises(ConnectionRefusedError):
        connect(proxy)
    proxy.accept()
    with connect(proxy) as connection:
        assert ask(connection, b"hello") == b"HELLO"


def test_open_connections_are_cut_and_new_ones_taken(client: socket.socket, proxy: Proxy) -> None:
    proxy.cut()
    with pytest.raises(ConnectionResetError):
        client.recv(1)
    with connect(proxy) as connection:
        assert ask(connection, b"hello") == b"HELLO"
