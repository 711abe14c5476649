"""A personal access token that is revoked ends at once, in every process and for every request."""

import time
from collections.abc import Callable
from threading import Event, Thread
from typing import Any, NamedTuple

import psycopg2
import pytest

from app import create_app
from app.core.ids import new_id
from app.db.scope import Role
from tests.conftest import Account, settings_for
from tests.locks import until, waiting
from tests.parallel import at_once, callers
from tests.people import give_password, sign_in
from tests.raw import ask, asking
from tests.rig.proxy import Proxy
from tests.roles import act_as


class Script(NamedTuple):
    """A user with a token, and the id of it."""

    account: Account
    token_id: str


@pytest.fixture
def script(alice: Account) -> Script:
    return script_of(alice)


def script_of(account: Account) -> Script:
    made = account.create_token()
    return Script(account._replace(token=made["token"]), made["id"])


def status(base: str, account: Account, path: str = "/v1/tasks") -> int:
    """What another process answers to a GET of this user."""
    return ask(base, asking(path, account))[0]


# At once


def test_a_revoked_token_is_refused_by_every_process_at_its_very_next_use(
    server: str, alice: Account
) -> None:
    for _ in range(20):
        account, token_id = script_of(alice)
        assert status(server, account) == 200
        assert alice.delete(f"/v1/tokens/{token_id}").status_code == 204
        assert status(server, account) == 401


def test_no_request_that_begins_after_the_revocation_is_served(
    server: str, alice: Account, script: Script
) -> None:
    answers: list[tuple[float, int]] = []
    ended = Event()

    def use() -> None:
        while not ended.is_set():
            began = time.monotonic()
            answers.append((began, status(server, script.account)))

    threads = [Thread(target=use) for _ in range(6)]
    for thread in threads:
        thread.start()
    try:
        until(lambda: sum(code == 200 for _, code in [*answers]) >= 30)
        assert alice.delete(f"/v1/tokens/{script.token_id}").status_code == 204
        revoked = time.monotonic()
        until(lambda: sum(began > revoked for began, _ in [*answers]) >= 30)
    finally:
        ended.set()
        for thread in threads:
            thread.join(timeout=60)
    assert {code for began, code in answers if began > revoked} == {401}
    assert {code for _, code in answers} == {200, 401}


def test_a_write_that_waits_while_its_token_is_revoked_is_not_done(
    alice: Account, script: Script, connection: Any
) -> None:
    assert script.account.get("/v1/tasks").status_code == 200
    answers: list[int] = []
    body = {"title": "Too late"}
    writing = Thread(
        target=lambda: answers.append(script.account.post("/v1/tasks", json=body).status_code)
    )
    with connection.cursor() as cursor:
        cursor.execute("begin")
        try:
            cursor.execute("select from users where id = %s for update", (alice.user_id,))
            writing.start()
            until(lambda: waiting(connection))
            cursor.execute(
                "delete from personal_access_tokens where user_id = %s", (alice.user_id,)
            )
        finally:
            cursor.execute("commit")
    writing.join(timeout=30)
    assert answers == [401]
    assert alice.get("/v1/tasks").json["items"] == []


def test_of_twenty_revocations_at_once_one_is_told_that_it_did_it(
    alice: Account, script: Script
) -> None:
    path = f"/v1/tokens/{script.token_id}"
    answers = at_once([lambda c=c: c.delete(path).status_code for c in callers(alice, 20)])
    assert sorted(answers) == [204] + [404] * 19


def test_twenty_tokens_that_revoke_themselves_at_once_are_all_gone(alice: Account) -> None:
    scripts = [script_of(alice) for _ in range(20)]
    own = callers(alice, 20)
    revoking = [
        lambda s=s, c=c: c._replace(token=s.account.token).delete(f"/v1/tokens/{s.token_id}")
        for s, c in zip(scripts, own, strict=True)
    ]
    assert {answer.status_code for answer in at_once(revoking)} == {204}
    assert {s.account.get("/v1/tasks").status_code for s in scripts} == {401}
    assert alice.get("/v1/tokens").json["items"] == []


def test_a_long_poll_ends_when_its_token_is_revoked(
    server: str, alice: Account, script: Script
) -> None:
    since = alice.get("/v1/changes").json["next_token"]
    path = f"/v1/changes?since={since}&wait=25"
    answers: list[int] = []
    waits = Thread(target=lambda: answers.append(status(server, script.account, path)))
    waits.start()
    try:
        until(lambda: alice.get("/v1/tokens").json["items"][0]["last_used_at"])
        assert alice.delete(f"/v1/tokens/{script.token_id}").status_code == 204
    finally:
        waits.join(timeout=60)
    assert answers == [401]


# Where no statement is needed


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/v1/tasks?limit=0", None),
        ("GET", "/v1/tasks?cursor=nonsense", None),
        ("POST", "/v1/tasks", {"title": ""}),
        ("POST", "/v1/tasks", {"title": "x", "extra": 1}),
        ("PATCH", "/v1/me", {"time_zone": "Mars/Olympus"}),
        ("POST", "/v1/tokens", {"name": "x", "scopes": ["account"], "expires_at": None}),
    ],
)
@pytest.mark.parametrize("scopes", [["tasks:read", "tasks:write", "account"], ["tasks:read"]])
def test_a_revoked_token_is_told_nothing_even_where_no_statement_is_needed(
    alice: Account, method: str, path: str, body: Any, scopes: list[str]
) -> None:
    made = alice.create_token(scopes=scopes)
    caller = alice._replace(token=made["token"])
    assert caller.call(method, path, json=body).status_code in {201, 403, 422}
    assert alice.delete(f"/v1/tokens/{made['id']}").status_code == 204
    response = caller.call(method, path, json=body)
    assert (response.status_code, response.json["type"]) == (401, "/problems/unauthenticated")
    assert 'error="invalid_token"' in response.headers["WWW-Authenticate"]


