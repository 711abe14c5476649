"""A connection that dies: reads and keyed writes are sent once more, no other write ever is."""

import select
from collections.abc import Callable
from typing import Any

import pytest

from app import create_app
from app.core.ids import new_id
from app.db.base import db
from tests.citus import beginning
from tests.conftest import PASSWORD, Account, sending, settings_for
from tests.databases import opened
from tests.locks import until
from tests.people import as_of, give_password, session, sign_in
from tests.rig.proxy import Proxy

STATEMENT = beginning()


@pytest.fixture
def caller(cutting: Proxy, auth: Callable[..., Account]) -> Account:
    """Alice, whose service has one open connection, through the proxy."""
    account = auth(create_app(settings_for(cutting.url)))
    assert account.get("/v1/tasks").status_code == 200
    return account


def titles(account: Account, database_url: str) -> list[str]:
    with opened(database_url) as cursor:
        cursor.execute("select title from tasks where user_id = %s", (account.user_id,))
        return [title for (title,) in cursor.fetchall()]


def lose_answers(proxy: Proxy, count: int) -> None:
    """Cut the connection after a statement was delivered, so many times."""
    strikes = proxy.strikes

    def strike(message: bytes, mark: bytes) -> bool:
        if proxy.cuts == count:
            proxy.faults.lose_answer_to = b""
        return strikes(message, mark)

    proxy.strikes = strike
    proxy.faults.lose_answer_to = STATEMENT


def test_a_read_whose_connection_dies_is_answered_all_the_same(
    caller: Account, cutting: Proxy
) -> None:
    lose_answers(cutting, 1)
    assert caller.get("/v1/tasks").status_code == 200
    assert cutting.cuts == 1


def test_a_read_is_sent_again_once_only(caller: Account, cutting: Proxy) -> None:
    cutting.faults.lose_answer_to = STATEMENT
    response = caller.get("/v1/tasks")
    assert (response.status_code, response.json["type"]) == (503, "/problems/database-unavailable")
    assert cutting.cuts == 2


@pytest.mark.parametrize("where", ["lose_answer_to", "cut_within"])
def test_a_keyed_create_whose_connection_dies_is_done_once(
    caller: Account, cutting: Proxy, database_url: str, where: str
) -> None:
    setattr(cutting.faults, where, STATEMENT)
    cutting.faults.every = 2
    cutting._matches = 1
    headers = {"Idempotency-Key": new_id()}
    response = caller.post("/v1/tasks", json={"title": "Buy milk"}, headers=headers)
    assert response.status_code == 201, response.text
    assert cutting.cuts == 1
    assert titles(caller, database_url) == ["Buy milk"]


def test_a_keyed_create_that_dies_twice_has_an_unknown_outcome_and_its_key_settles_it(
    caller: Account, cutting: Proxy, database_url: str
) -> None:
    cutting.faults.lose_answer_to = STATEMENT
    keyed: dict[str, Any] = {"json": {"title": "Buy milk"}, "headers": {"Idempotency-Key": "a"}}
    response = caller.post("/v1/tasks", **keyed)
    assert (response.status_code, response.json["type"]) == (503, "/problems/outcome-unknown")
    cutting.faults.lose_answer_to = b""
    settled = caller.post("/v1/tasks", **keyed)
    assert (settled.status_code, settled.headers["Idempotency-Replayed"]) == (201, "true")
    assert titles(caller, database_url) == ["Buy milk"]


@pytest.mark.parametrize("where", ["lose_answer_to", "cut_within"])
def test_a_keyed_restore_whose_connection_dies_is_done_once(
    caller: Account, cutting: Proxy, where: str
) -> None:
    task = caller.create_task()
    path = f"/v1/tasks/{task['id']}"
    assert caller.delete(path).status_code == 204
    setattr(cutting.faults, where, STATEMENT)
    cutting.faults.every = 2
    cutting._matches = 1
    response = caller.post(f"{path}/restore", headers={"Idempotency-Key": new_id()})
    assert (response.status_code, response.json["version"]) == (200, task["version"] + 2)
    assert cutting.cuts == 1
    cutting.faults.lose_answer_to = cutting.faults.cut_within = b""
    assert caller.get(path).json == response.json


@pytest.mark.parametrize("where", ["lose_answer_to", "cut_within"])
def test_a_keyed_token_whose_connection_dies_is_made_once_and_works(
    caller: Account, cutting: Proxy, where: str
) -> None:
    setattr(cutting.faults, where, STATEMENT)
    cutting.faults.every = 2
    cutting._matches = 1
    body = {"name": "A script", "scopes": ["account"]}
    made = caller.post("/v1/tokens", json=body, headers={"Idempotency-Key": new_id()})
    assert (made.status_code, cutting.cuts) == (201, 1), made.text
    cutting.faults.every = 1_000_000
    listed = caller._replace(token=made.json["token"]).get("/v1/tokens")
    assert [token["id"] for token in listed.json["items"]] == [made.json["id"]]


