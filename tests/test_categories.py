"""Categories: names that are taken once, and tasks that outlive them."""

from typing import Any

import pytest

from app.core.ids import new_id
from tests.assertions import refused
from tests.conftest import Account
from tests.walking import ids, page, walk


def path(category: dict[str, Any]) -> str:
    return f"/v1/categories/{category['id']}"


def test_a_new_category_has_every_field(alice: Account) -> None:
    response = alice.post("/v1/categories", json={"name": "Home"})
    category = response.json
    assert response.status_code == 201
    assert response.headers["Location"] == path(category)
    assert category == {
        "id": category["id"],
        "user_id": alice.user_id,
        "name": "Home",
        "color": None,
        "version": 1,
        "created_at": category["created_at"],
        "updated_at": category["created_at"],
    }
    assert alice.get(path(category)).json == category


def test_a_colour_is_kept_in_lower_case(alice: Account) -> None:
    assert alice.create_category(color="#A0b1C2")["color"] == "#a0b1c2"


def test_names_are_trimmed(alice: Account) -> None:
    category = alice.create_category(name="\u3000 Home\n")
    assert category["name"] == "Home"
    assert alice.patch(path(category), json={"name": " Work "}).json["name"] == "Work"


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("name", "", "string_blank"),
        ("name", "x" * 101, "string_too_long"),
        ("name", None, "string_type"),
        ("color", "red", "color"),
        ("color", "#1234567", "color"),
        ("color", 0, "string_type"),
        ("id", "0198c0de-0000-7000-8000-000000000000", "extra_forbidden"),
        ("user_id", "0198c0de-0000-7000-8000-000000000000", "extra_forbidden"),
        ("version", 1, "extra_forbidden"),
    ],
)
def test_a_value_that_is_not_allowed_is_refused_by_every_write_and_changes_nothing(
    alice: Account, field: str, value: object, code: str
) -> None:
    category = alice.create_category()
    body = {"name": "Home", field: value}
    assert refused(alice.post("/v1/categories", json=body), code, pointer=f"/{field}")
    assert refused(alice.put(path(category), json=body), code, pointer=f"/{field}")
    assert refused(alice.patch(path(category), json={field: value}), code, pointer=f"/{field}")
    assert walk(alice, "/v1/categories") == [category]


@pytest.mark.parametrize("content_type", ["application/json", "application/merge-patch+json"])
def test_a_merge_patch_changes_what_it_names_and_clears_what_is_null(
    alice: Account, content_type: str
) -> None:
    category = alice.create_category(name="Home", color="#00ff00")
    renamed = alice.patch(path(category), data='{"name": "Work"}', content_type=content_type).json
    assert (renamed["name"], renamed["color"]) == ("Work", "#00ff00")
    cleared = alice.patch(path(category), data='{"color": null}', content_type=content_type).json
    assert (cleared["name"], cleared["color"]) == ("Work", None)
    assert cleared["version"] == category["version"] + 2
    assert cleared["updated_at"] > renamed["updated_at"] > cleared["created_at"]


@pytest.mark.parametrize(
    ("method", "body"),
    [("PATCH", {}), ("PATCH", {"color": "#00FF00"}), ("PUT", {"name": "Home", "color": "#00ff00"})],
)
def test_a_write_that_changes_nothing_keeps_version_and_times(
    alice: Account, method: str, body: dict[str, Any]
) -> None:
    category = alice.create_category(name="Home", color="#00ff00")
    response = alice.call(method, path(category), json=body)
    assert (response.status_code, response.json) == (200, category)


def test_a_category_may_change_the_letter_case_of_its_own_name(alice: Account) -> None:
    category = alice.create_category(name="home")
    assert alice.patch(path(category), json={"name": "Home"}).json["name"] == "Home"


@pytest.mark.parametrize(
    ("taken", "wanted"),
    [
        ("Home", "Home"),
        ("Home", "hOME"),
        ("Home", "  home "),
        ("Haushalt für Übermorgen", "HAUSHALT FÜR ÜBERMORGEN"),
        ("ДОМ", "дом"),
    ],
)
def test_a_name_is_taken_in_any_letter_case_and_by_every_write(
    alice: Account, bob: Account, taken: str, wanted: str
) -> None:
    first, other = alice.create_category(name=taken), alice.create_category(name="Work")
    for method, target in (
        ("POST", "/v1/categories"),
        ("PUT", f"/v1/categories/{new_id()}"),
        ("PUT", path(other)),
        ("PATCH", path(other)),
    ):
        response = alice.call(method, target, json={"name": wanted})
        assert (response.status_code, response.json["type"]) == (409, "/problems/conflict")
    assert walk(alice, "/v1/categories") == [first, other]
    assert bob.create_category(name=wanted)["version"] == 1


