"""The trash: what was deleted can be seen and restored, or erased for good."""

from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from apiflask import APIFlask
from psycopg2.errors import CheckViolation
from werkzeug.test import TestResponse

from app.api.categories.kind import CATEGORY
from app.api.categories.schemas import CategoryCreate
from app.api.tasks.kind import TASK
from app.api.tasks.queries import TASKS
from app.api.tasks.schemas import TaskCreate
from app.api.trash import erasing
from app.core.ids import new_id
from app.core.problem_kinds import DATABASE_BUSY
from app.core.problems import Problem
from app.db import chunks as in_chunks
from app.db.statement import Statement
from tests.assertions import refused
from tests.conftest import Account
from tests.parallel import at_once, callers
from tests.syncing import Copy
from tests.walking import ids, page, walk

SECRET = "xylophone lessons"


def path_of(kind: str, item: dict[str, Any]) -> str:
    return f"/v1/{'tasks' if kind == 'task' else 'categories'}/{item['id']}"


def delete(account: Account, kind: str, item: dict[str, Any]) -> dict[str, Any]:
    """Delete it; how the trash shows it."""
    assert account.delete(path_of(kind, item)).status_code == 204
    (found,) = [it for it in trash(account) if (it["type"], it["data"]["id"]) == (kind, item["id"])]
    return found


def trash(account: Account, **query: Any) -> list[dict[str, Any]]:
    return walk(account, "/v1/trash", **query)


def trashed(account: Account) -> list[str]:
    """The ids of what is in the trash."""
    return [item["data"]["id"] for item in trash(account)]


def make(account: Account, kind: str, **fields: Any) -> dict[str, Any]:
    return (account.create_task if kind == "task" else account.create_category)(**fields)


def rows_of(connection: Any, account: Account) -> list[str]:
    """Everything of the account's tasks and categories, as a superuser sees it."""
    with connection.cursor() as cursor:
        cursor.execute(
            "select t::text from tasks t where user_id = %(user_id)s"
            " union all select c::text from categories c where user_id = %(user_id)s",
            {"user_id": account.user_id},
        )
        return [row for (row,) in cursor.fetchall()]


def statuses(responses: list[TestResponse]) -> Counter[int]:
    return Counter(response.status_code for response in responses)


BOTH = pytest.mark.parametrize("kind", ["task", "category"])


# The listing


def test_the_trash_shows_what_was_deleted_as_it_was_newest_first(alice: Account) -> None:
    home = alice.create_category(name="Home", color="#112233")
    task = alice.create_task(title="Buy tea", description="Green", priority="high", complete=True)
    alice.create_task()
    delete(alice, "category", home)
    delete(alice, "task", task)
    first, second = trash(alice)
    assert (first["type"], second["type"]) == ("task", "category")
    for shown, before in ((first, task), (second, home)):
        changed = {name for name in before if shown["data"][name] != before[name]}
        assert shown["data"].keys() == before.keys()
        assert changed == {"version", "updated_at"}
        assert shown["deleted_at"] == shown["data"]["updated_at"]
    assert first["deleted_at"] > second["deleted_at"]


def test_the_trash_says_when_purging_may_take_it(alice: Account, connection: Any) -> None:
    task = alice.create_task()
    delete(alice, "task", task)
    with connection.cursor() as cursor:
        sql = "update tasks set deleted_at = '2026-02-27T10:00:00.5Z' where id = %s"
        cursor.execute(sql, (task["id"],))
    (item,) = trash(alice)
    assert item["deleted_at"] == "2026-02-27T10:00:00.500000Z"
    assert item["purged_after"] == "2026-03-29T10:00:00.500000Z"


def test_a_walk_through_the_trash_misses_and_repeats_nothing(
    alice: Account, connection: Any
) -> None:
    same = new_id()
    assert alice.put(f"/v1/tasks/{same}", json={"title": "x"}).status_code == 201
    assert alice.put(f"/v1/categories/{same}", json={"name": "x"}).status_code == 201
    items = [("task", {"id": same}), ("category", {"id": same})]
    items += [(kind, make(alice, kind)) for kind in ("task", "category") for _ in range(5)]
    for kind, item in items:
        delete(alice, kind, item)
    with connection.cursor() as cursor:  # all at one instant, so that only ids and types differ
        for table in ("tasks", "categories"):
            sql = f"update {table} set deleted_at = '2026-01-01Z' where user_id = %s"
            cursor.execute(sql, (alice.user_id,))
    whole = trash(alice)
    assert Counter((it["type"], it["data"]["id"]) for it in whole) == Counter(
        (kind, item["id"]) for kind, item in items
    )
    for limit in (1, 2, 5, 11):
        assert trash(alice, limit=limit) == whole


