"""Reminders: when they ring, what they follow, and what silences them."""

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

import icalendar
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app import create_app
from app.api.tasks import reminders as clock
from app.api.tasks import reminding
from app.api.users import queries as users
from app.core.ids import new_id
from app.core.problem_kinds import DATABASE_BUSY
from app.core.problems import Problem
from app.db import chunks
from app.db.statement import Statement
from tests.assertions import refused
from tests.conftest import Account, settings_for
from tests.lines import counts, exported, imported, send
from tests.rig.proxy import Proxy
from tests.walking import page, walk

NEW_YEAR = {"at": "2099-01-01T00:00:00Z"}
EVENING = {"days_before": 1, "time": "18:00"}
MORNING = {"days_before": 0, "time": "09:00"}
QUARTER = {"before": "PT15M"}


def path(task: dict[str, Any], action: str = "") -> str:
    return f"/v1/tasks/{task['id']}" + (f"/{action}" if action else "")


def instants(account: Account, **query: Any) -> list[str]:
    """When reminders ring, in their order."""
    return [item["at"] for item in walk(account, "/v1/reminders", **query)]


def read(account: Account, task: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = account.get(path(task)).json
    return found


def changed(account: Account, task: dict[str, Any], **fields: Any) -> dict[str, Any]:
    response = account.patch(path(task), json=fields)
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json
    return found


# What is sent


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ({"at": "2099-01-01T01:00:00.5+01:00"}, {"at": "2099-01-01T00:00:00.500000Z"}),
        ({"before": "PT90M"}, {"before": "PT1H30M"}),
        ({"before": "P4W"}, {"before": "P28D"}),
        ({"before": "P1DT24H60M"}, {"before": "P2DT1H"}),
        ({"before": "PT0S"}, {"before": "PT0S"}),
        ({"days_before": 28, "time": "00:00"}, {"days_before": 28, "time": "00:00"}),
    ],
)
def test_a_reminder_has_one_form(
    alice: Account, sent: dict[str, Any], kept: dict[str, Any]
) -> None:
    task = alice.create_task(due_at="2099-06-01T08:00:00Z", reminders=[sent])
    assert task["reminders"] == [kept]
    assert read(alice, task) == task
    assert changed(alice, task, reminders=[kept]) == task


def test_reminders_keep_their_order(alice: Account) -> None:
    reminders = [QUARTER, NEW_YEAR, MORNING, EVENING]
    task = alice.create_task(due_at="2099-06-01T08:00:00Z", reminders=reminders)
    assert task["reminders"] == reminders
    assert task["remind_at"] == NEW_YEAR["at"]


@pytest.mark.parametrize(
    ("sent", "code", "pointer"),
    [
        ([{}], "reminder", "/0"),
        ([{**NEW_YEAR, **QUARTER}], "reminder", "/0"),
        ([{"days_before": 1}], "reminder", "/0"),
        ([{"time": "09:00"}], "reminder", "/0"),
        ([{**EVENING, **NEW_YEAR}], "reminder", "/0"),
        ([NEW_YEAR, {"at": None}], "string_type", "/1/at"),
        ([{"at": "2099-01-01"}], "timestamp", "/0/at"),
        ([{"before": "P1M"}], "duration", "/0/before"),
        ([{"before": "-PT15M"}], "duration", "/0/before"),
        ([{"before": "P29D"}], "duration", "/0/before"),
        ([{"before": "PT1.5H"}], "duration", "/0/before"),
        ([{"before": "P" + "1" * 100_000 + "D"}], "duration", "/0/before"),
        ([{"before": 900}], "string_type", "/0/before"),
        ([{**EVENING, "days_before": 29}], "less_than_equal", "/0/days_before"),
        ([{**EVENING, "days_before": -1}], "greater_than_equal", "/0/days_before"),
        ([{**EVENING, "days_before": "1"}], "int_type", "/0/days_before"),
        ([{**EVENING, "days_before": True}], "int_type", "/0/days_before"),
        ([{**EVENING, "time": "24:00"}], "time", "/0/time"),
        ([{**EVENING, "time": "9:00"}], "time", "/0/time"),
        ([{**EVENING, "zone": "UTC"}], "extra_forbidden", "/0/zone"),
        ([NEW_YEAR, NEW_YEAR], "duplicate", ""),
        ([{"before": "PT1H"}, {"before": "PT60M"}], "duplicate", ""),
        ([NEW_YEAR, {"at": "2099-01-01T01:00:00+01:00"}], "duplicate", ""),
        ([{"before": f"PT{n}M"} for n in range(11)], "too_long", ""),
        (None, "list_type", ""),
        ({}, "list_type", ""),
    ],
)
def test_what_is_no_list_of_reminders_is_refused(
    alice: Account, sent: Any, code: str, pointer: str
) -> None:
    body = {"title": "x", "due_at": "2099-06-01T08:00:00Z", "reminders": sent}
    answer = alice.post("/v1/tasks", json=body)
    assert refused(answer, code, pointer=f"/reminders{pointer}")
    assert walk(alice) == []


