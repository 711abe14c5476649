"""/metrics: what is counted is true, whichever process did it, and tells of nobody."""

import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from subprocess import Popen
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest
from apiflask import APIFlask
from flask.testing import FlaskClient
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from app import create_app
from app.core.ids import new_id
from app.core.metrics import tally
from app.core.metrics.families import (
    FAILURE_CAUSES,
    OTHER,
    UNMATCHED,
)
from app.db.base import GATE
from app.db.breaker import Breaker
from app.db.failures import Cause
from app.db.scope import Role, Scope
from app.ops.hooks import backlog
from tests.citus import beginning
from tests.conftest import Account, gunicorn_process, settings_for
from tests.contract import NOWHERE
from tests.databases import migrate, opened, own_database
from tests.hooks import Hooks, hook
from tests.locks import held, until
from tests.outbox import Outbox, settings
from tests.parallel import at_once
from tests.raw import HOST, asking, connections, exchange, seconds
from tests.rig.cluster import children
from tests.rig.proxy import Proxy
from tests.rig.receiver import Receiver
from tests.rig.smtp import MailServer
from tests.scrapes import BEARER, TOKEN, Scrape, scraped
from tests.test_export import fill

REQUESTS = "tasks_http_requests_total"
DURATIONS = "tasks_http_request_duration_seconds"
FLIGHTS = "tasks_database_flight_seconds_count"

Measuring = Callable[..., APIFlask]


class Server(NamedTuple):
    """gunicorn that measures, and its master process."""

    base: str
    process: Popen[bytes]

    def ask(self, request: bytes) -> int:
        """The status of the answer."""
        return exchange(self.base, request)[0]

    def scrape(self) -> Scrape:
        return scraped(self.base)

    def comes_to(self, name: str, value: float) -> None:
        """Return when the sum of this name's samples is that."""
        until(lambda: self.scrape().sum(name) == value)


