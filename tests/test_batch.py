"""A batch: all of its writes or none, each as it would be alone."""

from collections.abc import Callable
from itertools import count
from typing import Any

import psycopg2
import psycopg2.extensions
import pytest
from apiflask import APIFlask

from app import create_app
from app.core.ids import new_id
from tests.conftest import Account, cursors, settings_for
from tests.parallel import at_once, callers
from tests.rig.proxy import Proxy
from tests.syncing import Copy

Operation = dict[str, Any]


def operation(op: str, kind: str, row_id: str, body: Any = None, **rest: Any) -> Operation:
    given = {} if body is None else {"body": body}
    return {"op": op, "type": kind, "id": row_id, **given, **rest}


def create(title: str = "Buy milk", **fields: Any) -> Operation:
    return operation("create", "task", new_id(), {"title": title, **fields})


def send(account: Account, *operations: Operation, **headers: str) -> Any:
    return account.post("/v1/batch", json={"operations": list(operations)}, headers=headers)


def done(account: Account, *operations: Operation) -> list[dict[str, Any]]:
    response = send(account, *operations)
    assert response.status_code == 200, response.text
    return response.json["results"]


def everything(account: Account) -> dict[str, Any]:
    return Copy(account).pulled().items


# Each as alone


def test_the_results_are_what_the_requests_would_be_answered_alone(alice: Account) -> None:
    category, task, gone = new_id(), new_id(), new_id()
    results = done(
        alice,
        operation("create", "category", category, {"name": "Groceries", "color": "#2E7D32"}),
        operation("create", "task", task, {"title": "Buy milk", "category_id": category}),
        operation("create", "task", gone, {"title": "Buy tea"}),
        operation("update", "task", task, {"complete": True, "due_at": "2027-01-31T09:30:00Z"}),
        operation("replace", "task", task, {"title": "Buy oat milk", "priority": "high"}),
        operation("replace", "category", category, {"name": "Food"}),
        operation("delete", "task", gone),
    )
    assert [result["status"] for result in results] == [201, 201, 201, 200, 200, 200, 204]
    assert [result["etag"] for result in results] == [*(f'"{n}"' for n in range(1, 7)), None]
    assert results[3]["body"]["due_at"] == "2027-01-31T09:30:00Z"
    assert results[3]["body"]["completed_at"] == results[3]["body"]["updated_at"]
    assert results[4]["body"] == alice.get(f"/v1/tasks/{task}").json
    assert results[5]["body"] == alice.get(f"/v1/categories/{category}").json
    assert results[6]["body"] is None
    assert alice.get(f"/v1/tasks/{gone}").status_code == 404


def test_a_body_is_written_as_the_single_request_writes_it(alice: Account) -> None:
    task = alice.create_task(description="Two litres", due_date="2027-01-31")
    alone = alice.patch(f"/v1/tasks/{task['id']}", json={"title": "Buy tea"})
    [batched] = done(alice, operation("update", "task", task["id"], {"title": "Buy tea"}))
    assert batched["body"] == alone.json
    assert batched["etag"] == alone.headers["ETag"]


@pytest.mark.parametrize(
    "body",
    [
        {"title": "'\"\\ $1 %s %(id)s {} $$; --", "description": "\\u0041 \t\r\n\u2028 🛒 e\u0301"},
        {"title": "The first", "due_at": "0001-01-01T00:00:00Z"},
        {"title": "The last", "due_at": "9999-12-31T23:59:59.999999Z", "priority": "high"},
        {"title": "A day", "due_date": "9999-12-31", "complete": True},
        {"title": "null", "description": ""},
    ],
    ids=lambda body: body["title"][:9],
)
def test_every_value_arrives_as_in_a_single_request(alice: Account, body: dict[str, Any]) -> None:
    [batched] = done(alice, create(**body))
    alone = alice.create_task(**body)
    assert {name: batched["body"][name] for name in body} == {name: alone[name] for name in body}
    assert alice.get(f"/v1/tasks/{batched['body']['id']}").json == batched["body"]