def test_what_only_the_service_writes_is_refused(alice: Account) -> None:
    for name in ("remind_at", "snoozed_until"):
        answer = alice.post("/v1/tasks", json={"title": "x", name: NEW_YEAR["at"]})
        assert refused(answer, "extra_forbidden", pointer=f"/{name}")


def test_a_time_before_a_task_is_due_needs_a_due_time(alice: Account) -> None:
    day, instant = {"due_date": "2099-06-01"}, {"due_at": "2099-06-01T08:00:00Z"}
    for reminder, dues in ((QUARTER, [{}, day]), (EVENING, [{}])):
        for due in dues:
            answer = alice.post("/v1/tasks", json={"title": "x", **due, "reminders": [reminder]})
            assert refused(answer, "due_required", pointer="/reminders")
    task = alice.create_task(**instant, reminders=[QUARTER])
    for patch in ({"due_at": None}, {"due_at": None, **day}):
        answer = alice.patch(path(task), json=patch)
        assert refused(answer, "due_required", pointer="/reminders")
    assert read(alice, task) == task
    cleared = changed(alice, task, due_at=None, reminders=[NEW_YEAR])
    assert cleared["remind_at"] == NEW_YEAR["at"]
    ops = [
        {"op": "create", "type": "task", "id": new_id(), "body": {"title": "x"}},
        {"op": "update", "type": "task", "id": task["id"], "body": {"reminders": [EVENING]}},
    ]
    answer = alice.post("/v1/batch", json={"operations": ops})
    assert answer.json["errors"][0]["pointer"] == "/operations/1/body/reminders", answer.text


def test_a_put_without_reminders_has_none(alice: Account) -> None:
    task = alice.create_task(reminders=[NEW_YEAR])
    written = alice.put(path(task), json={"title": "Buy milk"}).json
    assert (written["reminders"], written["remind_at"]) == ([], None)
    assert instants(alice) == []


# When it rings


def test_a_local_reminder_is_in_the_time_zone_of_the_account(alice: Account) -> None:
    alice.patch("/v1/me", json={"time_zone": "Europe/Berlin"})
    alice.create_task(due_date="2099-07-02", reminders=[EVENING, MORNING])
    assert instants(alice) == ["2099-07-01T16:00:00Z", "2099-07-02T07:00:00Z"]
    alice.create_task(due_at="2099-08-01T23:00:00Z", reminders=[MORNING])  # 2 August there
    assert instants(alice)[-1] == "2099-08-02T07:00:00Z"


def test_a_local_reminder_of_what_repeats_is_in_the_time_zone_of_that(alice: Account) -> None:
    recurrence = {"rule": "FREQ=DAILY", "time_zone": "America/New_York"}
    task = alice.create_task(due_date="2099-01-02", recurrence=recurrence, reminders=[MORNING])
    assert task["remind_at"] == "2099-01-02T14:00:00Z"
    recurrence["time_zone"] = "Asia/Tokyo"
    assert changed(alice, task, recurrence=recurrence)["remind_at"] == "2099-01-02T00:00:00Z"
    assert changed(alice, task, recurrence=None)["remind_at"] == "2099-01-02T09:00:00Z"


@pytest.mark.parametrize(
    ("zone", "day", "clock", "instant"),
    [
        ("Europe/Berlin", "2027-03-28", "02:30", "2027-03-28T01:30:00Z"),  # as 03:30
        ("Europe/Berlin", "2027-10-31", "02:30", "2027-10-31T00:30:00Z"),  # the first of two
        ("Australia/Lord_Howe", "2027-10-03", "02:15", "2027-10-02T15:45:00Z"),  # as 02:45
        ("Asia/Kathmandu", "2027-01-01", "00:00", "2026-12-31T18:15:00Z"),
    ],
)
def test_where_clocks_change_a_local_reminder_rings_once(
    alice: Account, connection: Any, zone: str, day: str, clock: str, instant: str
) -> None:
    alice.patch("/v1/me", json={"time_zone": zone})
    alice.create_task(due_date=day, reminders=[{"days_before": 0, "time": clock}])
    assert stored(connection, alice) == [instant]


def stored(connection: Any, account: Account) -> list[str]:
    """All instants of the tasks of a user, those that are past too."""
    with connection.cursor() as cursor:
        cursor.execute(
            "select each at time zone 'UTC' from tasks, unnest(remind_at) each"
            " where user_id = %s order by 1",
            (account.user_id,),
        )
        return [f"{instant.isoformat()}Z" for (instant,) in cursor.fetchall()]