def test_a_walk_goes_on_where_it_was_while_items_come_and_go(alice: Account) -> None:
    tasks = [alice.create_task() for _ in range(6)]
    for task in tasks:
        delete(alice, "task", task)
    first = page(alice, "/v1/trash", limit=2)
    alice.post(f"/v1/tasks/{tasks[5]['id']}/restore")
    delete(alice, "task", alice.create_task())
    rest = page(alice, "/v1/trash", limit=5, cursor=first["next_cursor"])
    assert rest["next_cursor"] is None
    found = [item["data"]["id"] for item in (*first["items"], *rest["items"])]
    assert found == ids(tasks)[::-1]


def test_who_deleted_nothing_has_an_empty_trash(alice: Account, app: APIFlask) -> None:
    alice.create_task()
    token = app.extensions["token_verifier"].issue(stranger := new_id())
    for account in (alice, Account(stranger, "", token, app.test_client())):
        assert account.get("/v1/trash").json == {"items": [], "next_cursor": None}
        assert account.delete("/v1/trash").status_code == 204


def test_a_cursor_of_the_trash_is_of_its_user_only(alice: Account, bob: Account) -> None:
    for account in (alice, bob):
        for _ in range(2):
            delete(account, "task", account.create_task())
    cursor = page(alice, "/v1/trash", limit=1)["next_cursor"]
    assert refused(bob.get(f"/v1/trash?cursor={cursor}"), "cursor", parameter="cursor")


# Restoring


@BOTH
def test_what_is_restored_is_as_it_was_with_a_new_version(alice: Account, kind: str) -> None:
    task = {"description": "Two litres", "due_date": "2027-01-31", "complete": True}
    before = make(alice, kind, **(task if kind == "task" else {"color": "#112233"}))
    delete(alice, kind, before)
    response = alice.post(f"{path_of(kind, before)}/restore")
    restored = response.json
    assert (response.status_code, response.headers["ETag"]) == (200, f'"{restored["version"]}"')
    changed = {name for name in before if restored[name] != before[name]}
    assert changed == {"version", "updated_at"}
    assert restored["version"] == before["version"] + 2
    assert alice.get(path_of(kind, before)).json == restored
    assert trash(alice) == []


@BOTH
def test_restoring_what_is_live_changes_nothing(alice: Account, kind: str) -> None:
    live = make(alice, kind)
    response = alice.post(f"{path_of(kind, live)}/restore")
    assert (response.status_code, response.json) == (200, live)
    assert alice.create_task()["version"] == live["version"] + 1


@BOTH
def test_a_restored_item_is_found_in_listings_and_told_of_as_a_change(
    alice: Account, kind: str
) -> None:
    item = make(alice, kind)
    copy = Copy(alice).pulled()
    delete(alice, kind, item)
    assert copy.pulled().items == {}
    restored = alice.post(f"{path_of(kind, item)}/restore").json
    assert walk(alice, "/v1/tasks" if kind == "task" else "/v1/categories") == [restored]
    assert copy.pulled().items == {item["id"]: restored}


def test_a_restored_task_is_in_its_category_or_in_none_if_that_was_deleted(
    alice: Account,
) -> None:
    kept, gone = alice.create_category()["id"], alice.create_category()["id"]
    tasks = [alice.create_task(category_id=category) for category in (kept, gone)]
    for task in tasks:
        delete(alice, "task", task)
    assert alice.delete(f"/v1/categories/{gone}").status_code == 204
    restored = [alice.post(f"/v1/tasks/{task['id']}/restore").json for task in tasks]
    assert [task["category_id"] for task in restored] == [kept, None]


