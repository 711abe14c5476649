"""How gunicorn ends, reloads and replaces its workers: nobody's request fails for it."""

import json
import os
import shlex
import signal
import socket
import time
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from subprocess import Popen
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest

from tests.conftest import ROOT, Account, gunicorn_process
from tests.locks import held, until, waiting
from tests.rig.cluster import children
from tests.traffic import assert_nothing_failed, load

pytestmark = pytest.mark.slow


class Answer(NamedTuple):
    """What came back, and whether the server closes the connection after it."""

    status: int
    closes: bool
    body: bytes


def ask(connection: HTTPConnection, path: str, account: Account | None = None) -> Answer:
    """GET on this connection, which may be used again if the answer does not close it."""
    headers = {"Authorization": f"Bearer {account.token}"} if account else {}
    connection.request("GET", path, headers=headers)
    response = connection.getresponse()
    closes = response.will_close
    return Answer(response.status, closes, response.read())


def connect(base: str) -> HTTPConnection:
    return HTTPConnection(urlsplit(base).netloc, timeout=30)


def look(base: str, path: str = "/health", account: Account | None = None) -> Answer:
    """GET on a connection of its own."""
    with closing(connect(base)) as connection:
        return ask(connection, path, account)


def refused(base: str) -> bool:
    """Whether nobody listens there any more."""
    parts = urlsplit(base)
    try:
        socket.create_connection((str(parts.hostname), int(parts.port or 0)), timeout=5).close()
    except OSError:
        return True
    return False


def replace_workers(process: Popen[bytes]) -> None:
    """Have gunicorn reload, and return when no worker is left that it had before."""
    before = set(children(process.pid))
    process.send_signal(signal.SIGHUP)
    until(lambda: (now := set(children(process.pid))) and not before & now)


def test_health_fails_first_while_requests_are_served_to_the_end_of_the_grace(
    database_url: str, alice: Account, tmp_path: Path
) -> None:
    serving = gunicorn_process(database_url, tmp_path / "log", SHUTDOWN_GRACE="3")
    with serving as (base, process), closing(connect(base)) as kept:
        assert ask(kept, "/v1/tasks", alice)[:2] == (200, False)
        process.send_signal(signal.SIGTERM)
        until(lambda: look(base).status == 503)
        draining = look(base)
        assert (json.loads(draining.body), draining.closes) == ({"status": "draining"}, True)
        assert ask(kept, "/v1/tasks", alice)[:2] == (200, True)
        assert look(base, "/v1/tasks", alice)[:2] == (200, True)
        assert look(base, "/health/db")[:2] == (200, True)
        assert process.wait(timeout=30) == 0
        assert refused(base)


def test_a_second_sigterm_to_every_process_does_not_shorten_the_grace(
    database_url: str, alice: Account, tmp_path: Path
) -> None:
    serving = gunicorn_process(database_url, tmp_path / "log", SHUTDOWN_GRACE="60")
    with serving as (base, process):
        for _ in range(2):
            for pid in (*children(process.pid), process.pid):
                os.kill(pid, signal.SIGTERM)
            until(lambda: look(base).status == 503)
        until(lambda: (tmp_path / "log").read_text().count("Handling signal: term") == 1)
        for _ in range(20):
            assert look(base, "/v1/tasks", alice).status == 200
        process.send_signal(signal.SIGQUIT)
        assert process.wait(timeout=30) == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT])
def test_an_interrupt_does_not_wait_for_the_grace(
    database_url: str, tmp_path: Path, number: signal.Signals
) -> None:
    with gunicorn_process(database_url, tmp_path / "log", SHUTDOWN_GRACE="60") as (_, process):
        process.send_signal(number)
        assert process.wait(timeout=30) == 0


