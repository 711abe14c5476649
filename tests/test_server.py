"""gunicorn as it is started: what it answers by itself, and how it ends."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from http.client import parse_headers
from pathlib import Path
from select import select
from threading import Thread
from typing import Any, NamedTuple
from urllib.request import Request, urlopen

import pytest

from app.core.problem_kinds import KINDS
from tests.conftest import ROOT, Account, gunicorn, gunicorn_process
from tests.locks import held, until, waiting
from tests.raw import (
    BODY,
    CHUNKED,
    GET,
    HOST,
    MEGABYTE,
    PROMPT,
    answered,
    asking,
    connect,
    connections,
    exchange,
    memory,
    seconds,
    stream,
)
from tests.rig.cluster import children

DOCUMENT = b"GET /openapi.json HTTP/1.1\r\n" + HOST + b"\r\n"
"""A request that needs an ordinary thread, and no database."""

REFUSED = {
    "garbage": (400, b"\x00\x01\x02\xff\xfe\r\n\r\n"),
    "words": (400, b"hello there, server\r\n\r\n"),
    "no method": (400, b" / HTTP/1.1\r\n" + HOST + b"\r\n"),
    "lower-case method": (400, b"get /health HTTP/1.1\r\n" + HOST + b"\r\n"),
    "method of signs": (400, b"G@T /health HTTP/1.1\r\n" + HOST + b"\r\n"),
    "unknown method": (405, b"FETCH /health HTTP/1.1\r\n" + HOST + b"\r\n"),
    "unknown version": (400, b"GET /health HTTP/9.9\r\n" + HOST + b"\r\n"),
    "HTTP/0.9": (400, b"GET /health\r\n\r\n"),
    "HTTP/2": (400, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    "PROXY protocol": (400, b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\nGET / HTTP/1.1\r\n\r\n"),
    "bare line feeds": (400, b"GET /health HTTP/1.1\nHost: localhost\n\n"),
    "raw bytes in the path": (400, b"GET /\xff HTTP/1.1\r\n" + HOST + b"\r\n"),
    "bytes that are no UTF-8 in the path": (400, b"GET /v1/%ff HTTP/1.1\r\n" + HOST + b"\r\n"),
    "long URI": (414, b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\n" + HOST + b"\r\n"),
    "large header": (431, b"GET / HTTP/1.1\r\n" + HOST + b"X: " + b"a" * 9000 + b"\r\n\r\n"),
    "megabyte of token": (
        431,
        b"GET /v1/me HTTP/1.1\r\n" + HOST + b"Authorization: Bearer " + b"a" * 2**20 + b"\r\n\r\n",
    ),
    "many headers": (431, b"GET / HTTP/1.1\r\n" + HOST + b"X: a\r\n" * 200 + b"\r\n"),
    "header without colon": (400, b"GET / HTTP/1.1\r\n" + HOST + b"Authorization Bearer x\r\n\r\n"),
    "space in a header's name": (400, b"GET / HTTP/1.1\r\n" + HOST + b"X y: a\r\n\r\n"),
    "folded header": (400, b"GET / HTTP/1.1\r\n" + HOST + b"X: a\r\n b\r\n\r\n"),
    "NUL in a header": (400, b"GET / HTTP/1.1\r\n" + HOST + b"X: a\x00b\r\n\r\n"),
    "no host": (400, b"GET / HTTP/1.1\r\n\r\n"),
    "two hosts": (400, b"GET / HTTP/1.1\r\n" + HOST + HOST + b"\r\n"),
    "host of signs": (400, b"GET / HTTP/1.1\r\nHost: a<b>/c\r\n\r\n"),
    "token of bytes": (
        401,
        b"GET /v1/me HTTP/1.1\r\n" + HOST + b"Authorization: Bearer \xff\r\n\r\n",
    ),
    "unknown transfer coding": (
        501,
        b"POST /v1/auth/token HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: zip\r\n\r\n",
    ),
    "length and chunks": (
        400,
        b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
    ),
    "two lengths": (
        400,
        b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
    ),
    "negative length": (400, b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: -3\r\n\r\nabc"),
    "length of letters": (400, b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: abc\r\n\r\nabc"),
    "length beyond all": (
        413,
        b"POST /v1/auth/token HTTP/1.1\r\n"
        + HOST
        + BODY
        + b"Content-Length: "
        + b"9" * 20
        + b"\r\n\r\n",
    ),
    "four megabytes of body": (
        413,
        b"POST /v1/auth/token HTTP/1.1\r\n"
        + HOST
        + BODY
        + b"Content-Length: 4194304\r\n\r\n"
        + b" " * 2**22,
    ),
    "body shorter than its length": (
        400,
        b"POST /v1/auth/token HTTP/1.1\r\n" + HOST + BODY + b"Content-Length: 50\r\n\r\n{}",
    ),
    "chunk size of letters": (400, CHUNKED + b"zz\r\nabc\r\n0\r\n\r\n"),
    "negative chunk size": (400, CHUNKED + b"-3\r\nabc\r\n0\r\n\r\n"),
    "chunk longer than its size": (400, CHUNKED + b"3\r\nabcdef\r\n0\r\n\r\n"),
    "unfinished chunk": (400, CHUNKED + b"5\r\nab"),
    "unknown expectation": (417, b"GET /health HTTP/1.1\r\n" + HOST + b"Expect: tea\r\n\r\n"),
    "CONNECT": (404, b"CONNECT localhost:80 HTTP/1.1\r\n" + HOST + b"\r\n"),
    "OPTIONS *": (404, b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n"),
    "TRACE": (405, b"TRACE /health HTTP/1.1\r\n" + HOST + b"\r\n"),
    "way out of the files": (404, b"GET /static/../../etc/passwd HTTP/1.1\r\n" + HOST + b"\r\n"),
    "encoded way out": (404, b"GET /static/%2e%2e%2f%2e%2e HTTP/1.1\r\n" + HOST + b"\r\n"),
    "NUL in a file's name": (404, b"GET /static/%00 HTTP/1.1\r\n" + HOST + b"\r\n"),
    "range of nothing": (
        416,
        b"GET /static/docs.js HTTP/1.1\r\n" + HOST + b"Range: bytes=99999999-\r\n\r\n",
    ),
    "other host's path": (404, b"GET //evil.example/ HTTP/1.1\r\n" + HOST + b"\r\n"),
}
SERVED = {
    "absolute URI": b"GET http://localhost/health HTTP/1.1\r\n" + HOST + b"\r\n",
    "HTTP/1.0 without a host": b"GET /health HTTP/1.0\r\n\r\n",
    "script name": b"GET /health HTTP/1.1\r\n" + HOST + b"SCRIPT_NAME: /x\r\n\r\n",
    "contradicting schemes": (
        b"GET /health HTTP/1.1\r\n" + HOST + b"X-Forwarded-Proto: https\r\n"
        b"X-Forwarded-SSL: off\r\n\r\n"
    ),
    "cookie of bytes": b"GET /health HTTP/1.1\r\n" + HOST + b"Cookie: \xff;;;==\r\n\r\n",
    "HTTP/2 upgrade": (
        b"GET /health HTTP/1.1\r\n" + HOST + b"Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
    ),
}


class Single(NamedTuple):
    """A server with one process, its worker and its log."""

    base: str
    worker: int
    log: Path


@pytest.fixture(scope="module")
def single(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Single]:
    """A server with one process."""
    log = tmp_path_factory.mktemp("single") / "log"
    with gunicorn_process(database_url, log, WEB_CONCURRENCY="1") as (base, process):
        (worker,) = children(process.pid)
        yield Single(base, worker, log)


@pytest.fixture(scope="module")
def narrow(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The base URL of a server with one thread, which gives a request two seconds."""
    one = {"WEB_CONCURRENCY": "1", "WEB_THREADS": "1", "REQUEST_DEADLINE": "2"}
    with gunicorn(database_url, tmp_path_factory.mktemp("narrow") / "log", **one) as base:
        yield base