def test_a_restored_category_does_not_pull_its_tasks_back(alice: Account) -> None:
    home = alice.create_category()
    live, deleted = (alice.create_task(category_id=home["id"]) for _ in range(2))
    delete(alice, "task", deleted)
    delete(alice, "category", home)
    assert alice.post(f"/v1/categories/{home['id']}/restore").status_code == 200
    assert alice.get(f"/v1/tasks/{live['id']}").json["category_id"] is None
    assert alice.post(f"/v1/tasks/{deleted['id']}/restore").json["category_id"] is None


def test_a_category_whose_name_is_taken_stays_in_the_trash_until_it_is_free(
    alice: Account,
) -> None:
    home = alice.create_category(name="Home")
    delete(alice, "category", home)
    taken = alice.create_category(name="HOME")
    keyed = {"Idempotency-Key": "once"}
    response = alice.post(f"/v1/categories/{home['id']}/restore", headers=keyed)
    assert (response.status_code, response.json["type"]) == (409, "/problems/conflict")
    assert "has this name" in response.json["detail"]
    assert trashed(alice) == [home["id"]]
    alice.patch(f"/v1/categories/{taken['id']}", json={"name": "Work"})
    restored = alice.post(f"/v1/categories/{home['id']}/restore", headers=keyed)
    assert (restored.status_code, restored.json["name"]) == (200, "Home")


@BOTH
def test_what_never_was_or_is_anothers_or_erased_cannot_be_restored(
    alice: Account, bob: Account, kind: str
) -> None:
    theirs, erased = make(bob, kind), make(alice, kind)
    delete(bob, kind, theirs)
    delete(alice, kind, erased)
    assert alice.delete(f"/v1/trash/{erased['id']}").status_code == 204
    for item in (theirs, erased, {"id": new_id()}):
        assert alice.post(f"{path_of(kind, item)}/restore").status_code == 404
    assert trashed(bob) == [theirs["id"]]


@BOTH
def test_if_match_takes_the_version_that_the_trash_shows(alice: Account, kind: str) -> None:
    item = make(alice, kind)
    shown = delete(alice, kind, item)["data"]
    path = f"{path_of(kind, item)}/restore"
    for header in ({"If-Match": f'"{item["version"]}"'}, {"If-None-Match": "*"}):
        response = alice.post(path, headers=header)
        assert (response.status_code, response.json["current"]) == (412, shown)
    expected = {"If-Match": f'"{shown["version"]}"'}
    restored = alice.post(path, headers=expected)
    assert restored.status_code == 200
    again = alice.post(path, headers=expected)
    assert (again.status_code, again.json["current"]) == (412, restored.json)
    assert alice.post(path, headers={"If-Match": "*"}).json == restored.json


@BOTH
def test_a_keyed_restore_is_done_once_whatever_becomes_of_the_row(
    alice: Account, kind: str
) -> None:
    item, other = make(alice, kind), make(alice, kind)
    delete(alice, kind, item)
    path, keyed = f"{path_of(kind, item)}/restore", {"headers": {"Idempotency-Key": "once"}}
    first = alice.post(path, **keyed)
    assert "Idempotency-Replayed" not in first.headers
    delete(alice, kind, item)
    again = alice.post(path, **keyed)
    assert (again.status_code, again.data) == (200, first.data)
    assert (again.headers["Idempotency-Replayed"], again.headers["ETag"]) == (
        "true",
        first.headers["ETag"],
    )
    assert trashed(alice) == [item["id"]]
    reused = alice.post(f"{path_of(kind, other)}/restore", **keyed)
    assert (reused.status_code, reused.json["type"]) == (422, "/problems/idempotency-key-reused")


def test_a_keyed_restore_that_found_it_live_is_not_done_later_either(alice: Account) -> None:
    task = alice.create_task()
    path, keyed = f"/v1/tasks/{task['id']}/restore", {"headers": {"Idempotency-Key": "once"}}
    assert alice.post(path, **keyed).json == task
    delete(alice, "task", task)
    again = alice.post(path, **keyed)
    assert (again.json, again.headers["Idempotency-Replayed"]) == (task, "true")
    assert trashed(alice) == [task["id"]]


