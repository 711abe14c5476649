"""Tasks that repeat: each occurrence is completed once, at its local time, and leaves a copy."""

from typing import Any
from uuid import UUID, uuid5

import pytest

from app.core.ids import new_id
from tests.assertions import refused
from tests.conftest import Account
from tests.lines import counts, exported, imported, parsed, send
from tests.parallel import at_once, callers
from tests.walking import ids, walk

MONTHLY = {"rule": "FREQ=MONTHLY;BYMONTHDAY=31", "time_zone": "Europe/Berlin"}


def path(task: dict[str, Any], action: str = "") -> str:
    return f"/v1/tasks/{task['id']}" + (f"/{action}" if action else "")


def repeating(account: Account, due: str, rule: str, **more: Any) -> dict[str, Any]:
    """A task that is due then, in the far future, so that none is missed."""
    name = "due_at" if "T" in due else "due_date"
    recurrence = {"rule": rule, "time_zone": "Europe/Berlin", **more}
    return account.create_task(title="x", **{name: due}, recurrence=recurrence)


def completed(account: Account, task: dict[str, Any], **body: Any) -> Any:
    response = account.post(path(task, "complete"), json=body)
    assert response.status_code == 200, response.text
    return response.json


def test_what_is_left_out_of_a_recurrence_has_its_default(alice: Account) -> None:
    alice.patch("/v1/me", json={"time_zone": "Europe/Berlin"})
    made = alice.create_task(due_date="2099-01-31", recurrence={"rule": "freq=monthly"})
    assert made["recurrence"] == {
        "rule": "FREQ=MONTHLY",
        "start": "2099-01-31",
        "time_zone": "Europe/Berlin",
        "overflow": "skip",
        "after": "schedule",
    }
    assert (made["occurrence"], made["series_id"]) == ("2099-01-31", None)
    at = alice.create_task(due_at="2099-07-01T07:00:00Z", recurrence={"rule": "FREQ=DAILY"})
    assert at["recurrence"]["start"] == at["occurrence"] == "2099-07-01T09:00:00"
    same = alice.patch(path(at), json={"recurrence": {"rule": "FREQ=DAILY"}})
    assert same.json == at
    assert (
        alice.put(
            path(at),
            json={
                "title": at["title"],
                "due_at": at["due_at"],
                "recurrence": at["recurrence"],
                "priority": at["priority"],
                "description": at["description"],
            },
        ).json
        == at
    )


def test_the_thirty_first_stays_the_thirty_first(alice: Account) -> None:
    task = repeating(alice, "2099-01-31", "FREQ=MONTHLY;BYMONTHDAY=31", overflow="backward")
    days = [completed(alice, task)["task"]["due_date"] for _ in range(4)]
    assert days == ["2099-02-28", "2099-03-31", "2099-04-30", "2099-05-31"]


def test_completing_leaves_a_copy_of_the_occurrence(alice: Account) -> None:
    label = alice.create_label()["id"]
    task = alice.create_task(
        title="x", due_date="2099-01-31", recurrence=MONTHLY, label_ids=[label], priority="high"
    )
    both = completed(alice, task)
    copy = both["completed"]
    assert copy == {
        **task,
        "id": str(uuid5(UUID(task["id"]), "2099-01-31")),
        "complete": True,
        "completed_at": copy["completed_at"],
        "recurrence": None,
        "occurrence": None,
        "series_id": task["id"],
        "version": copy["version"],
        "created_at": copy["created_at"],
        "updated_at": copy["updated_at"],
    }
    assert both["task"]["due_date"] == both["task"]["occurrence"] == "2099-03-31"
    assert (both["task"]["complete"], both["task"]["version"]) == (False, copy["version"] + 1)
    assert alice.get(path(copy)).json == copy
    assert alice.get(f"/v1/tasks?label_id={label}&complete=true").json["items"] == [copy]


def test_nine_o_clock_stays_nine_across_changes_of_clocks(alice: Account) -> None:
    task = repeating(alice, "2099-03-28T08:00:00Z", "FREQ=DAILY")
    assert completed(alice, task)["task"]["due_at"] == "2099-03-29T07:00:00Z"
    task = repeating(alice, "2099-10-24T07:00:00Z", "FREQ=DAILY")
    assert completed(alice, task)["task"]["due_at"] == "2099-10-25T08:00:00Z"