def expected(
    due: datetime, zone: str, reminders: list[dict[str, Any]], *, is_day: bool
) -> list[str]:
    """When these reminders ring, by the rules of Python."""
    own, found = ZoneInfo(zone), set()
    for reminder in reminders:
        if "at" in reminder:
            found.add(datetime.fromisoformat(reminder["at"]))
        elif "before" in reminder:
            found.add(due - timedelta(minutes=int(reminder["before"][2:-1])))
        else:
            day = due.date() if is_day else due.astimezone(own).date()
            clock = datetime.strptime(reminder["time"], "%H:%M").time()
            local = datetime.combine(day - timedelta(reminder["days_before"]), clock, own)
            found.add(local.astimezone(UTC))
    return [f"{each:%Y-%m-%dT%H:%M:%S}Z" for each in sorted(found)]


@settings(max_examples=40)
@given(
    minutes=st.integers(0, 60 * 24 * 365 * 5),
    zone=st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"]),
    before=st.sets(st.integers(0, 40000), max_size=3),
    local=st.sets(st.tuples(st.integers(0, 28), st.integers(0, 1439)), max_size=4),
    is_day=st.booleans(),
)
def test_reminders_ring_when_another_clock_says_so(
    alice: Account,
    connection: Any,
    minutes: int,
    zone: str,
    before: set[int],
    local: set[tuple[int, int]],
    is_day: bool,
) -> None:
    due = datetime(2027, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes)
    reminders: list[dict[str, Any]] = [
        {"days_before": days, "time": f"{clock // 60:02}:{clock % 60:02}"} for days, clock in local
    ]
    fields: dict[str, Any] = {"due_date": f"{due:%Y-%m-%d}"}
    if not is_day:
        reminders += [{"before": f"PT{each}M"} for each in before]
        fields = {"due_at": f"{due:%Y-%m-%dT%H:%M:%S}Z"}
    alice.patch("/v1/me", json={"time_zone": zone})
    task = alice.create_task(**fields, reminders=reminders)
    assert stored(connection, alice) == expected(due, zone, reminders, is_day=is_day)
    assert alice.delete(path(task)).status_code == 204


def test_at_the_ends_of_the_calendar_what_is_outside_rings_nothing(alice: Account) -> None:
    first = alice.create_task(due_date="0001-01-01", reminders=[EVENING])
    assert (first["remind_at"], instants(alice)) == (None, [])
    alice.patch("/v1/me", json={"time_zone": "America/New_York"})
    for due in ({"due_date": "9999-12-31"}, {"due_at": "9999-12-31T23:59:59Z"}):
        late = {"days_before": 0, "time": "23:59"}
        last = alice.create_task(**due, reminders=[late, NEW_YEAR])
        assert last["remind_at"] == NEW_YEAR["at"]
    assert instants(alice) == [NEW_YEAR["at"]] * 2
    for form in ("jsonl", "csv", "ics"):
        assert alice.get(f"/v1/export?format={form}").status_code == 200


def test_what_is_past_rings_nothing(alice: Account) -> None:
    task = alice.create_task(reminders=[{"at": "2020-01-01T00:00:00Z"}])
    assert (task["remind_at"], instants(alice)) == (None, [])