def all_answered(connection: socket.socket, count: int) -> list[tuple[int, bytes]]:
    """Status and body of so many answers, which may come at once."""
    answers = []
    with connection.makefile("rb") as received:
        for _ in range(count):
            status = int(received.readline().split()[1])
            answers.append((status, received.read(int(parse_headers(received)["Content-Length"]))))
    return answers


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_request_here_gets_a_problem_with_its_status(server: str, name: str) -> None:
    expected, request = REFUSED[name]
    status, headers, body = exchange(server, request)
    assert status == expected
    assert headers["content-type"] == "application/problem+json"
    assert headers["x-content-type-options"] == "nosniff"
    assert len(body) == int(headers["content-length"])
    problem = json.loads(body)
    assert problem["status"] == status
    assert problem["instance"] == headers["x-request-id"]
    assert KINDS[problem["type"].removeprefix("/problems/")].status == status
    assert b"gunicorn" not in body


@pytest.mark.parametrize("name", SERVED)
def test_what_is_only_strange_is_served(server: str, name: str) -> None:
    status, _, body = exchange(server, SERVED[name])
    assert (status, json.loads(body)) == (200, {"status": "ok"})


@pytest.mark.parametrize(
    "request_", [b"", b"\x16\x03\x01\x02\x00\x01", b"GET", b"GET / HTTP/1.1\r"]
)
def test_half_a_request_ends_the_connection_and_no_more(server: str, request_: bytes) -> None:
    with connect(server) as connection:
        connection.sendall(request_)
        connection.shutdown(socket.SHUT_WR)
        assert not connection.recv(65536).startswith(b"HTTP/1.1 5")
    assert exchange(server, SERVED["absolute URI"])[0] == 200


