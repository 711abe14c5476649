"""A session that ended and an account that was disabled are refused at once, for every request."""

import time
from collections.abc import Callable
from threading import Event, Thread
from typing import Any

import pytest
from apiflask import APIFlask
from werkzeug.test import TestResponse

from app import create_app
from app.api.transfer import importing
from app.core.ids import new_id
from app.core.places import POLLS
from tests.conftest import Account, sending, settings_for
from tests.contract import LINES, ROUTES, Route
from tests.lines import jsonl, task
from tests.locks import until, waiting
from tests.parallel import callers
from tests.people import as_of, disable, give_password, session, sign_in
from tests.raw import ask, asking
from tests.rig.proxy import Proxy

SIGNED_IN = [r for r in ROUTES if not r.rule.startswith(("/v1/auth/", "/health"))]
EACH = pytest.mark.parametrize("route", SIGNED_IN, ids=lambda route: route.name)
WAYS = pytest.mark.parametrize("way", ["ended", "disabled"])

End = Callable[[Account, str], None]


@pytest.fixture
def here(alice: Account, connection: Any) -> Account:
    """Alice, as she is called in a session."""
    return begun(alice, connection)


def begun(account: Account, connection: Any) -> Account:
    give_password(connection, account)
    return as_of(account, session(account.client, sign_in(account.client, account.email)))


@pytest.fixture
def end(connection: Any) -> End:
    """Ends a user's sessions, or disables the account, as another process would."""

    def by(account: Account, way: str) -> None:
        if way == "disabled":
            disable(connection, account)
            return
        with connection.cursor() as cursor:
            cursor.execute("delete from refresh_tokens where user_id = %s", (account.user_id,))

    return by


def call(account: Account, route: Route, **options: Any) -> TestResponse:
    if route.takes_lines:
        options = {"data": jsonl(task()), "content_type": LINES, **options}
    elif route.body:
        options = {"json": route.example, **options}
    return account.call(route.method, route.path, **options)


def is_refused(answer: TestResponse) -> bool:
    challenge = answer.headers.get("WWW-Authenticate", "")
    return answer.status_code == 401 and 'error="invalid_token"' in challenge


# Everywhere


@EACH
@WAYS
def test_no_route_serves_who_does_not_count_any_more(
    here: Account, end: End, route: Route, way: str
) -> None:
    assert here.get("/v1/tasks").status_code == 200
    end(here, way)
    assert is_refused(call(here, route))


@EACH
@WAYS
def test_no_route_answers_anything_else_though_the_request_is_wrong(
    here: Account, end: End, route: Route, way: str
) -> None:
    end(here, way)
    nonsense = {"If-Match": "nonsense", "If-None-Match": "nonsense", "Idempotency-Key": "é"}
    assert is_refused(call(here, route, headers=nonsense))
    if route.query:
        assert is_refused(here.call(route.method, f"{route.path}?limit=x&cursor=x&format=x"))
    if route.body:
        assert is_refused(call(here, route, json={"nonsense": 1}))
        assert is_refused(call(here, route, json=None, data="{", content_type="application/json"))


@WAYS
def test_neither_head_nor_a_known_version_is_answered(here: Account, end: End, way: str) -> None:
    made = here.post("/v1/tasks", json={"title": "Buy milk"})
    path, known = made.headers["Location"], {"If-None-Match": made.headers["ETag"]}
    assert here.get(path, headers=known).status_code == 304
    end(here, way)
    for method in ("GET", "HEAD"):
        assert is_refused(here.call(method, path, headers=known))
        assert is_refused(here.call(method, path))
        assert is_refused(here.call(method, "/v1/me", headers={"If-None-Match": "*"}))


@WAYS
def test_options_reveals_no_more_than_to_anybody(here: Account, end: End, way: str) -> None:
    end(here, way)
    answer = here.call("OPTIONS", "/v1/tasks")
    anybody = here.client.open("/v1/tasks", method="OPTIONS")
    assert (answer.status_code, answer.data) == (anybody.status_code, anybody.data)


@WAYS
def test_a_batch_changes_nothing(here: Account, end: End, way: str, connection: Any) -> None:
    end(here, way)
    creating = {"op": "create", "type": "task", "id": new_id(), "body": {"title": "Too late"}}
    for headers in ({}, {"Idempotency-Key": "once"}):
        assert is_refused(here.post("/v1/batch", json={"operations": [creating]}, headers=headers))
    with connection.cursor() as cursor:
        cursor.execute("select count(*) from tasks where user_id = %s", (here.user_id,))
        assert cursor.fetchone() == (0,)


def test_other_users_are_served_as_before(
    here: Account, bob: Account, end: End, connection: Any
) -> None:
    others = begun(bob, connection)
    for way in ("ended", "disabled"):
        end(here, way)
        assert others.get("/v1/tasks").status_code == 200
        assert bob.get("/v1/tasks").status_code == 200


# In every process


@WAYS
def test_another_process_that_knows_the_token_refuses_it_at_its_next_use(
    database_url: str, here: Account, end: End, way: str
) -> None:
    apps = [create_app(settings_for(database_url)) for _ in range(2)]
    elsewhere = [here._replace(client=app.test_client()) for app in apps]
    assert [each.get("/v1/tasks").status_code for each in elsewhere] == [200, 200]
    end(here, way)
    assert all(is_refused(each.get("/v1/tasks")) for each in elsewhere)