def test_a_write_that_changes_nothing_keeps_its_version(alice: Account) -> None:
    task = alice.create_task()
    [result] = done(alice, operation("update", "task", task["id"], {"title": task["title"]}))
    assert result["body"] == task


def test_a_category_that_is_deleted_takes_its_tasks_out_of_it(alice: Account) -> None:
    category = alice.create_category()
    task = alice.create_task(category_id=category["id"])
    done(alice, operation("delete", "category", category["id"]))
    assert alice.get(f"/v1/tasks/{task['id']}").json["category_id"] is None


def test_the_changes_are_in_the_order_of_the_operations(alice: Account) -> None:
    operations = [create(f"Task {number}") for number in range(100)]
    results = done(alice, *operations)
    assert [result["body"]["version"] for result in results] == list(range(1, 101))
    changes = alice.get("/v1/changes").json["items"]
    assert [item["id"] for item in changes] == [step["id"] for step in operations]


@pytest.mark.parametrize("op", ["update", "replace", "delete"])
def test_if_match_is_that_of_the_request(alice: Account, op: str) -> None:
    task = alice.create_task()
    body = None if op == "delete" else {"title": "Buy tea"}
    stale = operation(op, "task", task["id"], body, if_match='"9"')
    refused = send(alice, create(), stale)
    assert (refused.status_code, refused.json["operation"]) == (409, 1)
    assert refused.json["problem"]["status"] == 412
    assert refused.json["problem"]["current"] == task
    assert len(done(alice, stale | {"if_match": f'"{task["version"]}"'})) == 1


# All or nothing

LAST: dict[str, tuple[Callable[[Account], Operation], int, int]] = {
    "of nothing": (lambda _: operation("delete", "task", new_id()), 409, 404),
    "of a task that is there": (lambda a: create() | {"id": a.create_task()["id"]}, 409, 412),
    "of a name that is taken": (
        lambda a: operation(
            "create", "category", new_id(), {"name": a.create_category()["name"].upper()}
        ),
        409,
        409,
    ),
    "of a category that is not there": (lambda _: create(category_id=new_id()), 422, 422),
    "of two due times": (
        lambda a: operation(
            "update",
            "task",
            a.create_task(due_date="2027-01-31")["id"],
            {"due_at": "2027-01-31T09:30:00Z"},
        ),
        422,
        422,
    ),
    "of a bad body": (lambda _: create(title=" "), 422, 422),
}


@pytest.mark.parametrize("name", LAST)
@pytest.mark.parametrize("size", [1, 2, 100])
def test_a_batch_that_fails_at_its_last_operation_leaves_nothing(
    alice: Account, name: str, size: int
) -> None:
    make, status, alone = LAST[name]
    last, before = make(alice), everything(alice)
    before_seq = alice.get("/v1/changes").json["next_token"]
    refused = send(alice, *(create() for _ in range(size - 1)), last)
    assert refused.status_code == status, refused.text
    if status == 409:
        assert refused.json["type"] == "/problems/batch-failed"
        assert refused.json["operation"] == size - 1
        assert refused.json["problem"]["status"] == alone
    else:
        pointers = [error["pointer"] for error in refused.json["errors"]]
        assert all(p.startswith(f"/operations/{size - 1}/body") for p in pointers)
    assert everything(alice) == before
    assert alice.get("/v1/changes").json["next_token"] == before_seq


def test_the_operation_that_takes_a_name_twice_is_named(alice: Account) -> None:
    first, again = (
        operation("create", "category", new_id(), {"name": name}) for name in ("Food", "food")
    )
    refused = send(alice, create(), first, create(), again, create())
    assert (refused.status_code, refused.json["operation"]) == (409, 3)
    assert everything(alice) == {}


def test_the_operation_that_fails_first_is_named_though_a_later_one_collides(
    alice: Account,
) -> None:
    category = alice.create_category(name="Alpha")
    refused = send(
        alice,
        operation("update", "category", category["id"], {"name": "Beta"}, if_match='"999"'),
        operation("create", "category", new_id(), {"name": "Alpha"}),
    )
    assert (refused.json["operation"], refused.json["problem"]["status"]) == (0, 412)