def test_the_last_request_is_answered_before_the_server_ends(
    database_url: str, alice: Account, connection: Any, tmp_path: Path
) -> None:
    log, statuses = tmp_path / "log", []

    def create(base: str) -> None:
        headers = {"Authorization": f"Bearer {alice.token}", "Content-Type": "application/json"}
        request = Request(f"{base}/v1/tasks", b'{"title": "Buy milk"}', headers)
        with urlopen(request, timeout=30) as response:
            statuses.append(response.status)

    patient = {"DB_STATEMENT_TIMEOUT": "60"}
    with gunicorn_process(database_url, log, **patient) as (base, process):
        in_flight = Thread(target=create, args=(base,))
        with held(connection, alice.user_id):
            in_flight.start()
            until(lambda: waiting(connection))
            process.send_signal(signal.SIGTERM)
            until(lambda: "Handling signal: term" in log.read_text())
        in_flight.join(timeout=30)
        assert process.wait(timeout=30) == 0
    assert statuses == [201]
    assert [task["title"] for task in alice.get("/v1/tasks").json["items"]] == ["Buy milk"]
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert {"time", "level", "logger", "message"} <= set.intersection(*map(set, lines))


def test_what_the_server_says_itself_is_logged_as_the_rest_and_without_secrets(
    single: Single,
) -> None:
    for wrong in (
        b"GET / HTTP/1.1\r\nHost: a\r\nAuthorization Bearer hunter2\r\n\r\n",
        b"GET /?token=hunter2 HTTP/7.0\r\n\r\n",
        b'a long hunter2 horse"}\r\n\r\n',
        b"GET / HTTP/1.1\r\nHost: a\r\nhunter2\r\n\r\n",
    ):
        assert exchange(single.base, wrong)[0] == 400
    until(lambda: single.log.read_text().count("Invalid request") >= 4)
    text = single.log.read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    warnings = [line for line in lines if line["message"].startswith("Invalid request")]
    assert len(warnings) == 4
    assert "hunter2" not in text


@pytest.mark.parametrize("size", [1, 20, len(DOCUMENT) - 1])
def test_a_request_may_arrive_in_pieces(server: str, alice: Account, size: int) -> None:
    body = b'{"title": "Buy milk"}'
    request = asking("/v1/tasks", alice, "POST", body)
    with connect(server) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in (request[:size], request[size : -len(body)], body[:5], body[5:]):
            connection.sendall(piece)
            assert seconds(server, GET)[0] == 200  # by now the piece has been looked at
        assert answered(connection)[0] == 201


def test_requests_that_are_sent_at_once_are_answered_in_turn(server: str, alice: Account) -> None:
    bodies = [f'{{"title": "Errand {number}"}}'.encode() for number in range(20)]
    requests = [asking("/v1/tasks", alice, "POST", body) for body in bodies]
    with connect(server) as connection:
        connection.sendall(b"".join([GET, *requests, DOCUMENT, GET]))
        answers = all_answered(connection, len(requests) + 3)
    assert [status for status, _ in answers] == [200, *[201] * 20, 200, 200]
    titles = [json.loads(body)["title"] for _, body in answers[1:21]]
    assert titles == [f"Errand {number}" for number in range(20)]