def test_what_one_process_ends_every_other_refuses(
    server: str, alice: Account, connection: Any
) -> None:
    give_password(connection, alice)
    for _ in range(10):
        signed_in = session(alice.client, sign_in(alice.client, alice.email))
        here = as_of(alice, signed_in)
        assert ask(server, asking("/v1/tasks", here))[0] == 200
        [item] = here.get("/v1/sessions").json["items"]
        assert here.delete(f"/v1/sessions/{item['id']}").status_code == 204
        assert ask(server, asking("/v1/tasks", here))[0] == 401


def test_no_request_that_begins_after_the_end_is_served(
    server: str, here: Account, alice: Account
) -> None:
    answers: list[tuple[float, int]] = []
    ended = Event()

    def use() -> None:
        while not ended.is_set():
            began = time.monotonic()
            answers.append((began, ask(server, asking("/v1/tasks", here))[0]))

    threads = [Thread(target=use) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        until(lambda: sum(code == 200 for _, code in [*answers]) >= 30)
        assert alice.delete("/v1/sessions").status_code == 204
        over = time.monotonic()
        until(lambda: sum(began > over for began, _ in [*answers]) >= 30)
    finally:
        ended.set()
        for thread in threads:
            thread.join(timeout=60)
    assert {code for began, code in answers if began > over} == {401}
    assert {code for _, code in answers} == {200, 401}


# While it is under way


@WAYS
def test_a_write_that_waits_meanwhile_is_not_done(here: Account, connection: Any, way: str) -> None:
    answers: list[TestResponse] = []
    body = {"title": "Too late"}
    writing = Thread(target=lambda: answers.append(here.post("/v1/tasks", json=body)))
    ending = {
        "ended": "delete from refresh_tokens where user_id = %s",
        "disabled": "update users set disabled_at = now() where id = %s",
    }
    with connection.cursor() as cursor:
        cursor.execute("begin")
        try:
            cursor.execute("select from users where id = %s for update", (here.user_id,))
            writing.start()
            until(lambda: waiting(connection))
            cursor.execute(ending[way], (here.user_id,))
        finally:
            cursor.execute("commit")
        writing.join(timeout=30)
        assert is_refused(answers[0])
        cursor.execute("select count(*) from tasks where user_id = %s", (here.user_id,))
        assert cursor.fetchone() == (0,)


@WAYS
def test_a_long_poll_ends(app: APIFlask, here: Account, end: End, way: str) -> None:
    since = here.get("/v1/changes").json["next_token"]
    [waits] = callers(here, 1)
    answers: list[TestResponse] = []
    free = app.extensions[POLLS].free
    path = f"/v1/changes?since={since}&wait=25"
    thread = Thread(target=lambda: answers.append(waits.get(path)))
    started = time.monotonic()
    thread.start()
    until(lambda: app.extensions[POLLS].free == free - 1)
    end(here, way)
    thread.join(timeout=60)
    assert is_refused(answers[0])
    assert time.monotonic() - started < 20


@WAYS
def test_an_import_writes_no_more(
    app: APIFlask, here: Account, end: End, way: str, connection: Any
) -> None:
    written: list[str] = []

    def look(sql: str) -> str:
        if "INSERT INTO tasks" in sql:
            written.append(sql)
            if len(written) == 2:
                end(here, way)
        return sql

    lines = jsonl(*(task() for _ in range(3 * importing.CHUNK_LINES)))
    with sending(app, look):
        answer = here.post("/v1/import", data=lines, content_type=LINES)
    assert is_refused(answer)
    assert len(written) == 2
    with connection.cursor() as cursor:
        cursor.execute("select count(*) from tasks where user_id = %s", (here.user_id,))
        assert cursor.fetchone() == (importing.CHUNK_LINES,)


# What it costs


def test_the_check_takes_no_round_trip_of_its_own(
    proxy: Proxy, auth: Callable[..., Account], connection: Any
) -> None:
    here = begun(auth(create_app(settings_for(proxy.url))), connection)
    assert here.get("/v1/tasks").status_code == 200
    made = here.create_task()
    path = f"/v1/tasks/{made['id']}"
    requests: list[tuple[str, str, Any, int]] = [
        ("GET", path, None, 200),
        ("GET", "/v1/tasks", None, 200),
        ("POST", "/v1/tasks", {"title": "Buy milk"}, 201),
        ("PATCH", path, {"complete": True}, 200),
        ("DELETE", path, None, 204),
        ("GET", path, None, 404),
        ("POST", "/v1/tasks", {"title": ""}, 422),
        ("GET", "/v1/sessions", None, 200),
        ("DELETE", f"/v1/sessions/{new_id()}", None, 404),
        ("DELETE", "/v1/sessions", None, 204),
    ]
    for method, target, body, expected in requests:
        before = proxy.flights
        answer = here.call(method, target, json=body)
        assert (answer.status_code, proxy.flights - before) == (expected, 1), (method, target)


def test_signing_in_and_refreshing_take_as_many_round_trips_as_before(
    proxy: Proxy, auth: Callable[..., Account], connection: Any
) -> None:
    alice = auth(create_app(settings_for(proxy.url)))
    give_password(connection, alice)
    session(alice.client, sign_in(alice.client, alice.email))  # which renews the hash
    before = proxy.flights
    signed_in = session(alice.client, sign_in(alice.client, alice.email))
    assert proxy.flights - before == 2
    signed_in = signed_in.refreshed()
    assert proxy.flights - before == 3
    assert signed_in.logout().status_code == 204
    assert proxy.flights - before == 4
