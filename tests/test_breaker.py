"""While the database is away requests fail at once, and one probe looks for the way back."""

import logging
import socket
import threading
import time
from collections.abc import Callable
from threading import Event, Thread
from typing import Any
from urllib.parse import urlsplit

import psycopg2
import pytest

from app import create_app
from app.core.problems import Problem
from app.db import breaker
from app.db.base import GATE
from app.db.breaker import Breaker
from app.db.failures import AWAY, Cause, Failure, while_connecting, while_waiting
from tests.conftest import Account, settings_for
from tests.locks import until
from tests.parallel import at_once
from tests.rig.proxy import Proxy

PATIENCE_SECONDS = 30.0


def state(account: Account) -> Breaker:
    found: Breaker = account.client.application.extensions[GATE].breaker
    return found


# Through HTTP


def test_after_the_first_failure_nobody_tries_to_connect(
    proxy: Proxy, auth: Callable[..., Account]
) -> None:
    proxy.refuse()
    with socket.create_server(("127.0.0.1", proxy.port)) as listener:
        listener.settimeout(0)
        hasty = auth(create_app(settings_for(proxy.url, DB_CONNECT_TIMEOUT="1")))
        state(hasty).probe = refuse
        assert hasty.get("/v1/tasks").status_code == 503
        listener.accept()[0].close()
        for _ in range(20):
            answer = hasty.get("/v1/tasks")
            assert (answer.status_code, answer.json["type"]) == (
                503,
                "/problems/database-unavailable",
            )
            assert answer.headers["Retry-After"] == "1"
        with pytest.raises(BlockingIOError):
            listener.accept()
    proxy.accept()


def refuse() -> None:
    raise psycopg2.OperationalError("connection refused")


def test_the_first_success_of_the_probe_lets_requests_through_again(
    proxy: Proxy, auth: Callable[..., Account]
) -> None:
    caller = auth(create_app(settings_for(proxy.url)))
    assert caller.get("/v1/tasks").status_code == 200
    proxy.refuse()
    assert caller.get("/v1/tasks").status_code == 503
    assert state(caller).failure is not None
    proxy.accept()
    until(lambda: state(caller).failure is None)
    assert caller.get("/v1/tasks").status_code == 200


def test_a_database_that_is_full_does_not_open_the_breaker(
    auth: Callable[..., Account], connection: Any, cluster: str
) -> None:
    name = cluster.rpartition("/")[2]
    role = "narrow_login"
    with connection.cursor() as cursor:
        cursor.execute(f"create role {role} login password 'narrow' connection limit 0")
        cursor.execute(f"grant tasks_app to {role}")
        try:
            address = cluster.rpartition("@")[2].rpartition("/")[0]
            url = f"postgresql://{role}:narrow@{address}/{name}"
            caller = auth(create_app(settings_for(url)))
            answer = caller.get("/v1/tasks")
            assert (answer.status_code, answer.json["type"]) == (503, "/problems/database-busy")
            assert state(caller).failure is None
            cursor.execute(f"alter role {role} connection limit 5")
            assert caller.get("/v1/tasks").status_code == 200
        finally:
            cursor.execute(
                f"select pg_terminate_backend(pid, 5000) from pg_stat_activity"
                f" where usename = '{role}'"
            )
            cursor.execute(f"drop role {role}")