def test_a_name_can_be_passed_on(alice: Account) -> None:
    category = alice.create_category(name="Food")
    done(
        alice,
        operation("update", "category", category["id"], {"name": "Old food"}),
        operation("create", "category", new_id(), {"name": "Food"}),
    )
    assert len(alice.get("/v1/categories").json["items"]) == 2


def test_what_a_batch_is_told_leaves_what_others_are_told(alice: Account) -> None:
    for _ in range(2):
        task = alice.create_task(due_date="2027-01-31")
        body = {"due_at": "2027-01-31T09:30:00Z"}
        refused = send(alice, operation("update", "task", task["id"], body))
        assert refused.json["errors"][0]["pointer"] == "/operations/0/body/due_at"
        alone = alice.patch(f"/v1/tasks/{task['id']}", json=body)
        assert alone.json["errors"][0]["pointer"] == "/due_at"


# Bad input


@pytest.mark.parametrize(
    ("step", "pointer"),
    [
        (create() | {"op": "remove"}, "/operations/0/op"),
        (create() | {"type": "user"}, "/operations/0/type"),
        (create() | {"id": "1"}, "/operations/0/id"),
        (create() | {"colour": "red"}, "/operations/0/colour"),
        (create() | {"if_match": '"1"'}, "/operations/0/if_match"),
        (create() | {"if_match": "1"}, "/operations/0/if_match"),
        (create() | {"body": None}, "/operations/0/body"),
        (create() | {"body": []}, "/operations/0/body"),
        (create(colour="red"), "/operations/0/body/colour"),
        (create(due_date="2027-02-30"), "/operations/0/body/due_date"),
        (operation("delete", "task", new_id(), {}), "/operations/0/body"),
        (operation("update", "category", new_id(), {"name": ""}), "/operations/0/body/name"),
        (operation("update", "task", new_id(), {"name": "x"}), "/operations/0/body/name"),
    ],
)
def test_what_is_wrong_is_pointed_at(alice: Account, step: Operation, pointer: str) -> None:
    refused = send(alice, step)
    assert refused.status_code == 422, refused.text
    assert [error["pointer"] for error in refused.json["errors"]] == [pointer]


@pytest.mark.parametrize("title", [2**70, -(2**70), [[[]]]], ids=["huge", "low", "nested"])
def test_what_no_fingerprint_can_be_made_of_is_refused_with_a_key_as_well(
    alice: Account, title: Any
) -> None:
    refused = send(alice, create(title), **{"Idempotency-Key": "k"})
    assert refused.status_code == 422, refused.text


@pytest.mark.parametrize("depth", range(960, 1000, 3))
def test_no_depth_of_a_body_is_a_defect(alice: Account, depth: int) -> None:
    headers = {"Content-Type": "application/json"}
    body = '{"e":"\\ud83d\\ude00","operations":' + "[" * depth + "]" * depth + "}"
    assert alice.post("/v1/batch", data=body, headers=headers).status_code in {400, 422}


@pytest.mark.parametrize("number", [0, 101])
def test_a_batch_has_one_to_a_hundred_operations(alice: Account, number: int) -> None:
    refused = send(alice, *(create() for _ in range(number)))
    assert refused.json["errors"][0]["pointer"] == "/operations"


# Strangers


@pytest.mark.parametrize("op", ["update", "delete"])
@pytest.mark.parametrize("kind", ["task", "category"])
def test_anothers_rows_are_not_there(alice: Account, bob: Account, op: str, kind: str) -> None:
    row = bob.create_task() if kind == "task" else bob.create_category()
    body = None if op == "delete" else {}
    answers = [send(alice, operation(op, kind, i, body)) for i in (row["id"], new_id())]
    settled = [a.text.replace(a.headers["X-Request-ID"], "") for a in answers]
    assert settled[0] == settled[1]
    assert answers[0].json["problem"]["status"] == 404
    assert everything(bob) == {row["id"]: row}