def test_a_client_may_send_the_next_request_while_one_is_handled(
    database_url: str, alice: Account, connection: Any, tmp_path: Path
) -> None:
    patient = {"DB_STATEMENT_TIMEOUT": "60", "WEB_CONCURRENCY": "1", "WEB_THREADS": "2"}
    change = asking("/v1/tasks", alice, "POST", b'{"title": "Buy milk"}')
    with gunicorn(database_url, tmp_path / "log", **patient) as server, connect(server) as client:
        with held(connection, alice.user_id):
            client.sendall(change)
            until(lambda: waiting(connection))
            for piece in (GET[:10], GET[10:], GET):
                client.sendall(piece)
                assert seconds(server, DOCUMENT)[0] == 200
        assert [status for status, _ in all_answered(client, 3)] == [201, 200, 200]
        client.sendall(GET)
        assert answered(client)[0] == 200


def test_a_connection_ends_when_it_was_idle_for_long_and_not_before(
    database_url: str, tmp_path: Path
) -> None:
    short = {"GUNICORN_CMD_ARGS": "--keep-alive=2", "WEB_CONCURRENCY": "1"}
    with gunicorn(database_url, tmp_path / "log", **short) as server, ExitStack() as stack:
        silent, idle, busy = (stack.enter_context(connect(server)) for _ in range(3))
        idle.sendall(GET)
        assert answered(idle)[0] == 200
        ended: set[socket.socket] = set()
        while ended != {silent, idle}:
            busy.sendall(GET)
            assert answered(busy)[0] == 200
            ended |= {one for one in (silent, idle) if select([one], [], [], 0.1)[0]}
        assert [silent.recv(1), idle.recv(1)] == [b"", b""]


def test_who_hangs_up_makes_room_for_others(
    database_url: str, alice: Account, connection: Any, tmp_path: Path
) -> None:
    ten = {"GUNICORN_CMD_ARGS": "--worker-connections=10", "WEB_CONCURRENCY": "1"}
    patient = {"DB_STATEMENT_TIMEOUT": "60", "WEB_THREADS": "4", **ten}
    change = asking("/v1/tasks", alice, "POST", b'{"title": "Buy milk"}')
    with gunicorn(database_url, tmp_path / "log", **patient) as server:
        with held(connection, alice.user_id):
            for begun in (b"", b"GET", GET, GET * 2, DOCUMENT[:-2], change, change + GET):
                with connections(server, 2, begun):
                    assert seconds(server, GET)[0] == 200
            until(lambda: waiting(connection))
        for _ in range(2):
            with connections(server, 8, GET) as others:
                assert all(other.recv(12) == b"HTTP/1.1 200" for other in others)


def test_a_client_that_is_to_wait_for_leave_to_send_its_body_gets_it(
    server: str, alice: Account
) -> None:
    request = asking("/v1/tasks", alice, "POST", b'{"title": "Buy milk"}')
    head, _, body = request.partition(b"\r\n\r\n")
    with connect(server) as connection:
        connection.sendall(head + b"\r\nExpect: 100-continue\r\n\r\n")
        assert connection.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(body)
        assert answered(connection)[0] == 201


def test_an_answer_is_one_piece(server: str) -> None:
    with connect(server) as connection:
        for _ in range(20):
            connection.sendall(GET)
            head, _, body = connection.recv(65536).partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200")
            assert body == b'{"status":"ok"}'


def test_a_slow_reader_gets_all_of_an_answer(server: str) -> None:
    with socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2304)
        slow.settimeout(60)
        slow.connect(("127.0.0.1", int(server.rpartition(":")[2])))
        slow.sendall(DOCUMENT * 20)
        documents = all_answered(slow, 20)
    assert len(set(documents)) == 1
    assert documents[0][0] == 200


def test_connections_that_send_nothing_hold_no_thread(narrow: str) -> None:
    with connections(narrow, 20):
        status, taken = seconds(narrow, DOCUMENT)
    assert status == 200
    assert taken < 4  # gthread waits five seconds for each


@pytest.mark.parametrize(
    "begun", [b"GET /health HTTP/1.1\r\nHo", CHUNKED.replace(b"/token", b"/logout") + b"5\r\nab"]
)
def test_half_a_request_holds_a_thread_only_until_its_deadline_and_never_health(
    narrow: str, alice: Account, begun: bytes
) -> None:
    with connections(narrow, 1, begun) as (slow,):
        assert seconds(narrow, GET)[1] < PROMPT
        assert exchange(narrow, asking("/v1/tasks", alice))[0] in {200, 503}
        # It got the thread because the slow one had to give it up.
        slow.settimeout(PROMPT)
        while slow.recv(65536):
            pass
    assert exchange(narrow, asking("/v1/tasks", alice))[0] == 200