@pytest.mark.parametrize(
    ("wrong", "advice"),
    [
        ({"password": "wrong"}, "its user or password is not accepted"),
        ({"user": "nobody-of-this-name"}, "its user or password is not accepted"),
        ({"database": "nothing"}, "there is no database of that name"),
        ({"host": "nowhere.invalid"}, "no host of that name is known"),
    ],
    ids=lambda value: str(next(iter(value))) if isinstance(value, dict) else "",
)
def test_what_does_not_pass_by_itself_is_recognised_of_a_real_server(
    auth: Callable[..., Account],
    cluster: str,
    wrong: dict[str, str],
    advice: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    parts = urlsplit(cluster)
    user, password = wrong.get("user", parts.username), wrong.get("password", parts.password)
    host, database = wrong.get("host", parts.hostname), wrong.get("database", parts.path[1:])
    url = f"postgresql://{user}:{password}@{host}:{parts.port}/{database}"
    caller = auth(create_app(settings_for(url)))
    answers = [caller.get("/v1/tasks") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [503] * 3
    assert answers[-1].headers["Retry-After"] == "15"
    told = f"the database refuses this service; as for DATABASE_URL: {advice}"
    assert capsys.readouterr().out.count(told) == 1


# The breaker itself


def test_one_probe_at_a_time_however_many_requests_fail() -> None:
    running, most, release = [0], [0], Event()

    def probe() -> None:
        running[0] += 1
        most[0] = max(most[0], running[0])
        release.wait(PATIENCE_SECONDS)
        running[0] -= 1

    breaking = Breaker(probe)
    at_once([lambda: breaking.open(AWAY)] * 20)
    until(lambda: running[0] == 1)
    at_once([lambda: breaking.open(AWAY)] * 20)
    release.set()
    until(lambda: breaking.failure is None)
    assert most[0] == 1


def test_it_can_open_again_after_it_closed() -> None:
    probed: list[bool] = []
    release = Event()
    breaking = Breaker(lambda: probed.append(release.wait(PATIENCE_SECONDS)))
    for count in (1, 2):
        release.clear()
        breaking.open(AWAY)
        with pytest.raises(Problem):
            breaking.check()
        release.set()
        until(lambda: breaking.failure is None)
        breaking.check()
        assert probed == [True] * count


def test_a_lasting_cause_is_told_with_advice_once_and_not_hammered(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pauses: list[float] = []
    probes = iter([True] * 3)

    def probe() -> None:
        if next(probes, False):
            raise psycopg2.OperationalError('password authentication failed for user "tasks"')

    monkeypatch.setattr(breaker, "sleep", pauses.append)
    breaking = Breaker(probe)
    caplog.set_level(logging.INFO, "app.db.breaker")
    failure = while_connecting(psycopg2.OperationalError("password authentication failed"))
    monkeypatch.setattr(breaker, "Thread", lambda **_: Thread(target=int))
    breaking.open(failure)
    with pytest.raises(Problem) as refused:
        breaking.check()
    assert refused.value.headers["Retry-After"] == "15"
    breaking._run()
    assert pauses == [breaker.LASTING_PAUSE_SECONDS] * 4
    errors = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert errors == [
        "the database refuses this service; as for DATABASE_URL: "
        "its user or password is not accepted"
    ]


def test_a_cause_that_passes_is_probed_more_and_more_rarely_and_at_least_each_second(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pauses: list[float] = []
    probes = iter([True] * 9)

    def probe() -> None:
        if next(probes, False):
            refuse()

    monkeypatch.setattr(breaker, "sleep", pauses.append)
    breaking = Breaker(probe)
    breaking.failure = AWAY
    breaking._run()
    assert pauses[0] < 0.2
    assert max(pauses) <= 1.2
    assert all(0.8 <= pause <= 1.2 for pause in pauses[5:])


def test_nobody_knocks_at_a_database_that_nobody_asks_for(monkeypatch: pytest.MonkeyPatch) -> None:
    probed: list[None] = []
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    def probe() -> None:
        probed.append(None)
        refuse()

    monkeypatch.setattr(breaker, "sleep", sleep)
    monkeypatch.setattr(breaker, "monotonic", lambda: now[0])
    breaking = Breaker(probe)
    breaking.failure = AWAY
    breaking._run()
    assert now[0] < 2 * breaker.UNASKED_SECONDS
    assert len(probed) > 10
    breaking.check()


def test_a_probe_that_is_broken_leaves_no_breaker_open(monkeypatch: pytest.MonkeyPatch) -> None:
    def probe() -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(breaker, "sleep", lambda _: None)
    breaking = Breaker(probe)
    breaking.failure, breaking.asked_at = AWAY, time.monotonic()
    with pytest.raises(ZeroDivisionError):
        breaking._run()
    breaking.check()


def test_without_a_thread_for_the_probe_the_breaker_stays_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def start(_: Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(Thread, "start", start)
    breaking = Breaker(refuse)
    breaking.open(AWAY)
    breaking.check()


def test_a_probe_never_keeps_the_process_from_ending() -> None:
    release = Event()
    breaking = Breaker(lambda: release.wait(PATIENCE_SECONDS) and None)
    before = set(_threads())
    breaking.open(AWAY)
    started = [thread for thread in _threads() if thread not in before]
    assert [thread.daemon for thread in started] == [True]
    release.set()
    until(lambda: breaking.failure is None)


def _threads() -> list[Thread]:
    return threading.enumerate()


# What failures mean


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("connection refused\n\tIs the server running on that host", Cause.AWAY),
        ("FATAL:  the database system is starting up", Cause.AWAY),
        ("ERROR:  Couldn't connect to compute node", Cause.AWAY),
        ("ERROR:  Control plane request failed", Cause.AWAY),
        ("could not translate host name to address: Temporary failure", Cause.AWAY),
        ("FATAL:  sorry, too many clients already", Cause.FULL),
        ('FATAL:  too many connections for role "tasks"', Cause.FULL),
        ("FATAL:  remaining connection slots are reserved for roles", Cause.FULL),
        ("FATAL:  no more connections allowed (max_client_conn)", Cause.FULL),
        ('FATAL:  password authentication failed for user "tasks"', Cause.REFUSED),
        ("FATAL:  SASL authentication failed", Cause.REFUSED),
        ('FATAL:  database "nothing" does not exist', Cause.REFUSED),
        ("FATAL:  no such database: nothing", Cause.REFUSED),
        ('could not translate host name "x" to address: Name or service not known', Cause.REFUSED),
        ("ERROR:  The endpoint has been disabled. Enable it using Neon API", Cause.REFUSED),
        ("ERROR:  Your project has exceeded the compute time quota.", Cause.REFUSED),
        ("SSL error: certificate verify failed", Cause.TLS),
        ('root certificate file "/x" does not exist', Cause.TLS),
        ('server certificate for "a" does not match host name "b"', Cause.TLS),
        ("server does not support SSL, but SSL was required", Cause.TLS),
        ("channel binding required, but server authenticated client without it", Cause.TLS),
    ],
)
def test_what_kept_a_connection_from_being_made(text: str, cause: Cause) -> None:
    failure = while_connecting(psycopg2.OperationalError(text))
    assert failure.cause is cause
    assert failure.lasting == (cause in {Cause.TLS, Cause.REFUSED})
    assert not failure.sent
    assert "DATABASE_URL" not in failure.advice


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("terminating connection due to administrator command", Cause.LOST),
        ("server closed the connection unexpectedly", Cause.LOST),
        ("FATAL:  server conn crashed?", Cause.LOST),
        ("FATAL:  query_wait_timeout", Cause.FULL),
        ("FATAL:  pgbouncer cannot connect to server", Cause.AWAY),
        ("FATAL:  server login has been failing, try again later", Cause.AWAY),
    ],
)
def test_what_broke_a_connection_with_a_statement_on_it(text: str, cause: Cause) -> None:
    failure: Failure = while_waiting(psycopg2.OperationalError(text))
    assert failure.cause is cause
    assert failure.sent == (cause is Cause.LOST)