def test_a_keyed_restore_that_was_refused_may_be_sent_again(alice: Account) -> None:
    task = alice.create_task()
    shown = delete(alice, "task", task)["data"]
    path = f"/v1/tasks/{task['id']}/restore"
    for match, status in (("1", 412), (shown["version"], 200), (shown["version"], 200)):
        headers = {"Idempotency-Key": "once", "If-Match": f'"{match}"'}
        response = alice.post(path, headers=headers)
        assert response.status_code == status
    assert response.headers["Idempotency-Replayed"] == "true"
    missing = {"Idempotency-Key": "another"}
    assert alice.post(f"/v1/tasks/{new_id()}/restore", headers=missing).status_code == 404


# Erasing


@BOTH
def test_what_is_erased_leaves_an_empty_row_and_nothing_of_its_content(
    alice: Account, kind: str, connection: Any
) -> None:
    texts = {"title": SECRET, "description": f"about {SECRET}", "due_at": "2031-05-05T10:00:00Z"}
    home = alice.create_category()["id"]
    task = {**texts, "priority": "high", "complete": True, "category_id": home}
    item = make(alice, kind, **(task if kind == "task" else {"name": SECRET, "color": "#abcdef"}))
    delete(alice, kind, item)
    assert alice.delete(f"/v1/trash/{item['id']}").status_code == 204
    assert trash(alice) == []
    assert len(rows_of(connection, alice)) == 2
    for row in rows_of(connection, alice):
        for trace in (SECRET, "2031-05-05", "abcdef"):
            assert trace not in row
    assert alice.delete(f"/v1/trash/{item['id']}").status_code == 404


def test_every_field_that_clients_write_is_erased() -> None:
    tasks, categories = TASK.blank, CATEGORY.blank
    assert tasks.keys() == {
        *TaskCreate.model_fields,
        *TASKS.shape.derived,
        *("occurrence", "series_id", "snoozed_until"),
    }
    assert categories.keys() == {*CategoryCreate.model_fields}


def test_only_what_is_in_ones_own_trash_can_be_erased(alice: Account, bob: Account) -> None:
    live, theirs = alice.create_task(), bob.create_task()
    delete(bob, "task", theirs)
    for item_id in (live["id"], theirs["id"], new_id()):
        assert alice.delete(f"/v1/trash/{item_id}").status_code == 404
    assert alice.delete("/v1/trash").status_code == 204
    assert alice.get(f"/v1/tasks/{live['id']}").json == live
    assert bob.post(f"/v1/tasks/{theirs['id']}/restore").json["title"] == theirs["title"]


def test_a_task_and_a_category_of_one_id_are_erased_together_or_by_version(
    alice: Account,
) -> None:
    item = {"id": new_id()}
    for version in (True, False):
        assert alice.put(path_of("task", item), json={"title": "x"}).status_code < 300
        assert alice.put(path_of("category", item), json={"name": "x"}).status_code < 300
        delete(alice, "task", item)
        shown = delete(alice, "category", item)["data"]
        headers = {"If-Match": f'"{shown["version"]}"'} if version else {}
        assert alice.delete(f"/v1/trash/{item['id']}", headers=headers).status_code == 204
        assert [it["type"] for it in trash(alice)] == (["task"] if version else [])


def test_an_item_that_is_not_at_the_expected_version_is_not_erased(alice: Account) -> None:
    task = alice.create_task()
    shown = delete(alice, "task", task)["data"]
    path = f"/v1/trash/{task['id']}"
    response = alice.delete(path, headers={"If-Match": f'"{task["version"]}"'})
    assert (response.status_code, response.json["current"]) == (412, shown)
    assert trashed(alice) == [task["id"]]
    response = alice.delete(path, headers={"If-Match": f'"{shown["version"]}"'})
    assert (response.status_code, trash(alice)) == (204, [])


@BOTH
def test_what_is_written_under_the_id_of_an_erased_row_is_new(alice: Account, kind: str) -> None:
    item = make(alice, kind)
    delete(alice, kind, item)
    assert alice.delete(f"/v1/trash/{item['id']}").status_code == 204
    body = {"title": "Buy tea"} if kind == "task" else {"name": "Home"}
    again = alice.put(path_of(kind, item), json=body)
    assert again.status_code == 201
    assert again.json["created_at"] == again.json["updated_at"] > item["created_at"]
    shown = delete(alice, kind, again.json)["data"]
    assert shown.items() >= body.items()
    assert alice.post(f"{path_of(kind, item)}/restore").json.items() >= body.items()