def test_a_name_is_free_again_when_its_category_is_deleted(alice: Account) -> None:
    deleted = alice.create_category(name="Home")
    assert alice.delete(path(deleted)).status_code == 204
    assert alice.create_category(name="HOME")["id"] != deleted["id"]
    assert alice.put(path(deleted), json={"name": "home"}).status_code == 409


def test_put_creates_replaces_and_creates_anew_after_deletion(alice: Account) -> None:
    target = f"/v1/categories/{new_id()}"
    created = alice.put(target, json={"name": "Home", "color": "#00ff00"})
    replaced = alice.put(target, json={"name": "Work"})
    assert (created.status_code, replaced.status_code) == (201, 200)
    assert replaced.json["color"] is None
    assert replaced.json["created_at"] == created.json["created_at"]
    assert alice.delete(target).status_code == 204
    anew = alice.put(target, json={"name": "Work"})
    assert anew.status_code == 201
    assert anew.json["created_at"] > replaced.json["updated_at"]
    assert anew.json["version"] == replaced.json["version"] + 2


def test_a_deleted_category_is_gone_and_its_tasks_stay_uncategorised(
    alice: Account, bob: Account
) -> None:
    category, kept = alice.create_category(), alice.create_category()
    tasks = [alice.create_task(category_id=category["id"]) for _ in range(3)]
    others = [alice.create_task(category_id=kept["id"]), alice.create_task()]
    strangers = bob.create_task()
    highest = others[-1]["version"]

    response = alice.delete(path(category))

    assert (response.status_code, response.data) == (204, b"")
    assert alice.get(path(category)).status_code == 404
    after = {task["id"]: task for task in walk(alice)}
    for task in tasks:
        left = after[task["id"]]
        changed = {name: left[name] for name in ("category_id", "version", "updated_at")}
        assert left == task | changed
        assert left["category_id"] is None
        assert left["updated_at"] > task["updated_at"]
    versions = sorted(after[task["id"]]["version"] for task in tasks)
    assert versions == [highest + 1, highest + 2, highest + 3]
    assert [after[task["id"]] for task in others] == others
    assert walk(bob) == [strangers]
    assert alice.create_task()["version"] == highest + 5


def test_a_category_that_comes_back_does_not_get_its_tasks_back(alice: Account) -> None:
    category = alice.create_category()
    task = alice.create_task(category_id=category["id"])
    alice.delete(path(category))
    assert alice.put(path(category), json={"name": "Home"}).status_code == 201
    assert alice.get(f"/v1/tasks/{task['id']}").json["category_id"] is None


def test_a_task_deleted_before_its_category_may_be_created_anew(alice: Account) -> None:
    category = alice.create_category()
    target = f"/v1/tasks/{alice.create_task(category_id=category['id'])['id']}"
    alice.delete(target)
    assert alice.delete(path(category)).status_code == 204
    assert alice.put(target, json={"title": "Buy milk"}).status_code == 201


@pytest.mark.parametrize("limit", [1, 2, 3, 6, 200])
def test_the_listing_is_oldest_first_and_whole_at_every_limit(
    alice: Account, bob: Account, limit: int
) -> None:
    created = [alice.create_category() for _ in range(6)]
    bob.create_category()
    assert walk(alice, "/v1/categories", limit=limit) == created


def test_categories_made_at_one_instant_are_listed_once_each(
    alice: Account, connection: Any
) -> None:
    created = ids([alice.create_category() for _ in range(7)])
    with connection.cursor() as cursor:
        cursor.execute(
            "update categories set created_at = '2026-01-01' where user_id = %s", (alice.user_id,)
        )
    assert ids(walk(alice, "/v1/categories", limit=2)) == sorted(created)


def test_a_cursor_of_tasks_is_none_of_categories(alice: Account) -> None:
    for _ in range(2):
        alice.create_task()
        alice.create_category()
    for mine, other in (("tasks", "categories"), ("categories", "tasks")):
        cursor = page(alice, f"/v1/{mine}", limit=1)["next_cursor"]
        response = alice.get(f"/v1/{other}?cursor={cursor}")
        assert refused(response, "cursor", parameter="cursor")