def test_the_next_one_moves_on_with_time_and_the_task_keeps_its_version(
    alice: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = alice.create_task(reminders=[{"at": "2098-01-01T00:00:00Z"}, NEW_YEAR])
    tag = alice.get(path(task)).headers["ETag"]

    class Later(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return datetime(2098, 1, 1, tzinfo=tz)

    assert task["remind_at"] == "2098-01-01T00:00:00Z"
    monkeypatch.setattr(clock, "datetime", Later)
    assert read(alice, task) == {**task, "remind_at": NEW_YEAR["at"]}
    assert alice.get(path(task)).headers["ETag"] == tag
    assert alice.get(path(task), headers={"If-None-Match": tag}).status_code == 304


# The listing


def test_what_is_to_come_is_listed_in_order_page_by_page(alice: Account, bob: Account) -> None:
    late = alice.create_task(reminders=[{"at": f"2099-01-0{day}T00:00:00Z"} for day in (5, 1, 3)])
    early = alice.create_task(reminders=[{"at": f"2099-01-0{day}T00:00:00Z"} for day in (4, 1, 2)])
    bob.create_task(reminders=[NEW_YEAR])
    items = walk(alice, "/v1/reminders", limit=2)
    assert [(item["at"][8:10], item["task"]["id"]) for item in items] == [
        *(("01", task["id"]) for task in sorted((late, early), key=lambda task: task["id"])),
        ("02", early["id"]),
        ("03", late["id"]),
        ("04", early["id"]),
        ("05", late["id"]),
    ]
    assert items[-1]["task"] == late
    until = {"until": "2099-01-02T00:00:00Z"}
    assert instants(alice, **until) == [*[NEW_YEAR["at"]] * 2, "2099-01-02T00:00:00Z"]
    cursor = page(alice, "/v1/reminders", limit=1)["next_cursor"]
    for query in ({"cursor": cursor, **until}, {"cursor": cursor[:-1]}):
        answer = alice.get(f"/v1/reminders?{urlencode(query)}")
        assert refused(answer, "cursor", parameter="cursor")
    assert refused(alice.get("/v1/reminders?until=soon"), "timestamp", parameter="until")
    answer = bob.get(f"/v1/reminders?cursor={cursor}")
    assert refused(answer, "cursor", parameter="cursor")


def test_two_reminders_of_one_instant_ring_once(alice: Account) -> None:
    alice.create_task(due_at="2099-01-01T00:15:00Z", reminders=[NEW_YEAR, QUARTER])
    assert instants(alice) == [NEW_YEAR["at"]]


# What they follow


def test_reminders_follow_the_due_time(alice: Account) -> None:
    task = alice.create_task(due_at="2099-06-01T08:00:00Z", reminders=[QUARTER, EVENING])
    assert instants(alice) == ["2099-05-31T18:00:00Z", "2099-06-01T07:45:00Z"]
    changed(alice, task, due_at="2099-07-01T08:00:00Z")
    assert instants(alice) == ["2099-06-30T18:00:00Z", "2099-07-01T07:45:00Z"]
    changed(alice, task, title="Buy bread")
    assert len(instants(alice)) == 2
    changed(alice, task, due_at=None, due_date="2099-08-01", reminders=[EVENING])
    assert instants(alice) == ["2099-07-31T18:00:00Z"]


@pytest.mark.parametrize("how", ["complete", "delete", "batch", "put"])
def test_what_is_done_or_deleted_is_silent_until_it_is_open_again(alice: Account, how: str) -> None:
    task = alice.create_task(reminders=[NEW_YEAR])
    body = {"title": task["title"], "reminders": [NEW_YEAR]}
    match how:
        case "complete":
            alice.post(path(task, "complete"), json={})
        case "delete":
            alice.delete(path(task))
        case "batch":
            update = {"op": "update", "type": "task", "id": task["id"], "body": {"complete": True}}
            alice.post("/v1/batch", json={"operations": [update]})
        case _:
            alice.put(path(task), json={**body, "complete": True})
    assert instants(alice) == []
    if how == "delete":
        [item] = alice.get("/v1/trash").json["items"]
        assert item["data"]["remind_at"] is None
        again = alice.post(path(task, "restore")).json
    else:
        assert read(alice, task)["remind_at"] is None
        again = changed(alice, task, complete=False)
    assert (again["remind_at"], instants(alice)) == (NEW_YEAR["at"], [NEW_YEAR["at"]])


def test_with_a_task_its_subtasks_are_silent_and_ring_again(alice: Account) -> None:
    top = alice.create_task()
    step = alice.create_task(parent_id=top["id"], reminders=[NEW_YEAR])
    alice.post(path(top, "complete"), json={"subtasks": "complete"})
    assert instants(alice) == []
    changed(alice, step, complete=False)
    assert instants(alice) == [NEW_YEAR["at"]]
    alice.delete(path(top))
    assert instants(alice) == []
    alice.post(path(top, "restore"))
    assert instants(alice) == [NEW_YEAR["at"]]


@pytest.mark.parametrize("action", ["complete", "skip"])
def test_reminders_go_on_with_the_occurrence_and_the_copy_is_silent(
    alice: Account, action: str
) -> None:
    recurrence = {"rule": "FREQ=DAILY;COUNT=3", "time_zone": "Europe/Berlin"}
    due, reminders = "2099-03-27T08:00:00Z", [QUARTER, EVENING]
    task = alice.create_task(due_at=due, recurrence=recurrence, reminders=reminders)
    assert instants(alice) == ["2099-03-26T17:00:00Z", "2099-03-27T07:45:00Z"]
    seen = []
    for _ in range(3):
        both = alice.post(path(task, action), json={}).json
        seen.append((both["completed"] or {}).get("reminders"))
        assert (both["completed"] or {}).get("remind_at") is None
        rung = instants(alice)
    assert both["task"]["complete"] is True
    assert rung == []
    assert seen == ([reminders, reminders, None] if action == "complete" else [None] * 3)


def test_nine_o_clock_stays_nine_for_reminders_too(alice: Account) -> None:
    recurrence = {"rule": "FREQ=DAILY", "time_zone": "Europe/Berlin"}
    task = alice.create_task(due_date="2099-03-27", recurrence=recurrence, reminders=[MORNING])
    steps = (alice.post(path(task, "complete"), json={}).json["task"] for _ in range(3))
    found = [task["remind_at"], *(step["remind_at"] for step in steps)]
    assert [each[8:13] for each in found] == ["27T08", "28T08", "29T07", "30T07"]


# Snooze


def test_a_snooze_silences_what_comes_before_and_then_rings(alice: Account) -> None:
    reminders = [NEW_YEAR, {"at": "2099-03-01T00:00:00Z"}]
    task = alice.create_task(reminders=reminders)
    until = "2099-02-01T00:00:00Z"
    snoozed = alice.post(path(task, "snooze"), json={"until": "2099-02-01T01:00:00+01:00"})
    assert snoozed.status_code == 200
    assert snoozed.json == {
        **task,
        "snoozed_until": until,
        "remind_at": until,
        "version": task["version"] + 1,
        "updated_at": snoozed.json["updated_at"],
    }
    assert snoozed.headers["ETag"] == f'"{snoozed.json["version"]}"'
    assert instants(alice) == [until, "2099-03-01T00:00:00Z"]
    assert alice.post(path(task, "snooze"), json={"until": until}).json == snoozed.json
    earlier = alice.post(path(task, "snooze"), json={"until": "2098-12-01T00:00:00Z"}).json
    assert instants(alice) == ["2098-12-01T00:00:00Z", *(each["at"] for each in reminders)]
    assert earlier["reminders"] == reminders


def test_a_new_task_under_the_id_of_a_deleted_one_is_not_snoozed(alice: Account) -> None:
    task = alice.create_task(due_date="2099-01-01", recurrence={"rule": "FREQ=DAILY"})
    copy = alice.post(path(task, "complete"), json={}).json["completed"]
    for old in (task, copy):
        alice.post(path(old, "snooze"), json={"until": NEW_YEAR["at"]})
        alice.delete(path(old))
        new = alice.put(path(old), json={"title": "x"}, headers={"If-None-Match": "*"})
        assert new.status_code == 201
        assert [new.json[name] for name in ("snoozed_until", "remind_at", "series_id")] == [
            None
        ] * 3
    assert instants(alice) == []


def test_a_task_without_reminders_can_be_snoozed(alice: Account) -> None:
    task = alice.create_task()
    alice.post(path(task, "snooze"), json={"until": NEW_YEAR["at"]})
    assert instants(alice) == [NEW_YEAR["at"]]
    past = alice.post(path(task, "snooze"), json={"until": "2020-01-01T00:00:00Z"}).json
    assert (past["remind_at"], instants(alice)) == (None, [])


@pytest.mark.parametrize(
    "patch",
    [
        {"due_at": "2099-07-01T08:00:00Z"},
        {"due_at": None, "due_date": "2099-07-01", "reminders": [MORNING]},
        {"reminders": []},
        {"reminders": [NEW_YEAR]},
    ],
)
def test_a_snooze_ends_when_a_task_is_due_or_reminds_at_another_time(
    alice: Account, patch: dict[str, Any]
) -> None:
    task = alice.create_task(due_at="2099-06-01T08:00:00Z", reminders=[{"before": "PT0S"}])
    alice.post(path(task, "snooze"), json={"until": "2099-06-02T08:00:00Z"})
    assert changed(alice, task, title="x")["snoozed_until"] == "2099-06-02T08:00:00Z"
    assert changed(alice, task, **patch)["snoozed_until"] is None
    assert "2099-06-02T08:00:00Z" not in instants(alice)


@pytest.mark.parametrize("action", ["complete", "skip"])
def test_what_was_snoozed_and_goes_on_does_not_ring_for_the_occurrence_before(
    alice: Account, action: str
) -> None:
    task = alice.create_task(
        due_at="2099-06-01T08:00:00Z", recurrence={"rule": "FREQ=DAILY"}, reminders=[QUARTER]
    )
    alice.post(path(task, "snooze"), json={"until": "2099-06-01T12:00:00Z"})
    both = alice.post(path(task, action), json={}).json
    assert both["task"]["snoozed_until"] is None
    assert (both["completed"] or {}).get("snoozed_until") is None
    assert instants(alice) == ["2099-06-02T07:45:00Z"]


def test_what_is_complete_is_not_snoozed(alice: Account) -> None:
    task = alice.create_task(complete=True)
    response = alice.post(path(task, "snooze"), json={"until": NEW_YEAR["at"]})
    assert (response.status_code, response.json) == (200, task)
    for missing in (new_id(), alice.user_id):
        body = {"until": NEW_YEAR["at"]}
        assert alice.post(f"/v1/tasks/{missing}/snooze", json=body).status_code == 404


def test_a_snooze_is_done_once_for_its_key_and_only_at_the_version_that_is_meant(
    alice: Account,
) -> None:
    task = alice.create_task()
    body, keyed = {"until": NEW_YEAR["at"]}, {"Idempotency-Key": "once"}
    first = alice.post(path(task, "snooze"), json=body, headers=keyed)
    changed(alice, task, due_date="2099-01-01")
    again = alice.post(path(task, "snooze"), json=body, headers=keyed)
    assert (again.data, again.headers["Idempotency-Replayed"]) == (first.data, "true")
    assert read(alice, task)["snoozed_until"] is None
    other = {"until": "2099-02-01T00:00:00Z"}
    reused = alice.post(path(task, "snooze"), json=other, headers=keyed)
    assert (reused.status_code, reused.json["type"]) == (422, "/problems/idempotency-key-reused")
    stale = alice.post(path(task, "snooze"), json=other, headers={"If-Match": '"1"'})
    assert stale.status_code == 412


def test_a_batch_snoozes_in_its_order(alice: Account) -> None:
    task = {"title": "x", "due_date": "2099-06-01", "reminders": [MORNING]}
    row, until = new_id(), "2099-06-01T12:00:00Z"
    operations: list[dict[str, Any]] = [
        {"op": "create", "type": "task", "id": row, "body": task},
        {"op": "snooze", "type": "task", "id": row, "body": {"until": until}},
    ]
    results = alice.post("/v1/batch", json={"operations": operations}).json["results"]
    assert [result["body"]["remind_at"] for result in results] == ["2099-06-01T09:00:00Z", until]
    assert results[-1]["body"] == read(alice, {"id": row})
    label = {"op": "snooze", "type": "label", "id": row, "body": {"until": until}}
    assert alice.post("/v1/batch", json={"operations": [label]}).status_code == 422


# The account's time zone


def test_a_change_of_the_time_zone_moves_local_reminders_and_clients_learn_of_it(
    alice: Account, bob: Account
) -> None:
    floating = alice.create_task(due_date="2099-07-01", reminders=[MORNING])
    also = alice.create_task(due_at="2099-07-02T12:00:00Z", reminders=[MORNING, QUARTER])
    kept = [
        alice.create_task(due_at="2099-07-03T12:00:00Z", reminders=[QUARTER, NEW_YEAR]),
        alice.create_task(
            due_date="2099-07-04", reminders=[MORNING], recurrence={"rule": "FREQ=DAILY"}
        ),
        alice.create_task(due_date="2099-07-05", reminders=[MORNING], complete=True),
    ]
    theirs = bob.create_task(due_date="2099-07-01", reminders=[MORNING])
    token = alice.get("/v1/changes").json["next_token"]
    me = alice.patch("/v1/me", json={"time_zone": "America/New_York"}).json
    moved = [read(alice, task) for task in (floating, also)]
    assert [task["remind_at"] for task in moved] == ["2099-07-01T13:00:00Z", "2099-07-02T11:45:00Z"]
    assert "2099-07-02T13:00:00Z" in instants(alice)
    items = alice.get(f"/v1/changes?since={token}").json["items"]
    told = {item["id"]: item["data"] for item in items if item["type"] == "task"}
    assert told == {task["id"]: task for task in moved}
    versions = sorted(task["version"] for task in moved)
    assert versions == [me["version"] + 1, me["version"] + 2]
    assert [read(alice, task) for task in kept] == kept
    assert read(bob, theirs) == theirs
    assert alice.patch("/v1/me", json={"time_zone": "America/New_York"}).json == me
    assert [read(alice, task) for task in (floating, also)] == moved


def test_what_is_reopened_or_restored_is_in_the_new_time_zone(alice: Account) -> None:
    done = alice.create_task(due_date="2099-07-01", reminders=[MORNING], complete=True)
    gone = alice.create_task(due_date="2099-07-01", reminders=[MORNING])
    alice.delete(path(gone))
    alice.patch("/v1/me", json={"time_zone": "America/New_York"})
    assert changed(alice, done, complete=False)["remind_at"] == "2099-07-01T13:00:00Z"
    assert alice.post(path(gone, "restore")).json["remind_at"] == "2099-07-01T13:00:00Z"


def test_a_time_zone_that_is_not_written_moves_nothing(alice: Account) -> None:
    task = alice.create_task(due_date="2099-07-01", reminders=[MORNING])
    body, headers = {"time_zone": "America/New_York"}, {"If-Match": '"99"'}
    assert alice.patch("/v1/me", json=body, headers=headers).status_code == 412
    assert alice.patch("/v1/me", json={"name": "Alice"}).status_code == 200
    assert read(alice, task) == task


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> int:
    """How many tasks one statement brings to another time zone here."""
    monkeypatch.setattr(reminding, "CHUNK", 3)
    monkeypatch.setattr(users, "FOLLOW", Statement(reminding.following()))
    users._update.cache_clear()
    yield 3
    users._update.cache_clear()


@pytest.mark.parametrize("count", [2, 3, 4, 7])
def test_however_many_they_are_all_local_reminders_move(
    alice: Account, few: int, count: int
) -> None:
    tasks = [
        alice.create_task(due_date=f"2099-07-0{n}", reminders=[MORNING])
        for n in range(1, count + 1)
    ]
    assert alice.patch("/v1/me", json={"time_zone": "America/New_York"}).status_code == 200
    assert instants(alice) == [f"2099-07-0{n}T13:00:00Z" for n in range(1, count + 1)]
    versions = [read(alice, task)["version"] for task in tasks]
    assert len({*versions}) == count
    assert min(versions) > count


def test_what_is_no_longer_the_time_zone_is_not_followed(
    alice: Account, few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(1, 9):
        alice.create_task(due_date=f"2099-07-0{n}", reminders=[MORNING])
    real, follow, sent = users.execute, users.FOLLOW, []

    def meanwhile(scope: Any, statement: Statement, **values: Any) -> Any:
        if statement is follow and not sent:
            sent.append(statement)
            assert alice.patch("/v1/me", json={"time_zone": "Asia/Tokyo"}).status_code == 200
        return real(scope, statement, **values)

    monkeypatch.setattr(users, "execute", meanwhile)
    answer = alice.patch("/v1/me", json={"time_zone": "America/New_York"})
    assert (answer.status_code, answer.json["time_zone"]) == (200, "America/New_York")
    assert all(each.endswith("T00:00:00Z") for each in instants(alice))


@pytest.mark.parametrize("why", ["time is short", "the database fails"])
def test_what_there_was_no_time_to_move_is_moved_when_the_zone_is_sent_again(
    alice: Account, few: int, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    for n in range(1, 9):
        alice.create_task(due_date=f"2099-07-0{n}", reminders=[MORNING])
    body = {"time_zone": "America/New_York"}

    def busy(*_: object, **__: object) -> None:
        raise Problem(DATABASE_BUSY)

    with monkeypatch.context() as patched:
        if why == "time is short":
            patched.setattr(chunks, "SPARE_SECONDS", 3600.0)
        else:
            real = users.execute
            follow = users.FOLLOW
            patched.setattr(
                users,
                "execute",
                lambda scope, statement, **values: (busy if statement is follow else real)(
                    scope, statement, **values
                ),
            )
        answer = alice.patch("/v1/me", json=body)
    assert (answer.status_code, answer.json["type"]) == (503, "/problems/unfinished")
    assert alice.get("/v1/me").json["time_zone"] == body["time_zone"]
    assert sum(each.endswith("T13:00:00Z") for each in instants(alice)) == few
    assert alice.patch("/v1/me", json=body).status_code == 200
    assert all(each.endswith("T13:00:00Z") for each in instants(alice))


# Round trips


def test_each_of_these_is_one_flight(proxy: Proxy, auth: Any) -> None:
    caller = auth(create_app(settings_for(proxy.url)))
    task = caller.create_task(due_date="2099-07-01", reminders=[MORNING])
    until = {"json": {"until": NEW_YEAR["at"]}}
    for method, url, options in (
        ("GET", "/v1/reminders", {}),
        ("POST", path(task, "snooze"), until),
        ("POST", path(task, "snooze"), {**until, "headers": {"Idempotency-Key": "once"}}),
        ("PATCH", path(task), {"json": {"reminders": [EVENING, MORNING]}}),
        ("PATCH", "/v1/me", {"json": {"time_zone": "America/New_York"}}),
    ):
        before = proxy.flights
        assert caller.call(method, url, **options).status_code == 200
        assert proxy.flights - before == 1, url


# Quotas, and the release before


def test_a_reminder_counts_what_it_takes_and_is_counted_so_by_a_census(
    alice: Account, connection: Any
) -> None:
    before = alice.get("/v1/me").json["usage"]["bytes"]
    task = alice.create_task(title="abc", due_date="2099-07-01", reminders=[MORNING, EVENING])
    used = [alice.get("/v1/me").json["usage"]["bytes"] - before]
    changed(alice, task, reminders=[MORNING])
    used.append(alice.get("/v1/me").json["usage"]["bytes"] - before)
    with connection.cursor() as cursor:
        cursor.execute(
            "select octet_length(title) + 1000 + 300 * cardinality(reminders) from tasks"
            " where user_id = %s",
            (alice.user_id,),
        )
        assert cursor.fetchone() == (used[1],)
    assert used == [1603, 1303]
    with connection.cursor() as cursor:
        cursor.execute(
            "update users set counted_at = null, used_bytes = 0 where id = %s", (alice.user_id,)
        )
    alice.create_task(title="abc")
    assert alice.get("/v1/me").json["usage"]["bytes"] - before == 1303 + 1003


def test_what_the_release_before_erases_needs_no_due_time(alice: Account, connection: Any) -> None:
    """It knows neither reminders nor repetition, and blanks the rest."""
    due = "2099-06-01T08:00:00Z"
    task = alice.create_task(due_at=due, recurrence={"rule": "FREQ=DAILY"}, reminders=[QUARTER])
    alice.delete(path(task))
    with connection.cursor() as cursor:
        cursor.execute(
            "update tasks set title = '-', description = null, priority = 0, due_at = null,"
            " due_date = null, category_id = null, erased_version = version where user_id = %s",
            (alice.user_id,),
        )
        assert cursor.rowcount == 1
        cursor.execute("select reminders from tasks where user_id = %s", (alice.user_id,))
        assert cursor.fetchone() == ([],)
    assert alice.get("/v1/trash").json["items"] == []


# Files


def test_what_is_exported_is_the_same_in_another_account(alice: Account, bob: Account) -> None:
    alice.patch("/v1/me", json={"time_zone": "Europe/Berlin"})
    alice.create_task(due_at="2099-06-01T08:00:00Z", reminders=[QUARTER, EVENING, NEW_YEAR])
    snoozed = alice.create_task(due_date="2099-06-01", reminders=[MORNING])
    alice.post(path(snoozed, "snooze"), json={"until": "2099-06-02T08:00:00Z"})
    data = exported(alice)
    assert counts(send(bob, data).json)[0] == 2
    assert exported(bob).split(b"\n", 1)[1] == data.split(b"\n", 1)[1]
    assert instants(bob) == instants(alice)
    assert counts(send(bob, data).json)[2] == 3
    line = {"type": "task", "data": read(bob, snoozed)}
    del line["data"]["user_id"], line["data"]["version"], line["data"]["remind_at"]
    line["data"] |= {"due_date": "2099-07-01"}
    assert [counts(imported(bob, line)) for _ in range(2)] == [(0, 1, 0, 0), (0, 0, 1, 0)]
    assert read(bob, snoozed)["snoozed_until"] == "2099-06-02T08:00:00Z"
    report = imported(
        bob, {"type": "task", "data": {"id": new_id(), "title": "x", "reminders": [QUARTER]}}
    )
    assert report["refusals"][0]["errors"][0]["code"] == "due_required"


def test_a_calendar_has_alarms(alice: Account) -> None:
    alice.patch("/v1/me", json={"time_zone": "America/New_York"})
    reminders = [{"before": "P1DT2H"}, EVENING, NEW_YEAR]
    task = alice.create_task(due_at="2099-06-02T02:00:00Z", reminders=reminders)  # 1 June there
    alice.post(path(task, "snooze"), json={"until": "2098-12-01T00:00:00Z"})
    alice.create_task(due_date="2099-06-01", reminders=[EVENING, MORNING])
    recurrence = {"rule": "FREQ=DAILY", "time_zone": "Europe/Berlin"}
    due = "2099-06-01T07:00:00Z"
    alice.create_task(due_at=due, reminders=[EVENING], recurrence=recurrence)
    alice.create_task(complete=True, reminders=[NEW_YEAR])
    data = alice.get("/v1/export?format=ics").data
    found = [
        [alarm["TRIGGER"].to_ical().decode() for alarm in todo.walk("VALARM")]
        for todo in icalendar.Calendar.from_ical(data).walk("VTODO")
    ]
    assert sorted(found, key=len) == [
        [],
        ["-PT15H"],
        ["-PT6H", "PT9H"],
        ["-P1DT2H", "-P1DT4H", "20990101T000000Z", "20981201T000000Z"],
    ]
    assert data.count(b"TRIGGER;RELATED=END:") == 5
    assert data.count(b"TRIGGER;VALUE=DATE-TIME:") == 2


def test_a_table_has_reminders_as_json(alice: Account) -> None:
    alice.create_task(reminders=[NEW_YEAR])
    assert '"[{""at"":""2099-01-01T00:00:00Z""}]"' in alice.get("/v1/export?format=csv").text