def test_erasing_is_no_change_and_the_deletion_is_still_told_of(alice: Account) -> None:
    task = alice.create_task()
    copy = Copy(alice).pulled()
    item = delete(alice, "task", task)
    assert alice.delete(f"/v1/trash/{task['id']}").status_code == 204
    changes = page(alice, "/v1/changes", since=copy.token)
    version = item["data"]["version"]
    assert changes["items"] == [
        {"type": "task", "id": task["id"], "version": version, "deleted": True, "data": None}
    ]
    assert alice.create_task()["version"] == version + 1


@pytest.mark.parametrize("table", ["tasks", "categories"])
def test_the_database_refuses_content_in_an_erased_row(
    alice: Account, connection: Any, table: str
) -> None:
    kind = "task" if table == "tasks" else "category"
    item = make(alice, kind)
    delete(alice, kind, item)
    sql = f"update {table} set erased_version = version where id = %s"
    with connection.cursor() as cursor, pytest.raises(CheckViolation, match=f"ck_{table}_erased"):
        cursor.execute(sql, (item["id"],))


def test_a_search_does_not_find_what_is_in_the_trash_or_erased(alice: Account) -> None:
    task = alice.create_task(title=SECRET)
    delete(alice, "task", task)
    assert walk(alice, q="xylophone") == []
    assert alice.delete(f"/v1/trash/{task['id']}").status_code == 204
    assert walk(alice, q="xylophone") == []


# Emptying


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(erasing, "CHUNK", 3)
    monkeypatch.setattr(erasing, "BOUNDS", Statement(erasing.bounds()))
    return 3


def fill(account: Account, count: int) -> None:
    for kind in ("task", "category"):
        for _ in range(count):
            assert account.delete(path_of(kind, make(account, kind))).status_code == 204


@pytest.mark.parametrize("count", [0, 1, 3, 7])
def test_an_emptied_trash_is_empty_whatever_was_in_it(
    alice: Account, bob: Account, small_chunks: int, connection: Any, count: int
) -> None:
    fill(alice, count)
    fill(bob, 1)
    live = alice.create_task()
    before = rows_of(connection, bob)
    assert alice.delete("/v1/trash").status_code == 204
    assert trash(alice) == []
    assert walk(alice) == [live]
    assert len(rows_of(connection, alice)) == 2 * count + 1
    assert rows_of(connection, bob) == before


