"""Tasks, one at a time: what is written is read, and what is not allowed leaves no trace."""

import re
from collections.abc import Callable
from typing import Any

import pytest

from app.core.ids import new_id
from tests.assertions import refused
from tests.conftest import Account
from tests.walking import ids, walk

TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?Z")
NOW = "2026-05-04T03:02:01.123456Z"

DEFAULTS = {
    "description": None,
    "complete": False,
    "completed_at": None,
    "priority": "none",
    "due_date": None,
    "due_at": None,
    "category_id": None,
    "label_ids": [],
    "parent_id": None,
    "recurrence": None,
    "occurrence": None,
    "series_id": None,
    "reminders": [],
    "snoozed_until": None,
    "remind_at": None,
}
GIVEN = {"id", "user_id", "title", "position", "version", "created_at", "updated_at"}
FULL = {
    "title": "Water the plants",
    "description": "  All of them.\nTwice. ",
    "priority": "high",
    "due_date": "2026-12-31",
}


def path(task: dict[str, Any]) -> str:
    return f"/v1/tasks/{task['id']}"


def test_a_new_task_has_every_field_and_its_defaults(alice: Account) -> None:
    response = alice.post("/v1/tasks", json={"title": "Buy milk"})
    task = response.json
    assert response.status_code == 201
    assert set(task) == DEFAULTS.keys() | GIVEN
    assert task | DEFAULTS | {"title": "Buy milk", "user_id": alice.user_id} == task
    assert task["created_at"] == task["updated_at"]
    assert TIMESTAMP.fullmatch(task["created_at"])


def test_what_is_created_is_what_is_read(alice: Account) -> None:
    category_id = alice.create_category()["id"]
    response = alice.post("/v1/tasks", json={**FULL, "category_id": category_id})
    assert response.json | FULL | {"category_id": category_id} == response.json
    assert alice.get(response.headers["Location"]).json == response.json
    assert walk(alice) == [response.json]


def test_the_location_of_a_new_task_is_its_path(alice: Account) -> None:
    response = alice.post("/v1/tasks", json={"title": "Buy milk"})
    assert response.headers["Location"] == path(response.json)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("title", "x" * 200),
        ("title", "\U0001f95b" * 200),
        ("title", "x\u0301 \u202e ٣ \\ % _ ' \" --"),
        ("description", ""),
        ("description", "x" * 5000),
        ("description", "\t \r\n"),
        ("complete", True),
        ("priority", "none"),
        ("priority", "low"),
        ("priority", "medium"),
        ("priority", "high"),
        ("due_date", "0001-01-01"),
        ("due_date", "9999-12-31"),
        ("due_date", "2028-02-29"),
        ("due_at", "0001-01-01T00:00:00Z"),
        ("due_at", "9999-12-31T23:59:59.999999Z"),
    ],
)
def test_every_value_that_is_allowed_comes_back_as_it_was_sent(
    alice: Account, field: str, value: object
) -> None:
    created = alice.create_task(**{field: value})
    changed = alice.create_task()
    assert alice.patch(path(changed), json={field: value}).json[field] == value
    assert created[field] == value
    assert alice.get(path(created)).json == created


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        ("2026-06-01T12:00:00+02:00", "2026-06-01T10:00:00Z"),
        ("2026-06-01t12:00:00.5z", "2026-06-01T12:00:00.500000Z"),
        ("2026-01-01T00:30:00+05:30", "2025-12-31T19:00:00Z"),
    ],
)
def test_an_instant_is_kept_in_utc(alice: Account, sent: str, stored: str) -> None:
    assert alice.create_task(due_at=sent)["due_at"] == stored


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        ("2026-06-01T12:00:00.1234567Z", "2026-06-01T12:00:00.123456Z"),
        ("2026-06-01T12:00:00.9999999Z", "2026-06-01T12:00:00.999999Z"),
        ("2026-06-01T12:00:00.000000999+02:00", "2026-06-01T10:00:00Z"),
        ("9999-12-31T23:59:59.999999999Z", "9999-12-31T23:59:59.999999Z"),
        ("0001-01-01T00:00:00.0000001Z", "0001-01-01T00:00:00Z"),
        (f"2026-06-01T12:00:00.{'9' * 30}-00:30", "2026-06-01T12:30:00.999999Z"),
    ],
)
def test_digits_beyond_microseconds_are_cut_off_and_never_round_up(
    alice: Account, sent: str, stored: str
) -> None:
    created = alice.create_task(due_at=sent)
    changed = alice.create_task()
    body = {"title": "Buy milk", "due_at": sent}
    operation = {"op": "replace", "type": "task", "id": new_id(), "body": body}
    (result,) = alice.post("/v1/batch", json={"operations": [operation]}).json["results"]
    for task in (
        created,
        alice.patch(path(changed), json={"due_at": sent}).json,
        alice.put(f"/v1/tasks/{new_id()}", json=body).json,
        result["body"],
    ):
        assert task["due_at"] == stored
    # What it means is the same in a filter: nothing is due before itself.
    found = walk(alice, due_after=sent) + walk(alice, due_before=sent)
    assert created["id"] not in ids(found)


