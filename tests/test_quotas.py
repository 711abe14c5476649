"""Quotas: what one user may store, in rows and in bytes."""

from collections.abc import Callable
from typing import Any

import pytest
from apiflask import APIFlask
from werkzeug.test import TestResponse

from app import create_app
from app.api.tasks.models import Task
from app.core.ids import new_id
from app.rows.quotas import ROW_BYTES, census
from tests.conftest import Account, settings_for
from tests.lines import category, jsonl, send
from tests.lines import task as task_line
from tests.parallel import at_once, callers
from tests.rig.proxy import Proxy
from tests.walking import walk

ROWS = 5
LONG = "x" * 4000

BOTH = pytest.mark.parametrize("collection", ["tasks", "categories"])


@pytest.fixture(scope="module")
def few_rows(database_url: str) -> APIFlask:
    """An application that lets a user have five rows."""
    return create_app(settings_for(database_url, QUOTA_ROWS=str(ROWS)))


@pytest.fixture(scope="module")
def few_bytes(database_url: str) -> APIFlask:
    """An application that lets a user have ten thousand bytes."""
    return create_app(settings_for(database_url, QUOTA_BYTES="10000"))


@pytest.fixture
def anna(auth: Callable[..., Account], few_rows: APIFlask) -> Account:
    return auth(few_rows)


@pytest.fixture
def ben(auth: Callable[..., Account], few_bytes: APIFlask) -> Account:
    return auth(few_bytes)


@pytest.fixture
def forget_census(connection: Any) -> Callable[[Account], None]:
    """Lets the next census of a user take place at once."""

    def forget(account: Account) -> None:
        with connection.cursor() as cursor:
            sql = "update users set counted_at = now() - interval '1 minute' where id = %s"
            cursor.execute(sql, (account.user_id,))

    return forget


def body_of(collection: str) -> dict[str, Any]:
    return {"title": "Buy milk"} if collection == "tasks" else {"name": new_id()}


def usage(account: Account) -> dict[str, Any]:
    return account.get("/v1/me").json["usage"]


def fill(account: Account, rows: int = ROWS) -> list[dict[str, Any]]:
    return [account.create_task(title=f"Task {number}") for number in range(rows)]


def full(response: TestResponse, quota: str) -> dict[str, Any]:
    """The problem of a write that there was no room for."""
    assert response.status_code == 409, response.text
    assert response.json["type"] == "/problems/quota-exceeded"
    assert response.json["quota"] == quota
    assert response.json["used"] <= response.json["limit"]
    return response.json


def stored(connection: Any, account: Account) -> int:
    """The rows of a user, as a quota counts them."""
    sql = """
        select (select count(*) from tasks where user_id = %(me)s)
            + (select count(*) from categories where user_id = %(me)s)
            + (select count(*) from idempotency_keys where user_id = %(me)s)
    """
    with connection.cursor() as cursor:
        cursor.execute(sql, {"me": account.user_id})
        return cursor.fetchone()[0]


# What an account tells


def test_an_account_tells_how_much_it_stores_and_how_much_it_may(alice: Account) -> None:
    before = usage(alice)
    assert before == {
        "rows": 0,
        "rows_limit": 250_000,
        "bytes": 0,
        "bytes_limit": 536_870_912,
    }
    alice.create_task(title="é" * 10, description="x" * 100)
    alice.create_category(name="Home", color="#00ff00")
    after = usage(alice)
    assert (after["rows"], after["bytes"]) == (2, 2 * ROW_BYTES + 120 + 11)


def test_where_there_is_no_quota_there_is_no_limit_to_tell(
    auth: Callable[..., Account], database_url: str
) -> None:
    unlimited = create_app(settings_for(database_url, QUOTA_ROWS="0", QUOTA_BYTES="0"))
    account = auth(unlimited)
    account.create_task()
    assert usage(account) == {
        "rows": 1,
        "rows_limit": None,
        "bytes": ROW_BYTES + 8,
        "bytes_limit": None,
    }


def test_a_registration_and_a_patch_of_the_account_tell_it_too(alice: Account) -> None:
    alice.create_task()
    assert alice.patch("/v1/me", json={"name": "Alice"}).json["usage"]["rows"] == 1
    registration = {"email": f"{new_id()}@example.com", "password": "correct horse battery"}
    assert alice.client.post("/v1/auth/register", json=registration).json["usage"]["rows"] == 0