def test_anothers_id_is_free_for_ones_own(alice: Account, bob: Account) -> None:
    task = bob.create_task()
    done(alice, create() | {"id": task["id"]})
    assert everything(bob) == {task["id"]: task}


def test_an_own_user_without_an_account_is_refused(app: APIFlask) -> None:
    user_id = new_id()
    token = app.extensions["token_verifier"].issue(user_id)
    assert send(Account(user_id, "", token, app.test_client()), create()).status_code == 401


# Once


def test_a_batch_sent_twenty_times_at_once_with_one_key_is_done_once(alice: Account) -> None:
    operations = [create(f"Task {number}") for number in range(20)]
    answers = at_once(
        [lambda a=a: send(a, *operations, **{"Idempotency-Key": "k"}) for a in callers(alice, 20)]
    )
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.data for answer in answers}) == 1
    replayed = [answer.headers.get("Idempotency-Replayed") for answer in answers]
    assert sorted(replayed, key=str) == [None, *["true"] * 19]
    assert max(item["version"] for item in everything(alice).values()) == 20


def test_a_key_with_another_batch_is_refused(alice: Account) -> None:
    assert send(alice, create(), **{"Idempotency-Key": "k"}).status_code == 200
    refused = send(alice, create(), **{"Idempotency-Key": "k"})
    assert refused.json["type"] == "/problems/idempotency-key-reused"


def test_a_key_of_a_batch_that_failed_is_free_again(alice: Account) -> None:
    key = {"Idempotency-Key": "k"}
    assert send(alice, operation("delete", "task", new_id()), **key).status_code == 409
    assert send(alice, create(), **key).status_code == 200


# Flights and faults


@pytest.fixture
def behind(proxy: Proxy, auth: Callable[..., Account]) -> Account:
    return auth(create_app(settings_for(proxy.url)))


@pytest.mark.parametrize(("headers", "flights"), [({}, 2), ({"Idempotency-Key": "k"}, 3)])
@pytest.mark.parametrize("size", [1, 100])
def test_flights_do_not_grow_with_the_batch(
    behind: Account, proxy: Proxy, headers: dict[str, str], flights: int, size: int
) -> None:
    behind.get("/v1/tasks")
    before = proxy.flights
    assert send(behind, *(create() for _ in range(size)), **headers).status_code == 200
    assert proxy.flights - before == flights


def test_a_refused_batch_gives_its_connection_back_clean(alice: Account) -> None:
    for _ in range(30):  # more than the pool holds
        assert send(alice, create(), operation("delete", "task", new_id())).status_code == 409
    assert send(alice, create()).status_code == 200


@pytest.mark.parametrize("key", [{}, {"Idempotency-Key": "k"}])
@pytest.mark.parametrize("flight", [1, 2, 3])
def test_a_connection_that_dies_on_the_way_loses_and_doubles_nothing(
    app: APIFlask,
    alice: Account,
    connection: Any,
    key: dict[str, str],
    flight: int,
) -> None:
    number = count(1)

    class Dying(psycopg2.extensions.cursor):
        def execute(self, *arguments: Any) -> None:
            if next(number) == flight:
                with connection.cursor() as cursor:
                    pid = self.connection.info.backend_pid
                    cursor.execute("select pg_terminate_backend(%s, 5000)", (pid,))
            super().execute(*arguments)

    with cursors(app, Dying):
        answer = send(alice, create(), create(), **key)
    known = everything(alice)
    assert (answer.status_code, len(known)) in {(200, 2), (503, 0)}
    if key:
        assert answer.status_code == 200


def test_what_the_database_refuses_for_no_known_reason_is_a_defect(
    app: APIFlask, alice: Account
) -> None:
    class Failing(psycopg2.extensions.cursor):
        def execute(self, *_: object) -> None:
            raise psycopg2.errors.DataError

    with cursors(app, Failing):
        assert send(alice, create()).status_code == 500