@pytest.mark.parametrize("space", [" ", "\t", "\n", "\u00a0", "\u2003", "\u3000", "\x1f", "\x85"])
def test_titles_are_trimmed(alice: Account, space: str) -> None:
    task = alice.create_task(title=f"{space}Buy{space}milk{space}")
    assert task["title"] == f"Buy{space}milk"
    assert alice.patch(path(task), json={"title": f"{space}Bread{space}"}).json["title"] == "Bread"


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("title", "", "string_blank"),
        ("title", "x" * 201, "string_too_long"),
        ("title", "a\0b", "string_blank"),
        ("title", None, "string_type"),
        ("description", "x" * 5001, "string_too_long"),
        ("description", "\0", "string_null"),
        ("description", 1.5, "string_type"),
        ("complete", "true", "bool_type"),
        ("complete", None, "bool_type"),
        ("priority", "urgent", "literal_error"),
        ("priority", None, "literal_error"),
        ("due_date", "2026-02-30", "date"),
        ("due_date", 20260101, "string_type"),
        ("due_at", "2026-02-30T00:00:00Z", "timestamp"),
        ("due_at", "2026-02-03T00:00:00", "timestamp"),
        ("category_id", "none", "uuid"),
        ("category_id", 7, "string_type"),
        ("id", "0198c0de-0000-7000-8000-000000000000", "extra_forbidden"),
        ("user_id", "0198c0de-0000-7000-8000-000000000000", "extra_forbidden"),
        ("version", 1, "extra_forbidden"),
        ("completed_at", NOW, "extra_forbidden"),
        ("created_at", NOW, "extra_forbidden"),
        ("deleted_at", NOW, "extra_forbidden"),
    ],
)
def test_a_value_that_is_not_allowed_is_refused_by_every_write_and_changes_nothing(
    alice: Account, field: str, value: object, code: str
) -> None:
    task = alice.create_task(**FULL)
    body = {"title": "Buy milk", field: value}
    assert refused(alice.post("/v1/tasks", json=body), code, pointer=f"/{field}")
    assert refused(alice.put(path(task), json=body), code, pointer=f"/{field}")
    assert refused(alice.patch(path(task), json={field: value}), code, pointer=f"/{field}")
    assert walk(alice) == [task]


def test_a_task_needs_a_title(alice: Account) -> None:
    assert refused(alice.post("/v1/tasks", json={}), "missing", pointer="/title")
    assert refused(alice.put(f"/v1/tasks/{new_id()}", json={}), "missing", pointer="/title")


def test_every_reason_is_told_at_once(alice: Account) -> None:
    response = alice.post("/v1/tasks", json={"title": "", "complete": 1, "extra": None})
    pointers = {error["pointer"] for error in response.json["errors"]}
    assert pointers == {"/title", "/complete", "/extra"}


# PATCH


@pytest.mark.parametrize("content_type", ["application/json", "application/merge-patch+json"])
def test_a_merge_patch_changes_what_it_names_and_clears_what_is_null(
    alice: Account, content_type: str
) -> None:
    task = alice.create_task(**FULL)
    patch = '{"title": "Feed the cat", "due_date": null}'
    changed = alice.patch(path(task), data=patch, content_type=content_type).json
    different = {"title": "Feed the cat", "due_date": None}
    different |= {"version": task["version"] + 1, "updated_at": changed["updated_at"]}
    assert changed == task | different
    assert changed["updated_at"] > task["updated_at"]
    assert alice.get(path(task)).json == changed