def test_many_half_requests_hold_up_others_for_one_deadline_and_not_for_one_each(
    narrow: str,
) -> None:
    with connections(narrow, 40, b"POST /v1/auth/token HTTP/1.1\r\nHo"):
        status, taken = seconds(narrow, DOCUMENT)
    assert status == 200
    assert taken < 12


def test_a_client_that_reads_nothing_holds_a_thread_only_for_a_while(narrow: str) -> None:
    with socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2304)
        deaf.connect(("127.0.0.1", int(narrow.rpartition(":")[2])))
        deaf.sendall(DOCUMENT * 100)
        # In turns with the deaf one's, until the buffers before it are full.
        assert {seconds(narrow, DOCUMENT)[0] for _ in range(100)} == {200}


def test_health_answers_at_once_while_all_threads_wait_and_a_hundred_requests_queue(
    database_url: str, alice: Account, bob: Account, connection: Any, tmp_path: Path
) -> None:
    patient = {"DB_STATEMENT_TIMEOUT": "60", "REQUEST_DEADLINE": "60", "WEB_CONCURRENCY": "1"}
    change, other = (
        asking("/v1/tasks", user, "POST", b'{"title": "Buy milk"}') for user in (alice, bob)
    )
    serving = gunicorn(database_url, tmp_path / "log", WEB_THREADS="4", **patient)
    with serving as server, ExitStack() as lock:
        lock.enter_context(held(connection, alice.user_id, bob.user_id))
        # One user alone has all threads but one at most.
        with connections(server, 50, change) as queue, connections(server, 50, other) as others:
            until(lambda: len(waiting(connection)) == 4)
            health = [seconds(server, GET) for _ in range(20)]
            database = [seconds(server, GET.replace(b"/health", b"/health/db")) for _ in range(5)]
            with connections(server, 1) as (kept,):
                for _ in range(3):
                    kept.sendall(GET)
                    until(lambda: kept.recv(65536).endswith(b'{"status":"ok"}'))
            assert len(waiting(connection)) == 4
            lock.close()
            assert all(client.recv(12) == b"HTTP/1.1 201" for client in (*queue, *others))
    assert {status for status, _ in health + database} == {200}
    assert max(taken for _, taken in health) < PROMPT
    assert max(taken for _, taken in database) < 2 * PROMPT


def test_a_client_that_does_not_hang_up_holds_up_nobody(server: str) -> None:
    wrong = REFUSED["garbage"][1]
    with connections(server, 20, wrong) as waiting_to_close:
        assert all(refused.recv(12) == b"HTTP/1.1 400" for refused in waiting_to_close)
        assert seconds(server, GET)[1] < PROMPT


def test_a_connection_ends_with_an_answer_that_left_much_unread(
    server: str, alice: Account
) -> None:
    large = asking("/v1/tasks", alice, "POST", b" " * 2 * MEGABYTE)
    for request in (large, large.replace(b"POST /v1/tasks", b"POST /nowhere")):
        status, headers, _ = exchange(server, request)
        assert (status, headers["connection"]) in {(413, "close"), (404, "close")}
    small = asking("/v1/tasks", alice, "POST", b"{}")
    assert exchange(server, small)[1]["connection"] == "keep-alive"


@pytest.mark.parametrize("chunk", [65536, 2**30], ids=["small chunks", "one chunk"])
def test_a_chunked_gigabyte_is_refused_without_being_taken_in(single: Single, chunk: int) -> None:
    exchange(single.base, CHUNKED + b"2\r\n{}\r\n0\r\n\r\n")
    before, used = memory(single.worker), []
    with connect(single.base) as connection:
        sent = stream(connection, chunk, lambda: used.append(memory(single.worker)))
        status, headers, body = answered(connection)
    used.append(memory(single.worker))
    assert (status, headers["connection"]) == (413, "close")
    assert json.loads(body)["type"] == "/problems/content-too-large"
    assert sent < 100 * MEGABYTE
    assert max(used) - before < 20 * MEGABYTE


def test_a_certificate_is_refused_at_the_start(database_url: str) -> None:
    variables = {
        **{k: v for k, v in os.environ.items() if k in {"PATH", "HOME", "LANG"}},
        "APP_ENV": "test",
        "FLASK_SKIP_DOTENV": "1",
        "DATABASE_URL": database_url,
        "GUNICORN_CMD_ARGS": "--certfile=/dev/null --keyfile=/dev/null",
    }
    command = [sys.executable, "-m", "gunicorn"]
    ended = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True)
    assert ended.returncode != 0
    assert "this worker does not end TLS" in ended.stdout + ended.stderr