def test_what_is_deleted_while_the_trash_is_emptied_stays_in_it(
    alice: Account, small_chunks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(alice, 4)
    late = [alice.create_task() for _ in range(4)]
    (other,) = callers(alice, 1)
    real, calls = erasing._erase_chunk, []

    def deleting_meanwhile(*chunk: Any) -> None:
        real(*chunk)
        if not calls:
            calls.extend(other.delete(f"/v1/tasks/{task['id']}").status_code for task in late)

    monkeypatch.setattr(erasing, "_erase_chunk", deleting_meanwhile)
    assert alice.delete("/v1/trash").status_code == 204
    assert calls == [204] * 4
    assert sorted(trashed(alice)) == sorted(ids(late))


@pytest.mark.parametrize("why", ["time is short", "the database fails"])
def test_a_trash_that_cannot_be_emptied_at_once_is_503_and_goes_on_when_asked_again(
    alice: Account, small_chunks: int, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    fill(alice, 4)
    real, chunks = erasing._erase_chunk, []

    def failing(*chunk: Any) -> None:
        chunks.append(chunk)
        if len(chunks) % 2 == 0:
            raise Problem(DATABASE_BUSY)
        real(*chunk)

    with monkeypatch.context() as patched:
        if why == "time is short":
            patched.setattr(in_chunks, "SPARE_SECONDS", 3600.0)
        else:
            patched.setattr(erasing, "_erase_chunk", failing)
        left = [8]
        for _ in range(2):
            response = alice.delete("/v1/trash")
            left.append(len(trash(alice)))
            assert (response.status_code, response.json["type"]) == (503, "/problems/unfinished")
            assert int(response.headers["Retry-After"]) >= 1
    assert left == [8, 5, 4]
    assert alice.delete("/v1/trash").status_code == 204
    assert trash(alice) == []


def test_a_trash_has_no_etag_to_match(alice: Account) -> None:
    fill(alice, 1)
    assert alice.delete("/v1/trash", headers={"If-Match": '"7"'}).status_code == 412
    assert len(trash(alice)) == 2
    assert alice.delete("/v1/trash", headers={"If-Match": "*"}).status_code == 204
    assert trash(alice) == []


# Many at once


@pytest.fixture
def anna(auth: Callable[..., Account], patient: APIFlask) -> Account:
    return auth(patient)


@BOTH
def test_of_many_restores_one_is_a_change(anna: Account, kind: str) -> None:
    item = make(anna, kind)
    version = delete(anna, kind, item)["data"]["version"]
    path = f"{path_of(kind, item)}/restore"
    responses = at_once([partial(caller.post, path) for caller in callers(anna, 20)])
    assert statuses(responses) == {200: 20}
    assert {response.json["version"] for response in responses} == {version + 1}
    assert make(anna, kind)["version"] == version + 2


def test_of_many_categories_of_one_name_one_is_restored(anna: Account) -> None:
    items = []
    for _ in range(10):
        items.append(anna.create_category(name="Home"))
        delete(anna, "category", items[-1])
    paths = [f"/v1/categories/{item['id']}/restore" for item in items]
    calls = [
        partial(caller.post, path) for caller, path in zip(callers(anna, 10), paths, strict=True)
    ]
    assert statuses(at_once(calls)) == {200: 1, 409: 9}
    assert len(walk(anna, "/v1/categories")) == 1
    assert len(trash(anna)) == 9


def test_restores_deletions_erasures_and_puts_at_once_leave_one_state(
    anna: Account, connection: Any
) -> None:
    for _ in range(4):
        task = anna.create_task(title="old")
        item = delete(anna, "task", task)
        path = f"/v1/tasks/{task['id']}"
        people = callers(anna, 20)
        calls = [partial(caller.post, f"{path}/restore") for caller in people[:5]]
        calls += [partial(caller.delete, path) for caller in people[5:10]]
        calls += [partial(caller.put, path, json={"title": "new"}) for caller in people[10:13]]
        calls += [partial(caller.delete, f"/v1/trash/{task['id']}") for caller in people[13:17]]
        calls += [partial(caller.delete, "/v1/trash") for caller in people[17:]]
        responses = at_once(calls)
        assert set(statuses(responses)) <= {200, 201, 204, 404}
        versions = [r.json["version"] for r in responses if r.status_code in {200, 201}]
        assert min(versions, default=item["data"]["version"]) >= item["data"]["version"]
        alive = anna.get(path)
        shown = [it["data"] for it in trash(anna) if it["data"]["id"] == task["id"]]
        assert (alive.status_code == 200) + len(shown) <= 1
        for state in shown + ([alive.json] if alive.status_code == 200 else []):
            assert state["title"] in {"old", "new"}
        if alive.status_code == 404 and not shown:
            assert [r for r in rows_of(connection, anna) if "old" in r or "new" in r] == []
        assert anna.put(path, json={"title": "last"}).status_code in {200, 201}
        assert anna.delete(path).status_code == 204
        assert anna.delete("/v1/trash").status_code == 204


def test_no_restored_task_points_at_a_deleted_category(anna: Account, connection: Any) -> None:
    for _ in range(4):
        category = anna.create_category()
        tasks = [anna.create_task(category_id=category["id"]) for _ in range(8)]
        for task in tasks:
            assert anna.delete(f"/v1/tasks/{task['id']}").status_code == 204
        *restorers, deleter = callers(anna, 9)
        calls = [
            partial(caller.post, f"/v1/tasks/{task['id']}/restore")
            for caller, task in zip(restorers, tasks, strict=True)
        ]
        calls.insert(4, partial(deleter.delete, f"/v1/categories/{category['id']}"))
        assert statuses(at_once(calls)) == {200: 8, 204: 1}
    with connection.cursor() as cursor:
        cursor.execute(
            "select count(*) from tasks t where user_id = %s and category_id is not null",
            (anna.user_id,),
        )
        assert cursor.fetchone() == (0,)