@pytest.mark.parametrize("field", ["description", "due_date", "due_at", "category_id"])
def test_null_clears_every_field_that_may_be_absent(alice: Account, field: str) -> None:
    category_id = alice.create_category()["id"]
    values = {"description": "x", "due_date": "2026-01-01", "due_at": NOW}
    task = alice.create_task(**{field: values.get(field, category_id)})
    assert alice.patch(path(task), json={field: None}).json[field] is None


def test_completing_sets_the_time_and_reopening_clears_it(alice: Account) -> None:
    task = alice.create_task()
    done = alice.patch(path(task), json={"complete": True}).json
    assert (done["complete"], done["completed_at"]) == (True, done["updated_at"])
    reopened = alice.patch(path(task), json={"complete": False}).json
    assert (reopened["complete"], reopened["completed_at"]) == (False, None)


def test_a_task_created_complete_was_completed_then(alice: Account) -> None:
    task = alice.create_task(complete=True)
    assert task["completed_at"] == task["created_at"]


@pytest.mark.parametrize("method", ["PATCH", "PUT"])
def test_a_complete_task_keeps_the_time_of_its_completion(alice: Account, method: str) -> None:
    task = alice.create_task(complete=True)
    changed = alice.call(method, path(task), json={"title": "Buy bread", "complete": True}).json
    assert changed["completed_at"] == task["completed_at"] < changed["updated_at"]


def test_a_replaced_task_is_open_again_unless_the_request_says_complete(alice: Account) -> None:
    task = alice.create_task(complete=True)
    assert alice.put(path(task), json={"title": "Buy milk"}).json["completed_at"] is None


@pytest.mark.parametrize(
    ("method", "body"),
    [
        ("PATCH", {}),
        ("PATCH", {"title": "Water the plants"}),
        ("PATCH", {"title": " Water the plants ", "complete": True}),
        ("PATCH", {"due_at": None, "due_date": "2026-12-31"}),
        ("PUT", {**FULL, "complete": True}),
        ("PUT", {**FULL, "complete": True, "title": "\tWater the plants"}),
    ],
)
def test_a_write_that_changes_nothing_keeps_version_and_times(
    alice: Account, method: str, body: dict[str, Any]
) -> None:
    task = alice.create_task(**FULL, complete=True)
    response = alice.call(method, path(task), json=body)
    assert (response.status_code, response.json) == (200, task)
    assert alice.create_task()["version"] == task["version"] + 1


# Due


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
def test_no_request_may_set_both_dates(alice: Account, method: str) -> None:
    task = alice.create_task()
    target = "/v1/tasks" if method == "POST" else path(task)
    body = {"title": "Buy milk", "due_date": "2026-01-01", "due_at": NOW}
    assert refused(alice.call(method, target, json=body), "due_once", pointer="/due_at")


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"due_date": "2026-01-01"}, {"due_at": NOW}),
        ({"due_at": NOW}, {"due_date": "2026-01-01"}),
    ],
)
def test_a_patch_may_not_add_the_second_date_but_may_swap_them(
    alice: Account, first: dict[str, str], second: dict[str, str]
) -> None:
    task = alice.create_task(**first)
    assert refused(alice.patch(path(task), json=second), "due_once", pointer="/due_at")
    assert alice.get(path(task)).json == task
    swapped = alice.patch(path(task), json={**second, **dict.fromkeys(first)})
    assert swapped.status_code == 200
    assert swapped.json | second | dict.fromkeys(first) == swapped.json


# Categories


@pytest.fixture
def categories(alice: Account, bob: Account) -> Callable[[str], str]:
    """Ids of categories that Alice may not name."""

    def make(kind: str) -> str:
        if kind == "missing":
            return new_id()
        owner = bob if kind == "another's" else alice
        category = owner.create_category()
        if kind == "deleted":
            assert owner.delete(f"/v1/categories/{category['id']}").status_code == 204
        return category["id"]

    return make