# Expiry


def test_a_token_that_expires_while_it_is_in_use_is_refused_from_then_on(
    alice: Account, script: Script, server: str, connection: Any
) -> None:
    assert status(server, script.account) == script.account.get("/v1/tasks").status_code == 200
    with connection.cursor() as cursor:
        cursor.execute(
            "update personal_access_tokens set created_at = now() - interval '1 day',"
            " expires_at = now() where user_id = %s",
            (alice.user_id,),
        )
    assert status(server, script.account) == script.account.get("/v1/tasks").status_code == 401
    fresh = create_app(alice.client.application.config["SETTINGS"]).test_client()
    assert script.account._replace(client=fresh).get("/v1/tasks").status_code == 401


# Flights


@pytest.fixture
def caller(proxy: Proxy, auth: Callable[..., Account]) -> Account:
    """A user with a token, whose requests go through the proxy on an open connection."""
    account = auth(create_app(settings_for(proxy.url)))
    return script_of(account).account


def test_the_first_use_in_a_process_is_two_flights_and_every_other_is_one(
    caller: Account, proxy: Proxy
) -> None:
    before = proxy.flights
    assert caller.get("/v1/tasks").status_code == 200
    assert proxy.flights - before == 2
    task = caller.create_task()
    name = caller.create_category()["name"]
    path = f"/v1/tasks/{task['id']}"
    requests: list[tuple[str, str, Any, int]] = [
        ("GET", path, None, 200),
        ("GET", "/v1/tasks", None, 200),
        ("POST", "/v1/tasks", {"title": "Buy milk"}, 201),
        ("PATCH", path, {"complete": True}, 200),
        ("PUT", path, {"title": "Buy milk"}, 200),
        ("DELETE", path, None, 204),
        ("GET", path, None, 404),
        ("POST", "/v1/categories", {"name": name}, 409),
        ("POST", "/v1/tasks", {"title": ""}, 422),
        ("GET", "/v1/tokens", None, 200),
        ("POST", "/v1/tokens", {"name": "x", "scopes": ["account"]}, 201),
        ("DELETE", f"/v1/tokens/{new_id()}", None, 404),
    ]
    for method, target, body, expected in requests:
        before = proxy.flights
        answer = caller.call(method, target, json=body)
        assert (answer.status_code, proxy.flights - before) == (expected, 1), (method, target)


def test_a_revoked_token_takes_one_flight_to_refuse(caller: Account, proxy: Proxy) -> None:
    [token] = caller.get("/v1/tokens").json["items"]
    assert caller.delete(f"/v1/tokens/{token['id']}").status_code == 204
    before = proxy.flights
    assert caller.get("/v1/tasks").status_code == 401
    assert proxy.flights - before == 1


# Who may ask


def asked(connection: Any, role: Role, user_id: str, sql: str) -> Any:
    """What the statement gives to this role for this user."""
    with connection.cursor() as cursor:
        cursor.execute("begin")
        try:
            act_as(cursor, role, user_id)
            cursor.execute(sql)
            return cursor.fetchall()
        finally:
            cursor.execute("rollback")


def test_a_token_counts_for_its_own_user_alone(
    alice: Account, bob: Account, script: Script, connection: Any
) -> None:
    require = f"select 1 from (select require_token('{script.token_id}')) asked"
    assert asked(connection, Role.APP, alice.user_id, require) == [(1,)]
    for user_id in (bob.user_id, ""):
        with pytest.raises(psycopg2.Error) as error:
            asked(connection, Role.APP, user_id, require)
        assert error.value.pgcode == "TA401"


def test_a_session_counts_for_its_own_user_alone(
    alice: Account, bob: Account, connection: Any
) -> None:
    give_password(connection, alice)
    sign_in(alice.client, alice.email)
    [session] = alice.get("/v1/sessions").json["items"]
    require = f"select 1 from (select require_caller('{session['id']}', null)) asked"
    for role in (Role.APP, Role.AUTH):
        assert asked(connection, role, alice.user_id, require) == [(1,)]
        for user_id in (bob.user_id, ""):
            with pytest.raises(psycopg2.Error) as error:
                asked(connection, role, user_id, require)
            assert error.value.pgcode == "TA401"
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        asked(connection, Role.MAINTENANCE, alice.user_id, require)


def test_no_role_sees_anothers_tokens_and_the_service_never_their_hashes(
    alice: Account, bob: Account, script: Script, connection: Any
) -> None:
    rows = "select distinct user_id::text from personal_access_tokens"
    for role in (Role.APP, Role.AUTH):
        assert asked(connection, role, alice.user_id, rows) == [(alice.user_id,)]
        assert asked(connection, role, bob.user_id, rows) == []
        assert asked(connection, role, "", rows) == []
    assert (alice.user_id,) not in asked(connection, Role.MAINTENANCE, alice.user_id, rows)
    for role, sql in (
        (Role.APP, "select token_hash from personal_access_tokens"),
        (Role.APP, "update personal_access_tokens set expires_at = null returning id"),
        (Role.APP, "update personal_access_tokens set scopes = '{account}' returning id"),
        (Role.AUTH, "delete from personal_access_tokens returning id"),
        (Role.AUTH, f"select require_token('{script.token_id}')"),
        (Role.MAINTENANCE, "select token_hash from personal_access_tokens"),
    ):
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            asked(connection, role, alice.user_id, sql)
