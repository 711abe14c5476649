"""The service as on Neon: through PgBouncer in transaction mode, as a login with few rights."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from threading import Event, Thread
from typing import Any, NamedTuple

import psycopg2
import pytest
from apiflask import APIFlask
from flask import request, request_started

from app import create_app
from app.auth.mail_kinds import MailKind
from app.auth.mail_tokens import MailToken
from app.core.ids import new_id
from app.core.secrets import Keys
from app.db.base import db
from tests.conftest import PASSWORD, ROOT, SECRET, Account, settings_for
from tests.databases import opened
from tests.locks import until
from tests.parallel import at_once
from tests.rig.cluster import Cluster
from tests.rig.neon import SERVICE, Neon
from tests.rig.pgbouncer import PgBouncer
from tests.rig.programs import need
from tests.rig.proxy import Proxy
from tests.rig.statements import LOGGING, Sent, by_pooler, lasting, sent

pytestmark = pytest.mark.slow

Serve = Callable[..., APIFlask]

CONNECTIONS = 20
"""DB_POOL_SIZE and DB_MAX_OVERFLOW, by default."""

API = [
    f"tests/test_{name}.py"
    for name in (
        "tasks",
        "categories",
        "users",
        "sign_in",
        "idempotency",
        "conditional",
        "personal_tokens",
    )
]

MATCHING = {"If-Match": "*"}


@dataclass(frozen=True)
class Box:
    """Neon in a box, migrated."""

    cluster: Cluster
    project: Neon
    pooler: PgBouncer

    @property
    def url(self) -> str:
        """What production has as DATABASE_URL."""
        return self.pooler.through(self.project.service_url)


@contextmanager
def neon_in_a_box(cluster: Cluster, **parameters: Any) -> Iterator[Box]:
    with PgBouncer(cluster.url, **parameters) as pooler:
        project = Neon.create(cluster.url)
        project.migrate(pooler.through(project.owner_url))
        project.add_service()
        yield Box(cluster, project, pooler)


@pytest.fixture(scope="module")
def box() -> Iterator[Box]:
    """With three server connections, which all clients share."""
    with Cluster.throwaway(LOGGING) as cluster, neon_in_a_box(cluster, pool_size=3) as made:
        yield made


@pytest.fixture
def application() -> Iterator[Serve]:
    """Makes applications; their connections end with the test."""
    made: list[APIFlask] = []

    def serve(url: str, **environment: str) -> APIFlask:
        made.append(create_app(settings_for(url, **environment)))
        return made[-1]

    yield serve
    for app in made:
        with app.app_context():
            db.engine.dispose()


def sign_up(app: APIFlask) -> Account:
    """A new user with a token, made through the API."""
    client = app.test_client()
    credentials = {"email": f"{new_id()}@example.com", "password": PASSWORD}
    registered = client.post("/v1/auth/register", json=credentials)
    assert registered.status_code == 201, registered.text
    token = client.post("/v1/auth/token", json=credentials).json["access_token"]
    return Account(registered.json["id"], credentials["email"], token, client)


def expect(response: Any, status: int) -> Any:
    assert response.status_code == status, response.text
    return response


def go_through(app: APIFlask) -> None:
    """Call every operation of the contract, as a user who comes and goes."""
    user = sign_up(app)
    client = user.client
    for path in ("/health", "/health/db"):
        expect(client.get(path), 200)
    pair = {"email": user.email, "password": PASSWORD}
    pair = expect(client.post("/v1/auth/token", json=pair), 200).json
    refresh = {"refresh_token": pair["refresh_token"]}
    refresh["refresh_token"] = client.post("/v1/auth/refresh", json=refresh).json["refresh_token"]
    expect(client.post("/v1/auth/logout", json=refresh), 204)
    credentials = {"email": user.email, "password": PASSWORD}
    other = expect(client.post("/v1/auth/token", json=credentials), 200).json["access_token"]
    newest = expect(user.get("/v1/sessions"), 200).json["items"][0]
    expect(user.delete(f"/v1/sessions/{newest['id']}"), 204)
    expect(user._replace(token=other).get("/v1/tasks"), 401)
    new = f"new {PASSWORD}"
    change = {"current_password": PASSWORD, "new_password": new}
    expect(user.post("/v1/me/password", json=change), 204)
    expect(user.delete("/v1/sessions"), 204)
    for collection, body, change in (
        ("categories", {"name": "Home"}, {"color": "#00ff00"}),
        ("labels", {"name": "Urgent"}, {"color": "#00ff00"}),
        ("tasks", {"title": "Buy; set timezone = 'UTC'"}, {"complete": True}),
    ):
        write_one(user, f"/v1/{collection}", body, change)
    expect(user.get("/v1/tasks?q=buy&sort=-due&complete=false"), 200)
    expect(user.get("/v1/changes?limit=1"), 200)
    user.create_category()
    own = new_id()
    for body in ({"title": "Buy tea"}, {"title": "Buy coffee"}):
        step = {"op": "create", "type": "task", "id": own, "body": body}
        answer = user.post("/v1/batch", json={"operations": [step]})
        assert answer.status_code in {200, 409}
    label = f"/v1/tasks/{own}/labels/{user.create_label()['id']}"
    for method in ("PUT", "DELETE"):
        expect(user.call(method, label), 200)
    user.create_task(parent_id=own)
    for action, body in (("move", {"to": "start"}), ("complete", {"subtasks": "complete"})):
        expect(user.post(f"/v1/tasks/{own}/{action}", json=body), 200)
    again = user.create_task(due_date="2099-01-01", recurrence={"rule": "FREQ=DAILY"})
    expect(user.get(f"/v1/tasks/{again['id']}/occurrences"), 200)
    for action in ("complete", "skip"):
        expect(user.post(f"/v1/tasks/{again['id']}/{action}", json={}), 200)
    until = {"until": "2099-01-01T00:00:00Z"}
    expect(user.post(f"/v1/tasks/{again['id']}/snooze", json=until), 200)
    expect(user.get("/v1/reminders?limit=1"), 200)
    for collection in ("tasks", "categories", "labels"):
        path = (
            f"/v1/{collection}/{expect(user.get(f'/v1/{collection}'), 200).json['items'][0]['id']}"
        )
        expect(user.delete(path), 204)
        expect(user.post(f"{path}/restore"), 200)
        expect(user.delete(path), 204)
    thrown = expect(user.get("/v1/trash?limit=1"), 200).json["items"][0]["data"]["id"]
    expect(user.delete(f"/v1/trash/{thrown}"), 204)
    expect(user.delete("/v1/trash"), 204)
    account = expect(user.get("/v1/export"), 200).data
    lines = {"data": account, "content_type": "application/jsonl"}
    expect(user.post("/v1/import", **lines), 200)
    wanted = {"url": "https://hooks.example.com/", "events": ["changes", "reminder"]}
    webhook = f"/v1/webhooks/{expect(user.post('/v1/webhooks', json=wanted), 201).json['id']}"
    expect(user.get("/v1/webhooks?limit=1"), 200)
    expect(user.get(webhook), 200)
    expect(user.patch(webhook, json={"events": ["changes"]}), 200)
    expect(user.post(f"{webhook}/test"), 202)
    for action in ("rotate-secret", "resume"):
        expect(user.post(f"{webhook}/{action}"), 200)
    expect(user.delete(webhook), 204)
    made = user.create_token()
    script = user._replace(token=made["token"])
    expect(script.get("/v1/tokens"), 200)
    expect(script.delete(f"/v1/tokens/{made['id']}"), 204)
    expect(script.get("/v1/tasks"), 401)
    expect(user.get("/v1/me"), 200)
    expect(user.patch("/v1/me", json={"name": "Ada"}), 200)
    other = f"new-{user.email}"
    expect(client.post("/v1/auth/password-reset", json={"email": user.email}), 202)
    expect(user.post("/v1/me/email-verification"), 202)
    expect(user.post("/v1/me/email", json={"email": other, "current_password": new}), 202)
    forged = MailToken.derive(user.user_id, MailKind.PASSWORD_RESET, bytes(32), Keys.derive(SECRET))
    body = {"token": str(forged), "new_password": new}
    expect(client.post("/v1/auth/password-reset/confirm", json=body), 422)
    address = {"token": str(forged).replace("password_", "address_")}
    expect(client.post("/v1/auth/email-verification/confirm", json=address), 422)
    expect(user.delete("/v1/me", json={"current_password": new}), 204)


def write_one(user: Account, path: str, body: dict[str, Any], change: dict[str, Any]) -> None:
    """Create one, with a key and twice; read, replace, change and delete it."""
    for replayed in (None, "true"):
        made = expect(user.post(path, json=body, headers={"Idempotency-Key": path}), 201)
        assert made.headers.get("Idempotency-Replayed") == replayed
    one = f"{path}/{made.json['id']}"
    tag = expect(user.get(one), 200).headers["ETag"]
    assert [item["id"] for item in user.get(path).json["items"]] == [made.json["id"]]
    expect(user.put(one, json=body | change), 200)
    assert user.patch(one, json=change, headers={"If-Match": tag}).status_code == 412
    tag = user.get(one).headers["ETag"]
    expect(user.patch(one, json=body, headers={"If-Match": tag}), 200)
    expect(user.delete(one, headers=MATCHING), 204)
    expect(user.get(one), 404)


def test_a_user_registers_writes_and_reads_through_the_pooler(box: Box, application: Serve) -> None:
    go_through(application(box.url))
    assert {row["user"] for row in box.pooler.admin("show pools")} >= {SERVICE}


def test_users_at_once_do_not_see_each_other_on_connections_they_share(
    box: Box, application: Serve
) -> None:
    app = application(box.url)
    users = [sign_up(app) for _ in range(6)]

    def work(user: Account) -> list[str]:
        own = [user.create_task(title=f"{user.user_id} {n}")["title"] for n in range(15)]
        for other in users:
            seen = user.get("/v1/tasks?limit=200&sort=created_at").json["items"]
            assert [task["title"] for task in seen] == own
            assert {task["user_id"] for task in seen} == {user.user_id}
            if other is not user:
                strangers = other.get("/v1/tasks?limit=1").json["items"][:1]
                assert all(user.get(f"/v1/tasks/{t['id']}").status_code == 404 for t in strangers)
        return own

    written = at_once([lambda user=user: work(user) for user in users])
    assert len({title for own in written for title in own}) == 90
    pools = [row for row in box.pooler.admin("show pools") if row["user"] == SERVICE]
    servers = sum(row["sv_active"] + row["sv_idle"] + row["sv_used"] for row in pools)
    assert 0 < servers <= 3


@pytest.mark.parametrize("way", ["directly", "through the pooler"])
def test_nothing_that_is_sent_outlasts_its_transaction(
    box: Box, application: Serve, way: str
) -> None:
    url = box.project.service_url if way == "directly" else box.url
    app, visited = application(url), set[str | None]()

    def note(*_: Any, **__: Any) -> None:
        visited.add(request.endpoint)

    before = len(box.cluster.log)
    with request_started.connected_to(note, app):
        go_through(app)
    statements = [one for one in sent(box.cluster.log[before:]) if one.user == SERVICE]
    operations = {rule.endpoint for rule in app.url_map.iter_rules() if "/v1/" in rule.rule}
    assert operations <= visited
    assert len(statements) > len(operations)
    own = [one for one in statements if way == "directly" or not by_pooler(one)]
    assert [one.sql for one in own if lasting(one)] == []


@pytest.mark.longest
def test_the_tests_of_the_api_pass_through_the_pooler_and_leave_nothing_in_its_sessions() -> None:
    """`--pooled` looks through the log at the end; the whole suite can be run so."""
    need("pgbouncer")
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--pooled", "-p", "no:cacheprovider", *API],
        cwd=ROOT,
        env=inherited,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-5000:]


@pytest.mark.parametrize(
    "sql",
    [
        "SET TimeZone='UTC'",
        "select 1; set session statement_timeout = 1",
        "reset role",
        "discard all",
        "listen news",
        "prepare it as select 1",
        "select set_config('app.user_id', 'a', false)",
        "select set_config('app.user_id', 'a', 'f')",
        "select pg_advisory_lock(1)",
        "select pg_try_advisory_lock_shared(1)",
        "create temporary table t ()",
        "declare c cursor with hold for select 1",
    ],
)
def test_what_outlasts_a_transaction_is_recognised(sql: str) -> None:
    assert lasting(Sent("", "", "", "", sql))


@pytest.mark.parametrize(
    "sql",
    [
        "set local role tasks_app; select 'a; set x = 1'",
        "select set_config('app.user_id', 'a', true)",
        "select pg_advisory_xact_lock(1)",
        "update users set name = 'set x'",
        "create temp table t (a int) on commit drop",
    ],
)
def test_what_ends_with_its_transaction_is_let_pass(sql: str) -> None:
    assert not lasting(Sent("", "", "", "<unnamed>", sql))
    assert lasting(Sent("", "", "", "prepared", sql))


def test_each_request_is_one_flight_through_the_pooler_too(box: Box, application: Serve) -> None:
    with Proxy(box.url) as proxy:
        user = sign_up(application(proxy.url))
        task = {"title": "Buy milk"}
        path = f"/v1/tasks/{user.create_task()['id']}"
        requests: list[tuple[str, str, dict[str, Any], int]] = [
            ("GET", path, {}, 200),
            ("GET", "/v1/tasks", {}, 200),
            ("POST", "/v1/tasks", {"json": task, "headers": {"Idempotency-Key": "once"}}, 201),
            ("PUT", f"/v1/tasks/{new_id()}", {"json": task}, 201),
            ("PATCH", path, {"json": {"complete": True}, "headers": MATCHING}, 200),
            ("DELETE", path, {}, 204),
        ]
        for method, url, options, status in requests:
            before = proxy.flights
            response = user.call(method, url, **options)
            assert (response.status_code, proxy.flights - before) == (status, 1), (method, url)


def test_a_process_opens_no_more_connections_than_its_pool_holds(
    box: Box, application: Serve
) -> None:
    app = application(box.project.service_url, DB_STATEMENT_TIMEOUT="60", REQUEST_DEADLINE="60")
    user = sign_up(app)
    callers = [user._replace(client=app.test_client()) for _ in range(2 * CONNECTIONS)]
    with app.app_context():
        db.engine.dispose()
    refused, done, most = Event(), Event(), [0]

    def call(caller: Account) -> Answer:
        answer = create(caller)
        if answer.status == 503:
            refused.set()
        return answer

    def watch(began: datetime) -> None:
        with opened(box.cluster.url) as cursor:
            while not done.wait(0.01):
                most[0] = max(most[0], sessions_since(cursor, began))

    with ThreadPoolExecutor(2) as others, opened(box.project.superuser_url) as holder:
        holder.execute("begin")
        holder.execute("select now() from users where id = %s for update", (user.user_id,))
        watching = others.submit(watch, holder.fetchone()[0])
        answering = others.submit(at_once, [lambda one=one: call(one) for one in callers])
        try:
            assert refused.wait(60)
        finally:
            holder.execute("rollback")
            answers = answering.result(60)
            done.set()
            watching.result(60)
    assert most[0] == CONNECTIONS
    assert sorted({answer.status for answer in answers}) == [201, 503]
    assert all(answer.retry_after for answer in answers if answer.status == 503)
    assert create(user).status == 201


class Answer(NamedTuple):
    """The status of a write, and when it is to be tried again."""

    status: int
    retry_after: str | None


def create(user: Account) -> Answer:
    response = user.post("/v1/tasks", json={"title": "Buy milk"})
    return Answer(response.status_code, response.headers.get("Retry-After"))


def sessions_since(cursor: Any, began: datetime) -> int:
    """How many connections the service has opened, without those that the pooler keeps."""
    cursor.execute(
        "select count(*) from pg_stat_activity where usename = %s"
        " and application_name = 'tasks-api' and backend_start > %s",
        (SERVICE, began),
    )
    count: int = cursor.fetchone()[0]
    return count


@contextmanager
def servers_held(box: Box, count: int) -> Iterator[None]:
    """So many of the pooler's server connections are in transactions of somebody else."""
    with ExitStack() as held:
        for _ in range(count):
            connection = psycopg2.connect(box.url)
            held.callback(connection.close)
            connection.cursor().execute("select 1")
        yield


