"""The service behind HAProxy as it is shipped: what slow, large and false requests come to, and
what clients see of a rolling restart.
"""

import json
import re
import signal
import ssl
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from app.core.problem_kinds import KINDS
from tests.conftest import ROOT, Account, gunicorn_process
from tests.haproxy import SHIPPED, HAProxy, problems
from tests.instances import SMALL, Instance, listening, port, serve
from tests.locks import held, until, waiting
from tests.raw import (
    CHUNKED,
    HOST,
    MEGABYTE,
    answered,
    ask,
    asking,
    connect,
    connections,
    memory,
    seconds,
    stream,
)
from tests.rig.certificates import Authority
from tests.rig.cluster import children
from tests.rig.programs import free_port, need
from tests.traffic import assert_nothing_failed, load

pytestmark = pytest.mark.slow


@pytest.fixture
def instance() -> Iterator[Instance]:
    """One that is listening."""
    need("haproxy")
    with listening() as made:
        yield made


def test_haproxy_finds_nothing_wrong_with_the_shipped_file() -> None:
    assert problems() == []


def test_the_socket_that_the_page_asks_is_the_one_of_the_shipped_file() -> None:
    page = (ROOT / "docs" / "rollout.md").read_text()
    (path,) = re.findall(r'`echo "show stat" \| socat (\S+) -`', page)
    assert f"stats socket {path} " in SHIPPED.read_text()


def test_its_answers_are_problems_of_the_service_or_of_none() -> None:
    answers = [
        json.loads(line.partition("lf-string '")[2].rstrip("'"))
        for line in SHIPPED.read_text().splitlines()
        if line.strip().startswith("http-error status ")
    ]
    assert len(answers) == 6
    for answer in answers:
        assert answer.keys() == {"type", "title", "status", "detail", "instance"}
        if answer["type"] != "about:blank":
            kind = KINDS[answer["type"].removeprefix("/problems/")]
            assert (kind.status, kind.title) == (answer["status"], answer["title"])


def test_what_a_client_says_of_itself_never_reaches_the_service(
    instance: Instance,
) -> None:
    lies = (
        b"Forwarded: for=192.0.2.1\r\nX-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: https\r\n"
        b"X-Forwarded-Host: evil.example\r\nX-Forwarded-Port: 1\r\nX-Forwarded-Prefix: /evil\r\n"
    )
    with HAProxy(instance.server_port) as balancer:
        ask(balancer.url, b"GET /v1/tasks HTTP/1.1\r\n" + HOST + lies + b"\r\n")
    ((_, headers),) = instance.seen
    told = {name.lower(): value for name, value in headers.items()}
    assert {name: value for name, value in told.items() if "forwarded" in name} == {
        "x-forwarded-for": "127.0.0.1",
        "x-forwarded-proto": "http",
        "x-forwarded-host": "localhost",
    }
    assert len(told["x-request-id"]) == 36


def test_only_what_is_done_once_however_often_it_is_sent_is_sent_again(
    instance: Instance,
) -> None:
    empty = HOST + b"Content-Length: 0\r\n"
    with HAProxy(instance.server_port) as balancer:
        for head in (
            b"POST /lost HTTP/1.1\r\n" + empty,
            b"PUT /lost HTTP/1.1\r\n" + empty,
            b"POST /lost HTTP/1.1\r\nIdempotency-Key: 1\r\n" + empty,
            b"GET /lost HTTP/1.1\r\n" + HOST,
        ):
            status, headers, body = ask(balancer.url, head + b"\r\n")
            assert (status, headers["content-type"]) == (502, "application/problem+json")
            assert json.loads(body)["status"] == 502
    sent = [(method, "idempotency-key" in headers) for method, headers in instance.seen]
    assert (sent.count(("POST", False)), sent.count(("PUT", False))) == (1, 1)
    assert (sent.count(("POST", True)), sent.count(("GET", False))) == (4, 4)


def test_it_ends_tls_and_says_so_to_the_service(database_url: str, tmp_path: Path) -> None:
    need("haproxy")
    authority = Authority()
    identity = authority.issue("localhost", "127.0.0.1")
    trusting = ssl.create_default_context(cadata=authority.certificate.decode())
    with gunicorn_process(database_url, tmp_path / "log", **SMALL) as (base, _):
        pem = identity.certificate + identity.key
        with HAProxy(port(base), pem=pem) as balancer:
            secure = f"https://localhost:{balancer.tls_port}/health"
            with urlopen(secure, context=trusting, timeout=30) as answer:
                assert answer.headers["Strict-Transport-Security"]
            with urlopen(f"{balancer.url}/health", timeout=30) as answer:
                assert "Strict-Transport-Security" not in answer.headers