def test_what_is_stored_is_followed_to_the_byte(alice: Account) -> None:
    task = alice.create_task(description=LONG)
    path = f"/v1/tasks/{task['id']}"
    sizes = {
        "patch": alice.patch(path, json={"description": "short"}) and usage(alice)["bytes"],
        "put": alice.put(path, json={"title": "abc"}) and usage(alice)["bytes"],
        "delete": alice.delete(path) and usage(alice)["bytes"],
        "restore": alice.post(f"{path}/restore") and usage(alice)["bytes"],
    }
    assert sizes == {
        "patch": ROW_BYTES + 8 + 5,
        "put": ROW_BYTES + 3,
        "delete": ROW_BYTES + 3,
        "restore": ROW_BYTES + 3,
    }
    assert usage(alice)["rows"] == 1


# Rows


@BOTH
def test_a_row_too_many_is_refused_by_each_way_to_write_one(
    anna: Account, connection: Any, collection: str
) -> None:
    fill(anna)
    path, body = f"/v1/{collection}", body_of(collection)
    kind = "task" if collection == "tasks" else "category"
    created = anna.post(path, json=body)
    assert full(created, "rows") == {**created.json, "limit": ROWS, "used": ROWS}
    full(anna.post(path, json=body, headers={"Idempotency-Key": "once"}), "rows")
    full(anna.put(f"{path}/{new_id()}", json=body), "rows")
    operation = {"op": "create", "type": kind, "id": new_id(), "body": body}
    batch = anna.post("/v1/batch", json={"operations": [operation]})
    assert (batch.status_code, batch.json["type"]) == (409, "/problems/batch-failed")
    assert (
        batch.json["problem"] | {"quota": "rows", "limit": ROWS, "used": ROWS}
        == (batch.json["problem"])
    )
    assert stored(connection, anna) == ROWS


def test_a_full_account_still_changes_deletes_and_restores_what_it_has(anna: Account) -> None:
    task, *_ = fill(anna)
    path = f"/v1/tasks/{task['id']}"
    assert anna.patch(path, json={"title": "Buy bread", "complete": True}).status_code == 200
    assert anna.put(path, json={"title": "Buy more", "description": LONG}).status_code == 200
    assert anna.delete(path).status_code == 204
    assert anna.post(f"{path}/restore").status_code == 200
    assert anna.patch("/v1/me", json={"name": "Anna"}).status_code == 200
    operation = {"op": "update", "type": "task", "id": task["id"], "body": {"priority": "high"}}
    assert anna.post("/v1/batch", json={"operations": [operation]}).status_code == 200


def test_what_a_key_is_answered_is_a_row_too(anna: Account, connection: Any) -> None:
    keyed = {"headers": {"Idempotency-Key": "once"}}
    task, *_ = fill(anna, ROWS - 2)
    path = f"/v1/tasks/{task['id']}/restore"
    assert anna.post("/v1/tasks", json={"title": "x"}, **keyed).status_code == 201
    assert usage(anna)["rows"] == stored(connection, anna) == ROWS
    full(anna.post(path, **keyed), "rows")
    full(anna.post("/v1/tokens", json={"name": "x", "scopes": ["account"]}, **keyed), "rows")
    operation = {"op": "update", "type": "task", "id": task["id"], "body": {"title": "x"}}
    full(anna.post("/v1/batch", json={"operations": [operation]}, **keyed), "rows")
    full(send(anna, b"\n", **keyed["headers"]), "rows")
    replay = anna.post("/v1/tasks", json={"title": "x"}, **keyed)
    assert (replay.status_code, replay.headers["Idempotency-Replayed"]) == (201, "true")
    assert anna.get(f"/v1/tasks/{task['id']}").json == task


def test_what_is_kept_of_each_route_is_counted(anna: Account, connection: Any) -> None:
    def keyed() -> dict[str, Any]:
        return {"headers": {"Idempotency-Key": new_id()}}

    assert anna.post("/v1/tokens", json={"name": "x", "scopes": ["account"]}, **keyed()).json
    task = anna.create_task()
    assert anna.post(f"/v1/tasks/{task['id']}/restore", **keyed()).status_code == 200
    operation = {"op": "update", "type": "task", "id": task["id"], "body": {"title": "x"}}
    answer = anna.post("/v1/batch", json={"operations": [operation]}, **keyed())
    assert answer.status_code == 200
    before = usage(anna)
    assert send(anna, b"\n", **keyed()["headers"]).status_code == 200
    assert usage(anna)["rows"] == stored(connection, anna) == ROWS
    assert usage(anna)["bytes"] > before["bytes"] + ROW_BYTES
    assert before["bytes"] > 4 * ROW_BYTES + len(answer.data)


# Bytes