@pytest.fixture(scope="module")
def server(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    log = tmp_path_factory.mktemp("metrics") / "log"
    short = {"METRICS_TOKEN": TOKEN, "DB_STATEMENT_TIMEOUT": "60", "REQUEST_DEADLINE": "60"}
    with gunicorn_process(database_url, log, **short) as (base, process):
        yield Server(base, process)


@pytest.fixture
def measuring(database_url: str) -> Iterator[Measuring]:
    """Makes applications that measure."""

    def make(url: str = database_url, **environment: str) -> APIFlask:
        return create_app(settings_for(url, METRICS_TOKEN=TOKEN, **environment))

    yield make
    tally.use(None)


@pytest.fixture
def caller(measuring: Measuring, auth: Callable[..., Account]) -> Account:
    """A user of an application that measures."""
    return auth(measuring())


def told(client: FlaskClient) -> Scrape:
    response = client.get("/metrics", headers=BEARER)
    assert response.status_code == 200, response.text
    return Scrape(response.text)


# Who may look


def test_without_a_token_set_there_are_no_metrics(app: APIFlask) -> None:
    assert app.test_client().get("/metrics", headers=BEARER).status_code == 404


@pytest.mark.parametrize(
    "headers",
    [{}, *({"Authorization": text} for text in ("Bearer", f"Basic {TOKEN}", f"Bearer {TOKEN}x"))],
)
def test_metrics_are_shown_to_the_bearer_of_the_token_alone(
    measuring: Measuring, headers: dict[str, str]
) -> None:
    client = measuring(NOWHERE).test_client()
    response = client.get(f"/metrics?token={TOKEN}", headers=headers)
    assert (response.status_code, response.json["type"]) == (401, "/problems/unauthenticated")
    assert response.headers["WWW-Authenticate"] == "Bearer"
    assert "tasks_" not in response.text
    assert client.get("/metrics", headers={"Authorization": f"bearer {TOKEN}"}).status_code == 200


def test_a_users_token_does_not_show_metrics(caller: Account) -> None:
    assert caller.get("/metrics").status_code == 401


def test_who_scrapes_may_ask_by_address(measuring: Measuring) -> None:
    client = measuring(NOWHERE, TRUSTED_HOSTS="api.example.com").test_client()
    base = "http://192.0.2.1:8000"
    assert client.get("/metrics", headers=BEARER, base_url=base).status_code == 200
    assert client.get("/v1/tasks", base_url=base).status_code == 400


def test_metrics_are_written_as_the_client_asks(measuring: Measuring) -> None:
    client = measuring(NOWHERE).test_client()
    plain = client.get("/metrics", headers=BEARER)
    assert plain.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    accept = {"Accept": "application/openmetrics-text;version=1.0.0,text/plain;q=0.5"}
    other = client.get("/metrics", headers={**BEARER, **accept})
    assert other.headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
    names = {family.name for family in text_string_to_metric_families(other.text)}
    assert names >= {family.name for family in Scrape(plain.text).families}


# What is counted


def test_a_request_is_counted_by_its_route_method_and_status(caller: Account) -> None:
    task = caller.create_task()
    for status, path in ((200, task["id"]), (404, new_id()), (404, new_id())):
        assert caller.get(f"/v1/tasks/{path}").status_code == status
    found = told(caller.client)
    one = {"method": "GET", "route": "/v1/tasks/<id:task_id>"}
    assert found.sum(REQUESTS, **one, status="200") == 1
    assert found.sum(REQUESTS, **one, status="404") == 2
    assert found.sum(REQUESTS, method="POST", route="/v1/tasks", status="201") == 1
    assert found.sum(f"{DURATIONS}_count", **one) == 3
    assert found.sum(f"{DURATIONS}_bucket", **one, le="+Inf") == 3
    assert found.sum(f"{DURATIONS}_sum", **one) > 0


def test_the_series_are_bounded_whatever_clients_send(caller: Account) -> None:
    client = caller.client
    for method in ("GET", "POST", "FETCH", new_id()):
        client.open("/nowhere", method=method)
    before = told(client)
    for _ in range(20):
        client.get(f"/v1/{new_id()}")
        client.open(f"/{new_id()}/{new_id()}?{new_id()}", method="POST")
        client.open(f"/v1/tasks/{new_id()}", method=new_id())
        client.get("/", headers={"X-Request-ID": new_id(), "User-Agent": new_id()})
    after = told(client)
    assert after.sum(REQUESTS, route=UNMATCHED) == before.sum(REQUESTS, route=UNMATCHED) + 60
    assert after.sum(REQUESTS, route=UNMATCHED, method=OTHER) == 22
    routes = {rule.rule for rule in client.application.url_map.iter_rules()}
    assert after.values("route") <= {*routes, UNMATCHED}
    # `/` was not asked for before.
    assert len(after.samples) - len(before.samples) < 40


def test_metrics_tell_of_nobody(caller: Account) -> None:
    task = caller.create_task(title="A secret title")
    token = caller.create_token()
    caller.get(f"/v1/tasks/{task['id']}?q=secret")
    text = told(caller.client).text
    secrets = [caller.user_id, caller.email, caller.token, task["id"], token["token"], token["id"]]
    assert [secret for secret in (*secrets, "secret", TOKEN) if secret in text] == []


def test_a_flight_is_counted_for_each_that_there_was(caller: Account) -> None:
    path = f"/v1/tasks/{caller.create_task()['id']}"
    before = told(caller.client).sum(FLIGHTS)
    for _ in range(3):
        caller.get(path)
    caller.client.get("/v1/tasks")  # of nobody, and so without one
    after = told(caller.client)
    assert after.sum(FLIGHTS) - before == 3
    assert after.sum("tasks_database_flight_seconds_sum") > 0
    assert after.sum("tasks_database_connections_opened_total") == 1


def test_problems_and_replays_are_counted(caller: Account) -> None:
    key = {"Idempotency-Key": new_id()}
    for _ in range(3):
        made = caller.post("/v1/tasks", json={"title": "Buy milk"}, headers=key)
    path = made.headers["Location"]
    caller.patch(path, json={"title": "Buy"}, headers={"If-Match": '"0"'})
    found = told(caller.client)
    assert found.sum("tasks_idempotency_replays_total") == 2
    assert found.sum("tasks_problems_total", type="precondition-failed") == 1
    assert found.sum("tasks_problems_total") == 1


def test_the_size_of_the_database_is_told(caller: Account, connection: Any) -> None:
    name = "tasks_database_size_bytes"
    size = told(caller.client).sum(name)
    with connection.cursor() as cursor:
        cursor.execute("select pg_database_size(current_database())")
        (now,) = cursor.fetchone()
    assert size == pytest.approx(now, rel=0.2)


def test_what_became_of_mails_is_told_and_who_waits(
    cluster: str, measuring: Measuring, clock: Callable[[float], None]
) -> None:
    with own_database(cluster) as url:
        migrate(url)
        outbox = Outbox(url)
        client = measuring(url).test_client()
        for _ in range(3):
            outbox.queue()
        outbox.ask("update mails set due_at = now() - interval '10 minutes'")
        found = told(client)
        assert found.sum("tasks_mails_due") == 3
        assert 600 <= found.sum("tasks_mails_overdue_seconds") < 700
        with MailServer() as server:
            server.faults.recipient = lambda n: ("", "451 later", "550 never")[n - 1]
            sending = create_app(settings_for(url, **settings(server.url())))
            once = sending.test_cli_runner().invoke(args=["work", "--once"])
        assert once.exit_code == 0, once.output
        clock(61)  # and no request has come since
        found = told(client)
        totals = {
            outcome: found.sum("tasks_mails_total", outcome=outcome)
            for outcome in ("sent", "retried", "given_up")
        }
        assert totals == {"sent": 1, "retried": 1, "given_up": 1}
        assert found.sum("tasks_mails_due") == found.sum("tasks_mails_overdue_seconds") == 0


def test_what_became_of_webhooks_is_told_and_which_are_due(
    cluster: str, measuring: Measuring, clock: Callable[[float], None]
) -> None:
    with own_database(cluster) as url, Receiver() as receiver:
        migrate(url)
        hooks, client = Hooks(url), measuring(url).test_client()
        for path in ("/well", "/failing", "/gone"):
            hook(hooks.alice, receiver.url(path))
        receiver.reply = lambda message: (
            {"/well": 204, "/gone": 410}.get(message.path, 500),
            {},
            b"",
        )
        hooks.alice.create_task()
        found = told(client)
        assert found.sum("tasks_webhooks_due", state="answering") == 3
        hooks.call()
        clock(61)  # and no request has come since
        found = told(client)
        outcomes = ("delivered", "retried", "disabled")
        assert [found.sum("tasks_webhooks_total", outcome=each) for each in outcomes] == [1, 1, 1]
        assert found.sum("tasks_webhooks_due") == found.sum("tasks_webhooks_overdue_seconds") == 0
        hooks.ask(
            "update webhooks set next_attempt_at = now() - interval '10 minutes' where attempts = 1"
        )
        clock(61)
        found = told(client)
        assert found.sum("tasks_webhooks_due", state="failing") == 1
        assert 600 <= found.sum("tasks_webhooks_overdue_seconds", state="failing") < 700
        assert found.sum("tasks_webhooks_due", state="answering") == 0


def test_a_webhook_that_is_due_only_later_leaves_the_database_alone_until_then(
    cluster: str, measuring: Measuring, clock: Callable[[float], None]
) -> None:
    with own_database(cluster) as url, Proxy(url) as proxy:
        migrate(url)
        hooks, client = Hooks(url), measuring(proxy.url).test_client()
        hook(hooks.alice, "https://hooks.example.com/", "reminder")
        later = (datetime.now(UTC) + timedelta(seconds=600)).isoformat()
        hooks.alice.create_task(reminders=[{"at": later}])

        def asks(seconds: float) -> bool:
            before = settled(proxy)
            clock(seconds)
            told(client)
            return settled(proxy) > before

        assert [asks(seconds) for seconds in (0, 300, 200, 110)] == [True, False, False, True]


@pytest.mark.parametrize("state", ["answering", "failing"])
def test_the_backlog_of_webhooks_is_read_by_its_indexes(cluster: str, state: str) -> None:
    with own_database(cluster) as url:
        migrate(url)
        hooks = Hooks(url)
        hooks.ask(
            "insert into webhooks (user_id, id, url, events, secret, key_id, version, created_at,"
            " updated_at, latest_version, latest_at, told_version, told_reminder_at, attempts)"
            " select %s, gen_random_uuid(), 'https://hooks.example.com/', '{changes}', 'none',"
            " 'none', 1, now(), now(), number %% 2, now() - interval '1 minute', 0, now(), %s"
            " from generate_series(1, 20000) number",
            hooks.alice.user_id,
            0 if state == "answering" else 1,
        )
        hooks.ask("analyze webhooks")
        role = Scope(Role.WORKER, presented=None).prefix(1000)
        plan = "\n".join(line for (line,) in hooks.ask(f"{role} explain {backlog.QUERY}"))
        assert "Seq Scan on webhooks" not in plan, plan
        assert {"ix_webhooks_due_at", "ix_webhooks_retry_at"} <= {*re.findall(r"\w+", plan)}, plan


def test_a_login_that_may_not_work_as_the_worker_is_told_the_rest(
    measuring: Measuring, cluster: str
) -> None:
    with own_database(cluster) as url, opened(url) as cursor:
        migrate(url)
        cursor.execute("create role unprivileged login noinherit password 'of a test'")
        try:
            cursor.execute("grant tasks_app to unprivileged")
            parts = urlsplit(url)
            address = parts.netloc.rpartition("@")[2]
            least = parts._replace(netloc=f"unprivileged:of%20a%20test@{address}").geturl()
            text = told(measuring(least).test_client()).text
        finally:
            cursor.execute("drop role unprivileged")
    assert "tasks_database_size_bytes" in text
    assert "tasks_mails" not in text
    assert "tasks_webhooks" not in text


def settled(proxy: Proxy) -> int:
    """How many flights there were, once none has come for a tenth of a second."""
    before = -1
    while proxy.flights != before:
        before = proxy.flights
        time.sleep(0.1)
    return before


def test_the_size_is_asked_for_once_a_minute_and_of_no_database_that_nobody_uses(
    measuring: Measuring,
    auth: Callable[..., Account],
    proxy: Proxy,
    clock: Callable[[float], None],
    connection: Any,
) -> None:
    caller = auth(measuring(proxy.url))
    with connection.cursor() as cursor:
        # While any wait, the database is not left alone.
        cursor.execute("delete from mails")
        cursor.execute("delete from webhooks")
    flights = []

    def scrape() -> None:
        before = settled(proxy)
        told(caller.client)
        flights.append(settled(proxy) > before)

    scrape()
    scrape()
    clock(61)
    scrape()  # nobody has asked the database for anything since
    assert caller.get("/v1/tasks").status_code == 200
    scrape()
    scrape()
    assert caller.get("/v1/tasks").status_code == 200
    scrape()
    clock(61)
    scrape()
    assert flights == [True, False, False, True, False, False, True]


def test_a_database_that_does_not_answer_has_no_size_and_holds_no_scrape_up(
    measuring: Measuring, auth: Callable[..., Account]
) -> None:
    caller = auth(measuring(NOWHERE))
    started = time.perf_counter()
    assert "tasks_database_size_bytes" not in told(caller.client).text
    assert time.perf_counter() - started < 5


def test_what_the_limits_refuse_is_counted_by_limit(
    measuring: Measuring, auth: Callable[..., Account]
) -> None:
    caller = auth(measuring(RATELIMIT_PER_USER="1", RATELIMIT_PER_ADDRESS="40"))
    statuses = [caller.get("/v1/tasks").status_code for _ in range(4)]
    wrong = {"email": "nobody@example.com", "password": "not the password"}
    tried = [caller.client.post("/v1/auth/token", json=wrong).status_code for _ in range(12)]
    rest = [caller.client.get("/v1/tasks").status_code for _ in range(50)]
    found = told(caller.client)
    for limit, refused in (("user", statuses), ("sign-in", tried), ("address", rest)):
        assert refused.count(429) > 0
        assert found.sum("tasks_rate_limit_refusals_total", limit=limit) == refused.count(429)


def test_a_second_export_of_a_user_at_a_time_is_counted_as_refused(
    caller: Account, connection: Any
) -> None:
    fill(connection, caller, 3000)
    opened = caller.get("/v1/export")
    assert caller.get("/v1/export").status_code == 429
    opened.close()
    assert told(caller.client).sum("tasks_rate_limit_refusals_total", limit="transfer") == 1


def test_a_long_poll_is_no_slow_request(caller: Account) -> None:
    token = caller.get("/v1/changes").json["next_token"]
    before = told(caller.client)
    started = time.perf_counter()
    assert caller.get(f"/v1/changes?since={token}&wait=1").json["items"] == []
    elapsed = time.perf_counter() - started
    after = told(caller.client)
    seconds = f"{DURATIONS}_sum"
    spent = after.sum(seconds, route="/v1/changes") - before.sum(seconds, route="/v1/changes")
    assert 0 < spent <= elapsed - 0.99


# When the database fails


def test_an_open_breaker_and_its_cause_are_told(
    measuring: Measuring, auth: Callable[..., Account], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Breaker, "_run", lambda _self: None)  # it stays open
    caller = auth(measuring(NOWHERE))
    assert [caller.get("/v1/tasks").status_code for _ in range(3)] == [503] * 3
    found = told(caller.client)
    assert found.sum("tasks_database_breakers_open") == 1
    assert found.sum("tasks_database_failures_total", cause="away") == 1
    assert found.sum("tasks_problems_total", type="database-unavailable") == 3
    caller.client.application.extensions[GATE].breaker.failure = None
    assert told(caller.client).sum("tasks_database_breakers_open") == 0


def test_waits_for_the_pool_and_those_in_vain_are_counted(
    measuring: Measuring, auth: Callable[..., Account]
) -> None:
    one = {"DB_POOL_SIZE": "1", "DB_MAX_OVERFLOW": "0", "DB_POOL_TIMEOUT": "0.1"}
    caller = auth(measuring(**one))
    pool = caller.client.application.extensions[GATE].pool
    taken = pool.connect()
    try:
        assert caller.get("/v1/tasks").json["type"] == "/problems/database-busy"
        found = told(caller.client)
    finally:
        taken.close()
    assert caller.get("/v1/tasks").status_code == 200
    assert found.sum("tasks_database_pool_timeouts_total") == 1
    assert found.sum("tasks_database_pool_waits_total") == 1
    assert found.sum("tasks_database_pool_wait_seconds_total") >= 0.1
    assert found.sum("tasks_database_failures_total", cause="full") == 1
    assert [found.sum(f"tasks_database_pool_{what}") for what in ("limit", "open", "in_use")] == [
        *(1, 1, 1)
    ]
    later = told(caller.client)
    assert later.sum("tasks_database_pool_in_use") == 0
    assert later.sum("tasks_database_pool_waits_total") == 1


def test_a_statement_that_is_sent_again_is_counted(
    measuring: Measuring, cutting: Proxy, auth: Callable[..., Account]
) -> None:
    cutting.faults.every = 2
    caller = auth(measuring(cutting.url))
    cutting.faults.lose_answer_to = beginning()
    assert [caller.get("/v1/tasks").status_code for _ in range(2)] == [200, 200]
    found = told(caller.client)
    assert found.sum("tasks_database_retries_total") == 1
    assert found.sum(FLIGHTS) == 3


# Across processes


def test_every_request_is_counted_once_though_its_process_is_killed(
    server: Server, alice: Account
) -> None:
    def total() -> float:
        return server.scrape().sum(REQUESTS, route="/v1/tasks", status="200")

    server.comes_to("tasks_workers", 2)
    before, requests = total(), 0
    for worker in children(server.process.pid):
        statuses = at_once([lambda: server.ask(asking("/v1/tasks", alice))] * 8)
        requests += statuses.count(200)
        assert requests % 8 == 0
        os.kill(worker, signal.SIGKILL)
        until(lambda gone=worker: gone not in children(server.process.pid))
        server.comes_to("tasks_workers", 2)
    assert total() == before + requests
    assert requests == 16
    found = server.scrape()
    assert found.sum("tasks_worker_starts_total") == 4


def test_counts_go_on_after_a_reload(server: Server, alice: Account) -> None:
    assert server.ask(asking("/v1/tasks", alice)) == 200
    before, old = server.scrape(), set(children(server.process.pid))
    server.process.send_signal(signal.SIGHUP)
    until(lambda: len(now := set(children(server.process.pid))) == 2 and not now & old)
    server.comes_to("tasks_workers", 2)
    after = server.scrape()
    starts = "tasks_worker_starts_total"
    assert after.sum(starts) == before.sum(starts) + 2
    assert after.sum(REQUESTS, route="/v1/tasks") == before.sum(REQUESTS, route="/v1/tasks")
    assert after.sum("tasks_start_time_seconds") == before.sum("tasks_start_time_seconds")


def test_what_was_under_way_in_a_process_ends_with_it(server: Server, alice: Account) -> None:
    token = alice.get("/v1/changes").json["next_token"]
    poll = asking(f"/v1/changes?since={token}&wait=25", alice)
    with connections(server.base, 1, poll):
        server.comes_to("tasks_http_long_polls", 1)
        server.comes_to("tasks_http_requests_in_flight", 1)
        for worker in children(server.process.pid):
            os.kill(worker, signal.SIGKILL)
        server.comes_to("tasks_workers", 2)
        server.comes_to("tasks_http_long_polls", 0)


def test_metrics_are_told_while_every_thread_is_held_and_others_wait(
    server: Server, alice: Account, connection: Any
) -> None:
    change = asking("/v1/tasks", alice, "POST", b'{"title": "Buy milk"}')
    scrape = b"GET /metrics HTTP/1.1\r\n" + HOST + f"Authorization: Bearer {TOKEN}\r\n\r\n".encode()
    with held(connection, alice.user_id), connections(server.base, 20, change) as waiting:
        server.comes_to("tasks_http_requests_in_flight", 20)
        # Of twenty connections; more where one of the processes was left with fewer than four.
        until(lambda: server.scrape().sum("tasks_http_requests_queued") >= 12)
        found = server.scrape()
        assert seconds(server.base, scrape)[0] == 200
        connection.cursor().execute("rollback")
        assert all(each.recv(12) == b"HTTP/1.1 201" for each in waiting)
    assert found.sum("tasks_http_threads") == 8
    server.comes_to("tasks_http_requests_in_flight", 0)
    later, queue = server.scrape(), "tasks_http_queue_seconds"
    assert later.sum(f"{queue}_count") - later.sum(f"{queue}_bucket", le="0.01") >= 12


def test_what_gunicorn_refuses_by_itself_is_counted(server: Server) -> None:
    def refused() -> float:
        return server.scrape().sum("tasks_problems_total", type="headers-too-large")

    before = refused()
    assert server.ask(b"GET / HTTP/1.1\r\n" + HOST + b"X: " + b"a" * 9000 + b"\r\n\r\n") == 431
    assert refused() == before + 1


def test_each_cause_of_a_failure_has_a_series() -> None:
    assert tuple(cause.name.lower() for cause in Cause) == FAILURE_CAUSES