@pytest.mark.parametrize("query_wait_timeout", [120, 1])
def test_a_pooler_without_a_free_server_is_told_in_time_and_used_again(
    box: Box, application: Serve, query_wait_timeout: int
) -> None:
    parameters = {"pool_size": 2, "query_wait_timeout": query_wait_timeout}
    with PgBouncer(box.cluster.url, **parameters) as pooler:
        full = Box(box.cluster, box.project, pooler)
        user = sign_up(application(full.url, REQUEST_DEADLINE="3"))
        with servers_held(full, 2):
            for answer in (create(user), create(user)):
                assert answer.status == 503
                assert answer.retry_after
        until(lambda: create(user).status == 201)
        titles = [task["title"] for task in user.get("/v1/tasks").json["items"]]
        assert titles == ["Buy milk"]


def test_the_pooler_asks_for_tls_and_the_right_password(box: Box) -> None:
    user, name = SERVICE, "tasks"
    with pytest.raises(psycopg2.OperationalError, match="SSL required"):
        psycopg2.connect(box.pooler.through(box.project.service_url, sslmode="disable"))
    with pytest.raises(psycopg2.OperationalError, match="authentication failed"):
        psycopg2.connect(box.pooler.url_for(user, "wrong", name))


def test_a_pooler_that_was_killed_serves_again_on_its_port(box: Box, application: Serve) -> None:
    with PgBouncer(box.cluster.url) as pooler:
        user = sign_up(application(pooler.through(box.project.service_url)))
        pooler.kill()
        assert create(user).status == 503
        pooler.start()
        until(lambda: create(user).status == 201)


def test_a_pause_of_the_pooler_shorter_than_the_deadline_is_only_felt(
    box: Box, application: Serve
) -> None:
    with PgBouncer(box.cluster.url) as pooler:
        user = sign_up(application(pooler.through(box.project.service_url)))
        pooler.pause()
        answers: list[Answer] = []
        waiting = Thread(target=lambda: answers.append(create(user)))
        waiting.start()
        until(lambda: sum(row["cl_waiting"] for row in pooler.admin("show pools")))
        assert answers == []
        pooler.resume()
        waiting.join(timeout=60)
        assert [answer.status for answer in answers] == [201]