def test_a_text_too_long_for_what_is_left_is_refused_by_each_way_to_write_one(
    ben: Account,
) -> None:
    task = ben.create_task(description=LONG)
    other = ben.create_task(description="x" * 3000)
    path, long = f"/v1/tasks/{other['id']}", {"title": "x", "description": "y" * 5000}
    refusal = full(ben.patch(path, json={"description": "y" * 5000}), "bytes")
    assert (refusal["limit"], refusal["used"]) == (10_000, 9016)
    full(ben.put(path, json=long), "bytes")
    full(ben.put(f"/v1/tasks/{new_id()}", json={"title": "x"}), "bytes")
    full(ben.post("/v1/tasks", json={"title": "x"}), "bytes")
    operation = {"op": "replace", "type": "task", "id": other["id"], "body": long}
    batch = ben.post("/v1/batch", json={"operations": [operation]})
    assert (batch.status_code, batch.json["problem"]["quota"]) == (409, "bytes")
    full(send(ben, jsonl(task_line(id=other["id"], **long))), "bytes")
    assert ben.get(path).json == other

    assert ben.patch(f"/v1/tasks/{task['id']}", json={"description": None}).status_code == 200
    assert ben.patch(path, json={"description": "y" * 5000}).status_code == 200


def test_what_a_batch_is_answered_takes_room_under_a_key(ben: Account) -> None:
    task = ben.create_task(description=LONG)
    operation = {"op": "update", "type": "task", "id": task["id"], "body": {"complete": True}}
    batch = {"json": {"operations": [operation] * 2}}
    full(ben.post("/v1/batch", **batch, headers={"Idempotency-Key": "once"}), "bytes")
    assert ben.get(f"/v1/tasks/{task['id']}").json == task
    assert ben.post("/v1/batch", **batch).status_code == 200


# Import


def test_an_import_ends_at_the_line_that_there_is_no_room_for_and_goes_on_when_there_is(
    anna: Account, forget_census: Callable[[Account], None], connection: Any
) -> None:
    lines = jsonl(category(), *(task_line(title=f"Task {number}") for number in range(10)))
    refusal = full(send(anna, lines), "rows")
    assert (refusal["line"], stored(connection, anna)) == (ROWS, ROWS)
    assert refusal["detail"].endswith("what was imported before stays.")
    assert {task["title"] for task in walk(anna)} == {f"Task {number}" for number in range(4)}

    assert full(send(anna, lines), "rows")["line"] == ROWS
    roomier = create_app(settings_for(anna.client.application.config["MIGRATION_URL"]))
    again = anna._replace(client=roomier.test_client())
    report = send(again, lines).json
    assert (report["created"], report["unchanged"], report["refused"]) == (6, ROWS, 0)


def test_an_import_that_changes_what_is_there_needs_no_room(anna: Account) -> None:
    tasks = fill(anna)
    report = send(anna, jsonl(*(task_line(id=task["id"], title="Changed") for task in tasks)))
    assert (report.status_code, report.json["updated"]) == (200, ROWS)


# The census


def test_what_was_purged_makes_room_at_once(anna: Account, few_rows: APIFlask) -> None:
    task, *_ = fill(anna)
    assert anna.delete(f"/v1/tasks/{task['id']}").status_code == 204
    full(anna.post("/v1/tasks", json={"title": "x"}), "rows")
    purge(few_rows)
    assert usage(anna) == {**usage(anna), "rows": ROWS - 1, "bytes": (ROWS - 1) * (ROW_BYTES + 6)}
    anna.create_task()
    full(anna.post("/v1/tasks", json={"title": "x"}), "rows")


def purge(application: APIFlask) -> None:
    outcome = application.test_cli_runner().invoke(args=["purge", "--days", "0"])
    assert outcome.exit_code == 0, outcome.output


def test_kept_answers_that_are_gone_make_room(
    anna: Account, connection: Any, forget_census: Callable[[Account], None]
) -> None:
    for key in ("one", "two"):
        headers = {"Idempotency-Key": key}
        assert anna.post("/v1/tasks", json={"title": "x"}, headers=headers).status_code == 201
    with connection.cursor() as cursor:
        cursor.execute("delete from idempotency_keys where user_id = %s", (anna.user_id,))
    forget_census(anna)
    fill(anna, 3)
    assert usage(anna) == {**usage(anna), "rows": ROWS, "bytes": 5 * ROW_BYTES + 2 + 18}


