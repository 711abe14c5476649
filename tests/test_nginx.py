"""The service behind nginx as it is shipped: what slow, large and false requests come to, and what
clients see of a rolling restart.
"""

import json
import re
import signal
import ssl
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple
from urllib.request import urlopen

import pytest

from app.api.changes.schemas import LONGEST_WAIT
from app.core.config import Settings
from app.core.problem_kinds import KINDS
from tests.conftest import Account, gunicorn_process
from tests.instances import SMALL, Instance, listening, port, serve
from tests.lines import exported, jsonl, task
from tests.nginx import SHIPPED, Nginx
from tests.raw import (
    CHUNKED,
    HOST,
    answered,
    ask,
    asking,
    connect,
    connections,
    stream,
)
from tests.rig.certificates import Authority
from tests.rig.programs import free_port, need
from tests.traffic import assert_nothing_failed, load

pytestmark = pytest.mark.slow

EMPTY = HOST + b"Content-Length: 0\r\n"


class Site(NamedTuple):
    """The service, and nginx before it."""

    base: str
    nginx: Nginx
    trusting: ssl.SSLContext


@pytest.fixture(scope="module")
def site(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One for all tests that change nothing of it."""
    need("nginx")
    authority = Authority()
    identity = authority.issue("localhost", "127.0.0.1")
    trusting = ssl.create_default_context(cadata=authority.certificate.decode())
    log = tmp_path_factory.mktemp("nginx") / "log"
    with (
        gunicorn_process(database_url, log, **SMALL) as (base, _),
        Nginx(port(base), pem=identity.certificate + identity.key) as nginx,
    ):
        yield Site(base, nginx, trusting)


@pytest.fixture
def instance() -> Iterator[Instance]:
    """One that is listening."""
    need("nginx")
    with listening() as made:
        yield made


def figure(directive: str) -> list[int]:
    """The numbers that the shipped file gives a directive, in seconds or bytes."""
    units = {"s": 1, "m": 60 if "timeout" in directive else 2**20}
    found = re.findall(rf"^ *{directive} (\d+)([sm]);", SHIPPED.read_text(), re.M)
    return [int(number) * units[unit] for number, unit in found]


def test_nginx_finds_nothing_wrong_with_the_shipped_file() -> None:
    assert Nginx(free_port()).problems() == []


def test_its_figures_fit_those_of_the_service() -> None:
    settings = Settings()
    assert figure("client_max_body_size") == [settings.max_body_bytes, 64 * settings.max_body_bytes]
    patience = settings.request_deadline + LONGEST_WAIT
    assert all(seconds > patience for seconds in figure("proxy_read_timeout"))
    kept, _ = figure("keepalive_timeout")
    assert kept < settings.shutdown_grace


def test_its_answers_are_problems_of_the_service_or_of_none() -> None:
    members = re.findall(r"""^ +\d{3} +'("type".*)';$""", SHIPPED.read_text(), re.M)
    assert len(members) == 6
    for answer in (json.loads(f"{{{each}}}") for each in members):
        assert answer.keys() == {"type", "title", "status", "detail"}
        if answer["type"] != "about:blank":
            kind = KINDS[answer["type"].removeprefix("/problems/")]
            assert (kind.status, kind.title) == (answer["status"], answer["title"])


def test_what_a_client_says_of_itself_never_reaches_the_service(instance: Instance) -> None:
    lies = (
        b"Forwarded: for=192.0.2.1\r\nX-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: https\r\n"
        b"X-Forwarded-Host: evil.example\r\nX-Forwarded-Port: 1\r\nX-Forwarded-Prefix: /evil\r\n"
        b"X_Forwarded_For: 192.0.2.2\r\nX-Really: DELETE\r\n"
    )
    with Nginx(instance.server_port) as nginx:
        for method in (b"GET", b"PUT"):
            ask(nginx.url, method + b" /v1/tasks HTTP/1.1\r\n" + EMPTY + lies + b"\r\n")
    assert [method for method, _ in instance.seen] == ["GET", "PUT"]
    for _, headers in instance.seen:
        told = {name.lower(): value for name, value in headers.items()}
        assert {name: told[name] for name in told if "forwarded" in name} == {
            "x-forwarded-for": "127.0.0.1",
            "x-forwarded-proto": "http",
            "x-forwarded-host": "localhost",
        }
        assert "x-really" not in told
        assert (told["host"], len(told["x-request-id"])) == ("localhost", 32)


def test_a_write_that_an_instance_may_have_done_is_given_to_no_other(instance: Instance) -> None:
    for method in (b"POST", b"PUT", b"PATCH", b"DELETE", b"GET"):
        with Nginx(instance.server_port) as nginx:  # another has not seen any fail
            head = method + b" /lost HTTP/1.1\r\n" + EMPTY
            status, headers, body = ask(nginx.url, head + b"\r\n")
        assert (status, headers["content-type"]) == (502, "application/problem+json")
        assert json.loads(body)["status"] == 502
        assert headers["x-request-id"] == json.loads(body)["instance"]
    sent = [method for method, _ in instance.seen]
    assert sent == ["POST", "PUT", "PATCH", "DELETE", "GET", "GET"]


def test_what_no_instance_has_been_given_goes_to_the_other(instance: Instance) -> None:
    with Nginx(free_port(), instance.server_port) as nginx:
        for method in (b"POST", b"PUT", b"PATCH", b"DELETE", b"GET") * 2:
            head = method + b" /v1/tasks HTTP/1.1\r\n" + EMPTY
            assert ask(nginx.url, head + b"\r\n")[0] == 200
    sent = [method for method, _ in instance.seen]
    assert sent == ["POST", "PUT", "PATCH", "DELETE", "GET"] * 2


@pytest.mark.parametrize(
    "head",
    [
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nContent-Length: 6\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: xchunked\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: +5\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length : 5\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n",
        b"GET / HTTP/1.1\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 9000 + b"\r\n",
        b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\nHost: localhost\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n",
    ],
)
def test_what_could_be_read_in_two_ways_is_answered_by_nginx(
    instance: Instance, head: bytes
) -> None:
    with Nginx(instance.server_port) as nginx:
        status, headers, body = ask(nginx.url, head + b"\r\n0\r\n\r\n")
        assert (status, headers["content-type"]) == (
            json.loads(body)["status"],
            "application/problem+json",
        )
        assert status in {400, 414, 431, 501}
    assert instance.seen == []


def test_it_ends_tls_and_says_so_to_the_service(site: Site) -> None:
    secure = f"https://localhost:{site.nginx.tls_port}/health"
    with urlopen(secure, context=site.trusting, timeout=30) as answer:
        assert answer.headers["Strict-Transport-Security"]
    with urlopen(f"{site.nginx.url}/health", timeout=30) as answer:
        assert "Strict-Transport-Security" not in answer.headers


def test_slow_senders_do_not_hold_up_the_others(site: Site, alice: Account) -> None:
    late = asking("/v1/tasks", alice, "POST", b" " * 900_000)
    put = asking("/v1/tasks/a", alice, "PUT", b" " * 900_000)
    with ExitStack() as stack:
        for begun in (late[:40], late[:-900_000], late[:-1], put[:-1], CHUNKED + b"5\r\nab"):
            stack.enter_context(connections(site.nginx.url, 20, begun))
        began = time.monotonic()
        answers = [ask(site.nginx.url, asking("/v1/tasks", alice)) for _ in range(10)]
        assert time.monotonic() - began < 9  # of the ten that slow senders are given
    assert {status for status, _, _ in answers} == {200}


def test_a_chunked_gigabyte_is_refused_by_nginx(site: Site) -> None:
    with connect(site.nginx.url) as client:
        sent = stream(client, 65536, lambda: None)
        status, _, body = answered(client)
    assert (status, json.loads(body)["type"]) == (413, "/problems/content-too-large")
    assert sent < 100 * 2**20


def test_an_import_larger_than_other_bodies_and_its_export_pass(site: Site, alice: Account) -> None:
    lines = jsonl(*(task(description="x" * 4000) for _ in range(500)))
    assert len(lines) > Settings().max_body_bytes
    sending = asking("/v1/import", alice, "POST", lines)
    sending = sending.replace(b"application/json", b"application/jsonl")
    status, _, report = ask(site.nginx.url, sending)
    assert (status, json.loads(report)["created"]) == (200, 500)
    status, _, file = ask(site.nginx.url, asking("/v1/export", alice))
    assert (status, file) == (200, exported(alice))


def test_an_etag_stays_what_if_match_can_be_given(site: Site, alice: Account) -> None:
    path = f"/v1/tasks/{alice.create_task(description='x' * 4000)['id']}"
    head, _, _ = asking(path, alice).partition(b"\r\n\r\n")
    _, headers, _ = ask(site.nginx.url, head + b"\r\nAccept-Encoding: gzip\r\n\r\n")
    assert "content-encoding" not in headers
    assert headers["etag"] == alice.get(path).headers["ETag"]


def test_a_rolling_restart_under_load_fails_nothing(database_url: str, tmp_path: Path) -> None:
    need("nginx")
    ports = (free_port(), free_port())
    with ExitStack() as stack:
        grace = {"SHUTDOWN_GRACE": "2"}  # more than nginx keeps a connection
        programs = [serve(stack, tmp_path / f"{n}.log", n, database_url, **grace) for n in ports]
        nginx = stack.enter_context(Nginx(*ports))
        with load(nginx.url, database_url) as working:
            for number, program in zip(ports, programs, strict=True):
                program.process.send_signal(signal.SIGTERM)
                assert program.process.wait(timeout=60) == 0
                serve(stack, tmp_path / f"{number}-again.log", number, database_url, **grace)
        assert_nothing_failed(working.shift.outcomes)