def test_an_interrupt_reaches_a_worker_that_has_just_been_started(
    database_url: str, tmp_path: Path
) -> None:
    slow = tmp_path / "slow.py"
    slow.write_text(f"""
import time
exec(open({str(ROOT / "gunicorn.conf.py")!r}).read())
prepare = post_fork

def post_fork(arbiter, worker):
    if worker.age == 2:
        time.sleep(2)
    prepare(arbiter, worker)
""")
    serving = gunicorn_process(
        database_url,
        tmp_path / "log",
        SHUTDOWN_GRACE="60",
        GUNICORN_CMD_ARGS=f"--config {shlex.quote(str(slow))}",
    )
    with serving as (_, process):
        until(lambda: (tmp_path / "log").read_text().count("Booting worker") == 2)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_who_waits_for_a_change_is_answered_when_the_worker_ends(
    database_url: str, alice: Account, tmp_path: Path, number: signal.Signals
) -> None:
    serving = gunicorn_process(database_url, tmp_path / "log", SHUTDOWN_GRACE="2")
    with serving as (base, process), closing(connect(base)) as waiting:
        token = json.loads(look(base, "/v1/changes", alice).body)["next_token"]
        started = time.monotonic()
        headers = {"Authorization": f"Bearer {alice.token}"}
        waiting.request("GET", f"/v1/changes?since={token}&wait=25", headers=headers)
        process.send_signal(number)
        answer = waiting.getresponse()
        assert (answer.status, json.loads(answer.read())["items"]) == (200, [])
        assert time.monotonic() - started < 20


def test_an_idle_connection_does_not_keep_the_server_from_ending(
    database_url: str, tmp_path: Path
) -> None:
    serving = gunicorn_process(database_url, tmp_path / "log")
    with serving as (base, process), closing(connect(base)) as kept:
        ask(kept, "/health")
        with closing(connect(base)) as silent:
            silent.connect()
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=30) == 0


def test_once_the_grace_is_over_new_connections_are_refused_though_a_request_is_under_way(
    database_url: str, alice: Account, connection: Any, tmp_path: Path
) -> None:
    serving = gunicorn_process(database_url, tmp_path / "log", SHUTDOWN_GRACE="0")
    with serving as (base, process), closing(connect(base)) as writing:
        with held(connection, alice.user_id):
            headers = {"Authorization": f"Bearer {alice.token}", "Content-Type": "application/json"}
            writing.request("POST", "/v1/tasks", b'{"title": "Buy milk"}', headers)
            until(lambda: waiting(connection))
            process.send_signal(signal.SIGTERM)
            until(lambda: refused(base))
        assert writing.getresponse().status == 201


def test_reloading_under_load_fails_no_request_and_not_health(
    database_url: str, tmp_path: Path
) -> None:
    serving = gunicorn_process(database_url, tmp_path / "log", SHUTDOWN_GRACE="5")
    with serving as (base, process):
        with load(base, database_url) as working:
            replace_workers(process)
            replace_workers(process)
        assert_nothing_failed(working.shift.outcomes, working.health, working.database_health)


def test_a_connection_kept_through_a_reload_is_answered_before_it_ends(
    database_url: str, alice: Account, tmp_path: Path
) -> None:
    serving = gunicorn_process(
        database_url, tmp_path / "log", SHUTDOWN_GRACE="5", WEB_CONCURRENCY="1"
    )
    with serving as (base, process), closing(connect(base)) as kept:
        assert ask(kept, "/v1/tasks", alice)[:2] == (200, False)
        booted = (tmp_path / "log").read_text().count("Booting worker")
        process.send_signal(signal.SIGHUP)
        until(lambda: (tmp_path / "log").read_text().count("Booting worker") > booted)
        answers = [ask(kept, "/v1/tasks", alice)]
        while not answers[-1].closes:
            answers.append(ask(kept, "/v1/tasks", alice))
        assert {answer.status for answer in answers} == {200}
        assert look(base, "/v1/tasks", alice).status == 200


def test_workers_that_are_replaced_after_so_many_requests_fail_none(
    database_url: str, tmp_path: Path
) -> None:
    recycled = "--max-requests=150 --max-requests-jitter=100"
    serving = gunicorn_process(
        database_url, tmp_path / "log", GUNICORN_CMD_ARGS=recycled, SHUTDOWN_GRACE="5"
    )
    with serving as (base, process):
        before = set(children(process.pid))
        with load(base, database_url) as working:
            until(lambda: not before & set(children(process.pid)))
        assert_nothing_failed(working.shift.outcomes, working.health, working.database_health)