@pytest.mark.parametrize("where", ["lose_answer_to", "cut_within"])
def test_a_read_with_a_token_whose_connection_dies_is_answered_all_the_same(
    caller: Account, cutting: Proxy, where: str
) -> None:
    script = caller._replace(token=caller.create_token()["token"])
    assert script.get("/v1/tasks").status_code == 200
    setattr(cutting.faults, where, b"require_caller")
    cutting.faults.every = 2
    cutting._matches = 1
    assert script.get("/v1/tasks").status_code == 200
    assert cutting.cuts == 1


@pytest.mark.parametrize("where", ["lose_answer_to", "cut_within"])
def test_all_other_sessions_end_though_the_connection_dies(
    caller: Account, cutting: Proxy, where: str, connection: Any
) -> None:
    give_password(connection, caller)
    other, here = (session(caller.client, sign_in(caller.client, caller.email)) for _ in range(2))
    setattr(cutting.faults, where, b"require_caller")
    cutting.faults.every = 2
    cutting._matches = 1
    assert as_of(caller, here).delete("/v1/sessions").status_code == 204
    assert cutting.cuts == 1
    cutting.faults.lose_answer_to = cutting.faults.cut_within = b""
    assert (other.lives, here.lives) == (False, True)


def test_a_change_of_the_password_whose_connection_dies_is_done_when_it_is_sent_again(
    caller: Account, cutting: Proxy, connection: Any
) -> None:
    give_password(connection, caller)
    body = {"current_password": PASSWORD, "new_password": "staple battery horse correct"}
    cutting.faults.lose_answer_to = b"UPDATE users SET password_hash"
    answer = caller.post("/v1/me/password", json=body)
    assert (answer.status_code, answer.json["type"]) == (503, "/problems/outcome-unknown")
    cutting.faults.lose_answer_to = b""
    assert caller.post("/v1/me/password", json=body).status_code == 204
    assert sign_in(caller.client, caller.email, body["new_password"]).status_code == 200


WRITES: dict[str, tuple[str, str, dict[str, Any] | None]] = {
    "POST without a key": ("POST", "/v1/tasks", {"title": "Buy bread"}),
    "PUT": ("PUT", "/v1/tasks/{id}", {"title": "Buy bread"}),
    "PATCH": ("PATCH", "/v1/tasks/{id}", {"title": "Buy bread"}),
    "DELETE": ("DELETE", "/v1/tasks/{id}", None),
    "restore without a key": ("POST", "/v1/tasks/{trashed}/restore", None),
    "DELETE of what is in the trash": ("DELETE", "/v1/trash/{trashed}", None),
    "PATCH of the account": ("PATCH", "/v1/me", {"name": "Alice"}),
    "DELETE of the account": ("DELETE", "/v1/me", {"current_password": PASSWORD}),
    "POST of a token": ("POST", "/v1/tokens", {"name": "A script", "scopes": ["account"]}),
    "DELETE of a token": ("DELETE", "/v1/tokens/{id}", None),
    "DELETE of a session": ("DELETE", "/v1/sessions/{id}", None),
}


@pytest.mark.parametrize("name", WRITES)
def test_a_write_whose_connection_dies_is_never_sent_again_and_told_to_be_unknown(
    caller: Account, cutting: Proxy, name: str
) -> None:
    method, path, body = WRITES[name]
    task, trashed = caller.create_task(), caller.create_task()
    assert caller.delete(f"/v1/tasks/{trashed['id']}").status_code == 204
    erases = name == "DELETE of the account"  # which compares the password before
    cutting.faults.lose_answer_to = b"DELETE FROM users" if erases else STATEMENT
    path = path.format(id=task["id"], trashed=trashed["id"])
    response = caller.call(method, path, json=body)
    assert (response.status_code, response.json["type"]) == (503, "/problems/outcome-unknown")
    assert int(response.headers["Retry-After"]) >= 1
    assert "Idempotency-Key" in caller.client.get(response.json["type"]).text
    assert cutting.cuts == 1


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_dead_idle_connection_is_found_before_anything_is_sent(
    caller: Account, cutting: Proxy, connection: Any, database_url: str, method: str
) -> None:
    application = caller.client.application
    sent: list[str] = []
    with application.app_context():
        record = db.engine.raw_connection()
        idle = record.driver_connection
        process = idle.info.backend_pid
        record.close()
    with connection.cursor() as cursor:
        cursor.execute("select pg_terminate_backend(%s, 10000)", (process,))
        assert cursor.fetchone()[0]
    until(lambda: select.select([idle], [], [], 0)[0])  # the proxy passes it on in its own time
    body = {"title": "Buy milk"} if method == "POST" else None
    with sending(application, lambda statement: sent.append(statement) or statement):
        response = caller.call(method, "/v1/tasks", json=body)
    assert response.status_code in {200, 201}, response.text
    assert len(sent) == 1


def test_looking_for_a_dead_connection_takes_no_flight(caller: Account, cutting: Proxy) -> None:
    before = cutting.flights
    assert caller.get("/v1/tasks").status_code == 200
    assert cutting.flights - before == 1