def test_an_occurrence_is_completed_once_however_often_it_is_sent(alice: Account) -> None:
    task = repeating(alice, "2099-01-01", "FREQ=DAILY")
    first = completed(alice, task, occurrence="2099-01-01")
    assert completed(alice, task, occurrence="2099-01-01") == first
    second = completed(alice, task, occurrence="2099-01-02")
    assert completed(alice, task, occurrence="2099-01-01")["completed"] == first["completed"]
    stale = alice.post(path(task, "complete"), json={"occurrence": "2099-02-01"})
    assert (stale.status_code, stale.json["type"]) == (409, "/problems/stale-occurrence")
    assert stale.json["current"] == second["task"]
    assert len(walk(alice)) == 3


def test_fifty_at_once_make_one_step_and_one_copy(alice: Account) -> None:
    task = repeating(alice, "2099-01-01", "FREQ=DAILY")
    answers = at_once(
        [
            lambda caller=caller: caller.post(
                path(task, "complete"), json={"occurrence": "2099-01-01"}
            )
            for caller in callers(alice, 50)
        ]
    )
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.text for answer in answers}) == 1
    assert len(walk(alice)) == 2


def test_a_key_makes_one_step(alice: Account) -> None:
    task = repeating(alice, "2099-01-01", "FREQ=DAILY")
    key = {"Idempotency-Key": "once"}
    first = alice.post(path(task, "complete"), json={}, headers=key)
    again = alice.post(path(task, "complete"), json={}, headers=key)
    assert (again.json, again.headers["Idempotency-Replayed"]) == (first.json, "true")
    assert alice.get(path(task)).json["due_date"] == "2099-01-02"


def test_after_the_last_occurrence_the_task_is_completed(alice: Account) -> None:
    task = repeating(alice, "2099-01-01", "FREQ=DAILY;COUNT=2")
    assert completed(alice, task)["completed"]
    last = completed(alice, task, occurrence="2099-01-02")
    assert (last["task"]["complete"], last["completed"]) == (True, None)
    assert completed(alice, task, occurrence="2099-01-02") == last
    assert len(walk(alice)) == 2


def test_missed_occurrences_are_skipped_or_kept(alice: Account) -> None:
    for missed, later in (("keep", False), ("skip", True)):
        task = repeating(alice, "2020-01-01", "FREQ=DAILY")
        due = completed(alice, task, missed=missed)["task"]["due_date"]
        assert (due > "2020-01-02") == later
    ended = repeating(alice, "2020-01-01", "FREQ=DAILY;COUNT=3")
    assert completed(alice, ended)["task"]["complete"] is True


def test_skipping_leaves_no_copy(alice: Account) -> None:
    task = repeating(alice, "2099-01-01", "FREQ=DAILY;COUNT=2")
    skipped = alice.post(path(task, "skip"), json={"occurrence": "2099-01-01"})
    assert (skipped.json["task"]["due_date"], skipped.json["completed"]) == ("2099-01-02", None)
    stale = alice.post(path(task, "skip"), json={"occurrence": "2099-01-01"})
    assert (stale.status_code, stale.json["current"]) == (409, skipped.json["task"])
    assert alice.post(path(task, "skip"), json={}).json["task"]["complete"] is True
    assert len(walk(alice)) == 1
    plain = alice.create_task()
    assert alice.post(path(plain, "skip"), json={}).status_code == 409


def test_what_was_completed_cannot_be_skipped(alice: Account) -> None:
    task = repeating(alice, "2099-01-01", "FREQ=DAILY")
    after = completed(alice, task)["task"]
    for headers in ({}, {"Idempotency-Key": "once"}):
        stale = alice.post(path(task, "skip"), json={"occurrence": "2099-01-01"}, headers=headers)
        assert (stale.status_code, stale.json["type"]) == (409, "/problems/stale-occurrence")
        assert stale.json["current"] == after


def test_counted_from_completion_the_next_is_behind_today(alice: Account) -> None:
    task = repeating(alice, "2020-01-01", "FREQ=WEEKLY;INTERVAL=2", after="completion")
    after = completed(alice, task)
    done = after["completed"]["completed_at"][:10]
    assert after["task"]["due_date"] > done


