"""Moving in: files of other apps become tasks, categories and labels of the account."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from werkzeug.test import TestResponse

from app.api.transfer.moving import conversion
from tests.assertions import refused
from tests.conftest import Account
from tests.walking import walk

TAKEOUT = "application/json"


def takeout(*tasks: dict[str, Any], title: str = "Garden") -> bytes:
    """A file of Google Tasks with one list."""
    named = [{"id": task.get("title", ""), "status": "needsAction", **task} for task in tasks]
    return json.dumps({"items": [{"id": "L1", "title": title, "items": named}]}).encode()


def move(account: Account, data: bytes, form: str = "google", **query: Any) -> TestResponse:
    """Import the file of another app."""
    types = {"google": TAKEOUT, "microsoft": TAKEOUT, "ics": "text/calendar"}
    return account.post(
        "/v1/import",
        query_string={"format": form, **query},
        data=data,
        content_type=types.get(form, "text/csv"),
        environ_overrides={"CONTENT_LENGTH": str(len(data))},
    )


def moved(account: Account, data: bytes, form: str = "google", **query: Any) -> dict[str, Any]:
    """The report of an import that is well."""
    answer = move(account, data, form, **query)
    assert answer.status_code == 200, answer.text
    report: dict[str, Any] = answer.json
    return report


def titles(account: Account) -> dict[str, Any]:
    """The tasks by their titles."""
    return {task["title"]: task for task in walk(account)}


def test_lists_become_categories_and_trees_stay(alice: Account) -> None:
    data = takeout(
        {"title": "Photo", "parent": "Renew pass", "status": "completed"},
        {"title": "Renew pass", "notes": "At the office", "due": "2026-03-16T00:00:00.000Z"},
    )
    report = moved(alice, data)
    assert {name: report[name] for name in ("created", "unchanged", "refused", "complete")} == {
        "created": 3,
        "unchanged": 0,
        "refused": 0,
        "complete": True,
    }
    found = titles(alice)
    [category] = walk(alice, "/v1/categories")
    assert category["name"] == "Garden"
    parent, child = found["Renew pass"], found["Photo"]
    assert (parent["description"], parent["due_date"]) == ("At the office", "2026-03-16")
    assert (child["parent_id"], child["complete"]) == (parent["id"], True)
    assert {parent["category_id"], child["category_id"]} == {category["id"]}


def test_a_file_sent_again_changes_nothing(alice: Account) -> None:
    data = takeout({"title": "a"}, {"title": "b", "parent": "a"})
    moved(alice, data)
    before = [*walk(alice), *walk(alice, "/v1/categories")]
    report = moved(alice, data)
    assert (report["created"], report["updated"]) == (0, 0)
    assert report["unchanged"] == 2
    assert [*walk(alice), *walk(alice, "/v1/categories")] == before


def test_what_was_changed_or_deleted_here_stays_so(alice: Account) -> None:
    data = takeout({"title": "a"}, {"title": "b"})
    moved(alice, data)
    found = titles(alice)
    alice.patch(f"/v1/tasks/{found['a']['id']}", json={"title": "mine"})
    alice.delete(f"/v1/tasks/{found['b']['id']}")
    [category] = walk(alice, "/v1/categories")
    alice.patch(f"/v1/categories/{category['id']}", json={"name": "Yard"})
    report = moved(alice, takeout({"title": "a"}, {"title": "b"}, {"title": "c"}))
    assert (report["created"], report["unchanged"]) == (1, 2)
    now = titles(alice)
    assert set(now) == {"mine", "c"}
    assert [each["name"] for each in walk(alice, "/v1/categories")] == ["Yard"]
    assert now["c"]["category_id"] == category["id"]


def test_a_category_of_the_same_name_is_used(alice: Account) -> None:
    mine = alice.create_category(name="GARDEN")
    report = moved(alice, takeout({"title": "a"}))
    assert report["created"] == 1
    assert titles(alice)["a"]["category_id"] == mine["id"]
    assert len(walk(alice, "/v1/categories")) == 1


def test_a_category_that_was_deleted_is_made_again(alice: Account) -> None:
    moved(alice, takeout({"title": "a"}))
    [category] = walk(alice, "/v1/categories")
    alice.delete(f"/v1/categories/{category['id']}")
    report = moved(alice, takeout({"title": "b"}))
    assert report["created"] == 2
    [again] = walk(alice, "/v1/categories")
    assert (again["name"], again["id"] != category["id"]) == ("Garden", True)


def test_users_do_not_share_what_they_move_in(alice: Account, bob: Account) -> None:
    data = takeout({"title": "a"})
    assert moved(alice, data)["created"] == moved(bob, data)["created"] == 2
    assert titles(alice)["a"]["user_id"] != titles(bob)["a"]["user_id"]


def test_a_dry_run_writes_nothing_and_reports_the_same(alice: Account) -> None:
    data = takeout({"title": "x" * 300}, {"title": "b", "due": "not a day"}, {"title": "c"})
    looked = moved(alice, data, dry_run="true")
    assert walk(alice) == walk(alice, "/v1/categories") == []
    assert looked == moved(alice, data)
    assert looked["created"] == 4
    assert looked["lossy"]


def test_the_order_of_the_file_is_the_order_of_the_tasks(alice: Account) -> None:
    names = [f"{n:03}" for n in range(450)]
    data = takeout(*({"title": name, "position": name} for name in reversed(names)))
    moved(alice, data)
    assert [task["title"] for task in walk(alice, sort="position", limit=200)] == names


def test_what_is_lost_is_told_with_its_place(alice: Account) -> None:
    report = moved(alice, takeout({"title": "a", "parent": "nobody"}))
    [loss] = report["lossy"]
    assert loss == {
        "line": loss["line"],
        "field": "parent",
        "detail": "The parent is not in the file.",
    }


@pytest.mark.parametrize(
    ("form", "data"),
    [
        ("google", b"[]"),
        ("google", b"{"),
        ("google", b""),
        ("microsoft", b"\x00"),
        ("ticktick", b"a,b\n1,2\n"),
        ("todoist", b"a,b\n1,2\n"),
        ("ics", b"BEGIN:VEVENT"),
    ],
)
def test_a_file_of_another_kind_is_refused(alice: Account, form: str, data: bytes) -> None:
    assert refused(move(alice, data, form), "format", parameter="format")


def test_each_format_has_its_media_types(alice: Account) -> None:
    answer = alice.post("/v1/import?format=google", data=b"{}", content_type="text/csv")
    assert answer.status_code == 415
    answer = alice.post("/v1/import?format=todoist", data=b"{}", content_type=TAKEOUT)
    assert answer.status_code == 415


@pytest.mark.parametrize("parameter", ["time_zone", "name"])
def test_our_own_export_takes_no_parameters_of_other_files(alice: Account, parameter: str) -> None:
    value = {"time_zone": "Europe/Oslo", "name": "x"}[parameter]
    answer = alice.post(
        f"/v1/import?{parameter}={value}", data=b"", content_type="application/jsonl"
    )
    assert refused(answer, "unfit", parameter=parameter)


def test_a_repeated_request_is_answered_alike_for_the_same_parameters_alone(
    alice: Account,
) -> None:
    data = takeout({"title": "a"})
    send: Callable[[str], Any] = lambda name: alice.post(  # noqa: E731
        f"/v1/import?format=google&name={name}",
        data=data,
        content_type=TAKEOUT,
        headers={"Idempotency-Key": "once"},
        environ_overrides={"CONTENT_LENGTH": str(len(data))},
    )
    first, second, other = send("a"), send("a"), send("b")
    assert first.json == second.json
    assert second.headers["Idempotency-Replayed"] == "true"
    assert other.status_code == 422


def test_a_newer_file_changes_what_nobody_has_touched_here(alice: Account) -> None:
    first = takeout({"id": "1", "title": "a"}, {"id": "2", "title": "b"}, {"id": "3", "title": "c"})
    moved(alice, first)
    found = titles(alice)
    alice.patch(f"/v1/tasks/{found['b']['id']}", json={"title": "mine"})
    alice.delete(f"/v1/tasks/{found['c']['id']}")
    newer = takeout(
        {"id": "1", "title": "A", "status": "completed"},
        {"id": "2", "title": "B"},
        {"id": "3", "title": "C"},
    )
    looked = moved(alice, newer, dry_run="true")
    report = moved(alice, newer)
    assert looked == report
    assert [report[name] for name in ("created", "updated", "unchanged")] == [0, 1, 2]
    assert len(report["lossy"]) == 2
    assert {title: task["complete"] for title, task in titles(alice).items()} == {
        "A": True,
        "mine": False,
    }
    again = moved(alice, newer)
    assert [again[name] for name in ("created", "updated", "unchanged")] == [0, 0, 3]
    moved(alice, first)
    assert set(titles(alice)) == {"a", "mine"}


def test_our_own_calendar_comes_back_as_it_was(alice: Account, bob: Account) -> None:
    """But for what a calendar cannot hold: ids, versions, and times of ours alone."""
    garden = alice.create_category(name="Garden")["id"]
    labels = [alice.create_label(name=name)["id"] for name in ("Soon", "Home, sweet")]
    parent = alice.create_task(
        title="Plant, water; wait",
        description="Two lines\nof text in C:\\New",
        category_id=garden,
        label_ids=labels,
        priority="high",
        due_at="2099-03-01T08:30:00Z",
        recurrence={
            "rule": "FREQ=WEEKLY;INTERVAL=2",
            "time_zone": "Europe/Oslo",
            "overflow": "backward",
            "after": "completion",
        },
        reminders=[{"before": "PT15M"}, {"at": "2099-02-01T08:00:00Z"}],
    )
    child = alice.create_task(title="Buy seed", parent_id=parent["id"], due_date="2099-02-01")
    alice.create_task(title="Ask Ada", parent_id=child["id"], category_id=None)
    done = alice.create_task(title="Done", priority="low", category_id=garden)
    alice.patch(f"/v1/tasks/{done['id']}", json={"complete": True})
    alice.post(f"/v1/tasks/{done['id']}/move", json={"before": parent["id"]})

    report = moved(bob, alice.get("/v1/export?format=ics").data, "ics")

    assert (report["refused"], report["created"]) == (0, 4 + 1 + 2)
    assert seen(bob) == seen(alice)
    again = moved(bob, alice.get("/v1/export?format=ics").data, "ics")
    assert (again["created"], again["updated"]) == (0, 0)


def seen(account: Account) -> list[dict[str, Any]]:
    """The tasks in their order within each category, in terms that do not depend on ids."""
    tasks = walk(account, sort="position")
    names = {each["id"]: each["name"] for each in walk(account, "/v1/categories")}
    names |= {each["id"]: each["name"] for each in walk(account, "/v1/labels")}
    names |= {task["id"]: task["title"] for task in tasks}
    same = ("title", "description", "complete", "priority", "due_date", "due_at")
    found = [
        {
            **{name: task[name] for name in same},
            "completed_at": (task["completed_at"] or "")[:19],  # to the second (RFC 5545)
            "category": names.get(task["category_id"]),
            "parent": names.get(task["parent_id"]),
            "labels": sorted(names[each] for each in task["label_ids"]),
            "recurrence": task["recurrence"],
            "reminders": sorted(map(str, task["reminders"])),
        }
        for task in tasks
    ]
    return sorted(found, key=lambda task: task["category"] or "")


def test_a_file_that_takes_too_long_to_read_is_refused(
    alice: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conversion, "LONGEST_SECONDS", -1.0)
    answer = move(alice, takeout({"title": "a"}))
    assert refused(answer, "format", parameter="format")
    detail = "cannot be used: It takes too long to be read. Send it in parts."
    assert answer.json["errors"][0]["detail"] == detail
    assert walk(alice) == []


def test_a_file_of_too_many_tasks_is_refused(
    alice: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conversion, "MOST_TASKS", 2)
    answer = move(alice, takeout(*({"title": str(n)} for n in range(3))))
    assert refused(answer, "format", parameter="format")
    detail = "cannot be used: The file has more than 2 tasks."
    assert answer.json["errors"][0]["detail"] == detail
    assert walk(alice) == []