def test_erased_texts_make_room(ben: Account, forget_census: Callable[[Account], None]) -> None:
    tasks = [ben.create_task(description=LONG[:3500]) for _ in range(2)]
    for task in tasks:
        assert ben.delete(f"/v1/tasks/{task['id']}").status_code == 204
    full(ben.post("/v1/tasks", json={"title": "x"}), "bytes")
    assert ben.delete("/v1/trash").status_code == 204
    forget_census(ben)
    ben.create_task(description=LONG)


def test_a_full_account_is_counted_once_in_ten_seconds_however_often_it_is_written_to(
    anna: Account, connection: Any, forget_census: Callable[[Account], None]
) -> None:
    def counted_at() -> Any:
        with connection.cursor() as cursor:
            cursor.execute("select counted_at from users where id = %s", (anna.user_id,))
            return cursor.fetchone()[0]

    fill(anna)
    forget_census(anna)
    moments = []
    for _ in range(5):
        full(anna.post("/v1/tasks", json={"title": "x"}), "rows")
        moments.append(counted_at())
    assert len(set(moments)) == 1


def test_who_was_never_counted_is_when_they_next_store_something(
    alice: Account, connection: Any
) -> None:
    for _ in range(3):
        alice.create_task()
    forget = "update users set used_rows = 0, used_bytes = 0, counted_at = null where id = %s"
    with connection.cursor() as cursor:
        cursor.execute(forget, (alice.user_id,))
    alice.create_task()
    assert usage(alice)["rows"] == 4


def test_an_account_above_its_quota_is_counted_no_further_than_that(
    auth: Callable[..., Account], few_rows: APIFlask, connection: Any
) -> None:
    account = auth()
    fill(account, 20)
    forget = "update users set used_rows = 0, used_bytes = 0, counted_at = null where id = %s"
    with connection.cursor() as cursor:
        cursor.execute(forget, (account.user_id,))
    stricter = account._replace(client=few_rows.test_client())
    refusal = stricter.post("/v1/tasks", json={"title": "x"})
    assert (refusal.status_code, refusal.json["used"]) == (409, ROWS + 1)
    assert "LIMIT" in str(census([Task.__table__]))
    assert stricter.delete(f"/v1/tasks/{walk(account)[0]['id']}").status_code == 204


# At once


@pytest.mark.parametrize("keyed", [False, True])
def test_of_twenty_at_the_last_place_no_more_get_in_than_there_is_room_for(
    anna: Account, connection: Any, keyed: bool
) -> None:
    fill(anna, ROWS - 2)
    answers = at_once(
        [
            lambda caller=caller: caller.post(
                "/v1/tasks",
                json={"title": "x"},
                headers={"Idempotency-Key": new_id()} if keyed else {},
            )
            for caller in callers(anna, 20)
        ]
    )
    statuses = sorted(answer.status_code for answer in answers)
    assert statuses == ([201] + [409] * 19 if keyed else [201] * 2 + [409] * 18)
    assert stored(connection, anna) == ROWS == usage(anna)["rows"]


def test_batches_and_imports_at_once_never_pass_the_quota(anna: Account, connection: Any) -> None:
    def batch(caller: Account) -> TestResponse:
        operations = [
            {"op": "create", "type": "task", "id": new_id(), "body": {"title": "x"}}
            for _ in range(2)
        ]
        return caller.post("/v1/batch", json={"operations": operations})

    def load(caller: Account) -> TestResponse:
        return send(caller, jsonl(task_line(), task_line()))

    calls: list[Callable[[], TestResponse]] = [
        lambda caller=caller, send=send: send(caller)
        for caller, send in zip(callers(anna, 8), [batch] * 7 + [load], strict=True)
    ]
    statuses = [answer.status_code for answer in at_once(calls)]
    assert set(statuses) <= {200, 409}
    assert statuses.count(200) == 2
    assert stored(connection, anna) == usage(anna)["rows"] <= ROWS


# Cost


def test_a_write_is_still_one_flight_also_where_the_account_is_full_and_it_adds_nothing(
    auth: Callable[..., Account], proxy: Proxy
) -> None:
    account = auth(create_app(settings_for(proxy.url, QUOTA_ROWS=str(ROWS))))
    task, *_ = fill(account)
    path = f"/v1/tasks/{task['id']}"
    for method, options in (
        ("PATCH", {"json": {"title": "Other"}}),
        ("PATCH", {"json": {"title": "Other"}}),
        ("PUT", {"json": {"title": "Third"}}),
        ("DELETE", {}),
    ):
        before = proxy.flights
        assert account.call(method, path, **options).status_code < 300
        assert proxy.flights - before == 1
    before = proxy.flights
    full(account.post("/v1/tasks", json={"title": "x"}), "rows")
    assert proxy.flights - before == 3