def test_a_patch_lets_a_task_go_on_only_with_its_etag(alice: Account) -> None:
    task = repeating(alice, "2099-01-01", "FREQ=DAILY")
    bare = alice.patch(path(task), json={"complete": True})
    assert (bare.status_code, bare.json["type"]) == (428, "/problems/precondition-required")
    match = {"If-Match": f'"{task["version"]}"'}
    after = alice.patch(path(task), json={"complete": True, "title": "y"}, headers=match)
    assert after.status_code == 200, after.text
    assert (after.json["due_date"], after.json["title"]) == ("2099-01-02", "y")
    assert alice.patch(path(task), json={"complete": True}, headers=match).status_code == 412
    copy = next(each for each in walk(alice) if each["complete"])
    assert (copy["title"], copy["due_date"]) == ("y", "2099-01-01")
    ended = alice.patch(path(task), json={"complete": True, "recurrence": None}).json
    assert (ended["complete"], ended["occurrence"]) == (True, None)
    plain = alice.create_task()
    assert alice.patch(path(plain), json={"complete": True}).json["complete"] is True


def test_a_moved_due_time_is_of_this_occurrence_alone(alice: Account) -> None:
    task = repeating(alice, "2099-01-01", "FREQ=WEEKLY")
    moved = alice.patch(path(task), json={"due_date": "2099-01-03"}).json
    assert (moved["due_date"], moved["occurrence"]) == ("2099-01-03", "2099-01-01")
    assert completed(alice, task)["task"]["due_date"] == "2099-01-08"


def test_in_another_time_zone_a_task_stays_at_its_occurrence(alice: Account) -> None:
    task = repeating(alice, "2099-07-01T07:00:00Z", "FREQ=DAILY")
    first = completed(alice, task)
    recurrence = {**task["recurrence"], "time_zone": "America/New_York"}
    moved = alice.patch(path(task), json={"recurrence": recurrence}).json
    assert (moved["occurrence"], moved["due_at"]) == ("2099-07-02T09:00:00", "2099-07-02T07:00:00Z")
    second = completed(alice, task, occurrence="2099-07-02T09:00:00")
    assert second["task"]["due_at"] == "2099-07-03T13:00:00Z"
    assert second["completed"]["due_at"] == "2099-07-02T07:00:00Z"
    assert second["completed"]["id"] != first["completed"]["id"]


def test_what_is_below_a_task_is_open_again_on_its_next_occurrence(alice: Account) -> None:
    task = repeating(alice, "2099-01-01", "FREQ=DAILY")
    below = alice.create_task(parent_id=task["id"])
    alice.patch(path(below), json={"complete": True})
    completed(alice, task)
    after = alice.get(path(below)).json
    assert (after["complete"], after["completed_at"]) == (False, None)
    versions = [each["version"] for each in walk(alice)]
    assert len(set(versions)) == len(versions) == 3


@pytest.mark.parametrize(
    ("body", "code", "pointer"),
    [
        ({"recurrence": {"rule": "FREQ=DAILY"}}, "due_required", "/recurrence"),
        (
            {"due_date": "2099-01-01", "recurrence": {"rule": "FREQ=HOURLY"}},
            "rule",
            "/recurrence/rule",
        ),
        (
            {
                "due_date": "2099-01-01",
                "recurrence": {"rule": "FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30"},
            },
            "rule",
            "/recurrence/rule",
        ),
        (
            {
                "due_date": "2099-01-01",
                "recurrence": {"rule": "FREQ=DAILY", "start": "2099-01-01T09:00:00"},
            },
            "local_time",
            "/recurrence/start",
        ),
        (
            {"due_date": "2099-01-01", "recurrence": {"rule": "FREQ=DAILY", "start": "1998-12-31"}},
            "local_time",
            "/recurrence/start",
        ),
        (
            {
                "due_date": "2099-01-01",
                "recurrence": {"rule": "FREQ=DAILY;COUNT=2", "after": "completion"},
            },
            "after_completion",
            "/recurrence",
        ),
    ],
)
def test_a_recurrence_that_is_none_is_refused(
    alice: Account, body: dict[str, Any], code: str, pointer: str
) -> None:
    response = alice.post("/v1/tasks", json={"title": "x", **body})
    assert refused(response, code, pointer=pointer)
    assert walk(alice) == []