def test_slow_senders_do_not_hold_up_the_others(
    database_url: str, alice: Account, tmp_path: Path
) -> None:
    need("haproxy")
    late = asking("/v1/tasks", alice, "POST", b" " * 900_000)
    with ExitStack() as stack:
        base, _ = stack.enter_context(gunicorn_process(database_url, tmp_path / "log", **SMALL))
        balancer = stack.enter_context(HAProxy(port(base)))
        for begun in (late[:40], late[:-900_000], late[:-1], CHUNKED + b"5\r\nab"):
            stack.enter_context(connections(balancer.url, 20, begun))
        times = [seconds(balancer.url, asking("/v1/tasks", alice)) for _ in range(10)]
    assert {status for status, _ in times} == {200}
    assert max(taken for _, taken in times) < 5  # of the ten that slow senders are given


def test_who_waits_too_long_for_a_turn_is_told_to_come_back(
    database_url: str, alice: Account, bob: Account, connection: Any, tmp_path: Path
) -> None:
    need("haproxy")
    patient = {**SMALL, "DB_STATEMENT_TIMEOUT": "60", "REQUEST_DEADLINE": "60"}
    change, other = (
        asking("/v1/tasks", user, "POST", b'{"title": "Buy milk"}') for user in (alice, bob)
    )
    with ExitStack() as stack:
        base, _ = stack.enter_context(gunicorn_process(database_url, tmp_path / "log", **patient))
        balancer = stack.enter_context(HAProxy(port(base)))
        lock = stack.enter_context(ExitStack())
        lock.enter_context(held(connection, alice.user_id, bob.user_id))
        # One user alone has all threads but one at most.
        queue = [*stack.enter_context(connections(balancer.url, 16, change))]
        queue += stack.enter_context(connections(balancer.url, 16, other))
        until(lambda: len(waiting(connection)) == 2 and balancer.sessions() == 32)
        status, headers, body = ask(balancer.url, change)
        lock.close()
        assert all(client.recv(12) == b"HTTP/1.1 201" for client in queue)
    assert (status, headers["retry-after"]) == (503, "1")
    assert json.loads(body)["type"] == "/problems/overloaded"


def test_a_chunked_gigabyte_is_refused_through_haproxy_too(
    database_url: str, tmp_path: Path
) -> None:
    need("haproxy")
    serving = gunicorn_process(database_url, tmp_path / "log", **SMALL)
    with serving as (base, process), HAProxy(port(base)) as balancer:
        ask(balancer.url, CHUNKED + b"2\r\n{}\r\n0\r\n\r\n")
        pids = (*children(process.pid), balancer.pid)
        before, used = [memory(pid) for pid in pids], []
        with connect(balancer.url) as client:
            sent = stream(client, 65536, lambda: used.append([memory(pid) for pid in pids]))
            status, _, body = answered(client)
    assert (status, json.loads(body)["type"]) == (413, "/problems/content-too-large")
    assert sent < 100 * MEGABYTE
    for place, start_memory in enumerate(before):
        assert max(each[place] for each in used) - start_memory < 20 * MEGABYTE


@pytest.mark.longest
def test_a_rolling_restart_under_load_fails_nothing(database_url: str, tmp_path: Path) -> None:
    need("haproxy")
    ports = (free_port(), free_port())
    with ExitStack() as stack:
        grace = {"SHUTDOWN_GRACE": "3"}  # more than two looks of HAProxy take
        programs = [serve(stack, tmp_path / f"{n}.log", n, database_url, **grace) for n in ports]
        balancer = stack.enter_context(HAProxy(*ports))
        with load(balancer.url, database_url) as working:
            for number, program in zip(ports, programs, strict=True):
                # Some platforms signal the master process, others every process.
                end = program.process.send_signal if number == ports[0] else program.send
                end(signal.SIGTERM)
                assert program.process.wait(timeout=60) == 0
                serve(stack, tmp_path / f"{number}-again.log", number, database_url, **grace)
                until(lambda: set(balancer.states().values()) == {"UP"})
        assert_nothing_failed(working.shift.outcomes)
    looks = (*working.health, *working.database_health)  # the latter has 0.8 s, however busy it is
    assert {look.status for look in looks} <= {200, 503}