@pytest.mark.parametrize("kind", ["missing", "another's", "deleted"])
def test_a_task_may_only_be_put_into_ones_own_live_category(
    alice: Account, categories: Callable[[str], str], kind: str
) -> None:
    category_id = categories(kind)
    task = alice.create_task()
    body = {"title": "Buy bread", "category_id": category_id}
    requests = [("POST", "/v1/tasks"), ("PUT", path(task)), ("PATCH", path(task))]
    requests.append(("PUT", f"/v1/tasks/{new_id()}"))
    for method, target in requests:
        response = alice.call(method, target, json=body)
        assert refused(response, "unknown_reference", pointer="/category_id")
    assert walk(alice) == [task]


def test_a_category_may_be_named_in_capitals(alice: Account) -> None:
    category_id = alice.create_category()["id"]
    assert alice.create_task(category_id=category_id.upper())["category_id"] == category_id


# PUT and DELETE


def test_put_creates_under_the_clients_id_and_then_replaces(alice: Account) -> None:
    task_id = "5F0C1EDE-1111-4111-8111-AAAAAAAAAAAA"
    created = alice.put(f"/v1/tasks/{task_id}", json=FULL)
    assert (created.status_code, created.json["id"]) == (201, task_id.lower())
    replaced = alice.put(f"/v1/tasks/{task_id.lower()}", json={"title": "Feed the cat"})
    assert replaced.status_code == 200
    assert replaced.json | DEFAULTS | {"title": "Feed the cat"} == replaced.json
    assert replaced.json["created_at"] == created.json["created_at"] < replaced.json["updated_at"]
    assert walk(alice) == [replaced.json]


def test_two_users_may_use_one_id(alice: Account, bob: Account) -> None:
    target = f"/v1/tasks/{new_id()}"
    for account, title in ((alice, "Buy milk"), (bob, "Buy bread")):
        assert account.put(target, json={"title": title}).status_code == 201
    assert alice.get(target).json["title"] == "Buy milk"


def test_put_on_a_deleted_id_creates_anew(alice: Account) -> None:
    deleted = alice.create_task(**FULL, complete=True)
    assert alice.delete(path(deleted)).status_code == 204
    body = {"title": "Buy milk", "complete": True}
    created = alice.put(path(deleted), json=body, headers={"If-None-Match": "*"})
    task = created.json
    assert created.status_code == 201
    assert task["version"] == deleted["version"] + 2
    assert deleted["created_at"] < task["created_at"] == task["completed_at"] == task["updated_at"]
    assert task["description"] is None
    assert alice.get(path(deleted)).json == task


def test_a_deleted_task_is_gone_from_everywhere(alice: Account) -> None:
    task, other = alice.create_task(), alice.create_task()
    response = alice.delete(path(task))
    assert (response.status_code, response.data) == (204, b"")
    for method in ("GET", "PATCH", "DELETE"):
        options = {"json": {"title": "x"}} if method == "PATCH" else {}
        assert alice.call(method, path(task), **options).status_code == 404
    assert ids(walk(alice)) == [other["id"]]


def test_versions_of_a_user_count_up_over_all_that_is_written(alice: Account) -> None:
    category = alice.create_category()
    first, second = alice.create_task(), alice.create_task(category_id=category["id"])
    changed = alice.patch(path(first), json={"complete": True}).json
    account = alice.patch("/v1/me", json={"name": "Alice"}).json
    renamed = alice.patch(f"/v1/categories/{category['id']}", json={"name": "Home"}).json
    put = alice.put(f"/v1/tasks/{new_id()}", json={"title": "Buy milk"}).json
    versions = [row["version"] for row in (category, first, second, changed, account, renamed, put)]
    assert versions == list(range(1, 8))


def test_a_refused_write_costs_no_version(alice: Account) -> None:
    task = alice.create_task()
    alice.post("/v1/tasks", json={"title": "x", "category_id": new_id()})
    alice.patch(path(task), json={"title": "x"}, headers={"If-Match": '"0"'})
    alice.delete(f"/v1/tasks/{new_id()}")
    assert alice.create_task()["version"] == task["version"] + 1