def test_what_repeats_stays_due(alice: Account) -> None:
    task = repeating(alice, "2099-01-01", "FREQ=DAILY")
    cleared = alice.patch(path(task), json={"due_date": None})
    assert refused(cleared, "due_required", pointer="/recurrence")
    both = alice.patch(path(task), json={"due_date": None, "recurrence": None}).json
    assert (both["due_date"], both["recurrence"], both["occurrence"]) == (None, None, None)


def test_a_batch_completes_and_skips(alice: Account) -> None:
    task, own = repeating(alice, "2099-01-01", "FREQ=DAILY"), new_id()
    operations = [
        {"op": "complete", "type": "task", "id": task["id"], "body": {"occurrence": "2099-01-01"}},
        {"op": "skip", "type": "task", "id": task["id"], "body": {}},
        {
            "op": "create",
            "type": "task",
            "id": own,
            "body": {"title": "y", "due_date": "2099-01-01", "recurrence": {"rule": "FREQ=DAILY"}},
        },
        {"op": "complete", "type": "task", "id": own, "body": {}},
    ]
    response = alice.post("/v1/batch", json={"operations": operations})
    assert response.status_code == 200, response.text
    assert [alice.get(f"/v1/tasks/{each}").json["due_date"] for each in (task["id"], own)] == [
        "2099-01-03",
        "2099-01-02",
    ]
    assert len(walk(alice)) == 4
    assert len(ids(walk(alice, complete="true"))) == 2


def test_occurrences_are_previewed(alice: Account, bob: Account) -> None:
    def ahead(task: dict[str, Any], limit: int) -> list[dict[str, Any]]:
        return alice.get(f"{path(task, 'occurrences')}?limit={limit}").json["items"]

    task = repeating(alice, "2099-01-31", "FREQ=MONTHLY;BYMONTHDAY=31", overflow="backward")
    assert ahead(task, 2) == [
        {"occurrence": day, "due_date": day, "due_at": None} for day in ("2099-02-28", "2099-03-31")
    ]
    at = repeating(alice, "2099-03-28T08:00:00Z", "FREQ=DAILY;COUNT=2")
    assert ahead(at, 100) == [
        {
            "occurrence": "2099-03-29T09:00:00",
            "due_date": None,
            "due_at": "2099-03-29T07:00:00Z",
        }
    ]
    assert ahead(alice.create_task(), 1) == []
    assert bob.get(path(task, "occurrences")).status_code == 404
    for limit in ("0", "101", "x"):
        response = alice.get(f"{path(task, 'occurrences')}?limit={limit}")
        assert response.status_code == 422


def test_repetition_is_exported_and_imported(alice: Account, bob: Account) -> None:
    task = repeating(alice, "2099-01-31", "FREQ=MONTHLY;BYMONTHDAY=31", overflow="backward")
    at = repeating(alice, "2099-03-28T08:00:00Z", "FREQ=DAILY;COUNT=9")
    completed(alice, task)
    alice.patch(path(at), json={"due_at": "2099-03-28T12:00:00Z"})
    data = exported(alice)
    assert send(bob, data).json["refused"] == 0
    same = [line for line in parsed(exported(bob)) if line["type"] != "account"]
    assert same == [line for line in parsed(data) if line["type"] != "account"]
    assert counts(send(bob, data).json) == (0, 0, 4, 0)
    assert counts(imported(bob, *parsed(data)[1:3], *parsed(data)[1:3])) == (0, 0, 4, 0)
    calendar = alice.get("/v1/export?format=ics").text.replace("\r\n ", "")
    assert "RRULE:FREQ=MONTHLY;BYMONTHDAY=31\r\n" in calendar
    assert "DTSTART;VALUE=DATE:20990228\r\n" in calendar
    assert "DTSTART;TZID=Europe/Berlin:20990328T090000\r\n" in calendar
    assert "FREQ=DAILY;COUNT=9" in alice.get("/v1/export?format=csv").text
