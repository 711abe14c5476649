"""A dry run of an import reports what the import does, and writes nothing."""

import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from werkzeug.test import TestResponse

from app import create_app
from app.api.transfer import importing, progress
from app.core.ids import new_id
from tests.conftest import Account, trusting
from tests.contract import LINES
from tests.issuer import Issuer
from tests.lines import (
    category,
    counts,
    exported,
    imported,
    jsonl,
    parsed,
    reasons,
    send,
    task,
)

Line = dict[str, Any]


def tried(account: Account, data: bytes) -> TestResponse:
    """The answer to a dry run."""
    return account.post(
        "/v1/import?dry_run=true",
        data=data,
        content_type=LINES,
        environ_overrides={"CONTENT_LENGTH": str(len(data))},
    )


def state(account: Account) -> tuple[Any, ...]:
    """All that a client could see of a write."""
    return account.get("/v1/changes").json, account.get("/v1/me").json, exported(account)


def foretold(account: Account, *lines: Line) -> dict[str, Any]:
    """The report of an import, which is that of the dry run before."""
    data, before = jsonl(*lines), state(account)
    answer = tried(account, data)
    assert answer.status_code == 200, answer.text
    assert state(account) == before
    report: dict[str, Any] = send(account, data).json
    assert answer.json == report
    return report


def label(**fields: Any) -> Line:
    """The line of a label."""
    return {"type": "label", "data": {"id": new_id(), "name": new_id(), **fields}}


def whole(account: Account) -> list[Line]:
    """An account with a row of each kind, and what tasks may have, as it is exported."""
    home = account.create_category(name="Home")["id"]
    soon = account.create_label(name="Soon")["id"]
    parent = account.create_task(
        title="Water",
        category_id=home,
        label_ids=[soon],
        due_at="2099-03-01T08:30:00Z",
        recurrence={"rule": "FREQ=WEEKLY;BYDAY=SU", "time_zone": "Europe/Oslo"},
        reminders=[{"before": "PT15M"}, {"at": "2099-02-01T08:00:00Z"}],
    )["id"]
    account.create_task(title="Pot", parent_id=parent, due_date="2099-02-01", priority="high")
    done = account.create_task(title="Done")["id"]
    account.patch(f"/v1/tasks/{done}", json={"complete": True})
    return parsed(exported(account))


# What an import may find


def test_an_empty_account(alice: Account, bob: Account) -> None:
    report = foretold(bob, *whole(alice))
    assert (counts(report), report["complete"]) == ((5, 0, 1, 0), True)


def test_an_account_that_has_everything_already(alice: Account) -> None:
    assert counts(foretold(alice, *whole(alice))) == (0, 0, 6, 0)


def test_an_account_that_was_changed_meanwhile(alice: Account) -> None:
    lines = whole(alice)
    by_title = {line["data"].get("title"): line["data"]["id"] for line in lines[1:-1]}
    alice.patch(f"/v1/tasks/{by_title['Water']}", json={"title": "Water them"})
    alice.delete(f"/v1/tasks/{by_title['Done']}")
    alice.patch("/v1/me", json={"name": "Alice", "time_zone": "Europe/Oslo"})
    assert counts(foretold(alice, *lines)) == (1, 2, 3, 0)


def test_lines_that_are_not_valid(alice: Account) -> None:
    lines = [task(title=""), {"type": "note", "data": {}}, task(), task(due_date="2027-02-30")]
    assert counts(foretold(alice, *lines)) == (1, 0, 0, 3)


def test_lines_that_name_nothing_and_those_below_them(alice: Account) -> None:
    missing, lost = new_id(), new_id()
    report = foretold(
        alice,
        task(id=lost, parent_id=missing),
        task(parent_id=lost),
        task(category_id=new_id()),
        task(label_ids=[new_id()]),
        task(),
    )
    assert counts(report) == (1, 0, 0, 4)
    assert {code for _, _, code in reasons(report)} == {"unknown_reference"}


@pytest.mark.parametrize("order", [1, -1], ids=["parents first", "parents last"])
def test_a_file_of_several_chunks(
    alice: Account, monkeypatch: pytest.MonkeyPatch, order: int
) -> None:
    monkeypatch.setattr(importing, "CHUNK_LINES", 3)
    categories, labels = [category() for _ in range(5)], [label() for _ in range(5)]
    tasks = [
        task(category_id=categories[n % 5]["data"]["id"], label_ids=[labels[n % 4]["data"]["id"]])
        for n in range(20)
    ]
    for n in range(1, 20):
        if n % 6:  # at most five levels, with one too many in the end
            tasks[n]["data"]["parent_id"] = tasks[n - 1]["data"]["id"]
    report = foretold(alice, *categories, *labels, *tasks[::order])
    assert report["created"] >= 20
    assert report["refused"] >= 3


def test_circles_and_levels_over_what_is_there(alice: Account) -> None:
    chain: list[str] = []
    for n in range(4):
        chain.append(alice.create_task(title=f"{n}", parent_id=chain[-1] if chain else None)["id"])
    other = alice.create_task(title="Other")["id"]
    below = alice.create_task(title="Below", parent_id=other)["id"]
    report = foretold(
        alice,
        task(id=chain[0], parent_id=chain[3]),
        task(id=other, parent_id=chain[3]),
        task(id=other, parent_id=chain[2]),
        task(parent_id=below),
        task(id=chain[0], parent_id=below),
    )
    assert {code for _, _, code in reasons(report)} == {"cycle", "too_deep"}


@pytest.mark.parametrize(
    "fields",
    [
        {"due_date": "2027-02-01", "recurrence": {"rule": "FREQ=DAILY;UNTIL=20260101"}},
        {
            "due_date": "2027-02-01",
            "recurrence": {"rule": "FREQ=DAILY", "start": "1900-01-01"},
        },
        {
            "due_date": "2027-02-01",
            "recurrence": {"rule": "FREQ=DAILY", "start": "2027-02-01T10:00:00"},
        },
        {"due_at": "2027-02-01T10:00:00Z", "recurrence": {"rule": "FREQ=DAILY;BYMONTHDAY=30"}},
        {
            "due_at": "2027-02-01T10:00:00Z",
            "recurrence": {"rule": "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30"},
        },
    ],
)
def test_repetition_is_judged_as_the_database_does(alice: Account, fields: Line) -> None:
    foretold(alice, task(**fields), task())


def test_what_a_line_left_out_is_known_to_the_next_about_its_row(
    alice: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing, "CHUNK_LINES", 1)
    row = new_id()
    daily = {"due_at": "2027-07-01T10:00:00Z", "recurrence": {"rule": "FREQ=DAILY"}}
    settled = {"start": "2027-07-01T12:00:00", "time_zone": "Europe/Oslo"}
    full = {**daily["recurrence"], **settled, "overflow": "skip", "after": "schedule"}  # type: ignore[dict-item]
    stored = {"recurrence": full, "occurrence": "2027-07-01T12:00:00"}
    account = {"type": "account", "data": {"time_zone": "Europe/Oslo"}}
    lines = [account, task(id=row, **daily), task(id=row, **{**daily, **stored})]
    assert counts(foretold(alice, *lines)) == (1, 1, 1, 0)


def test_names_that_are_taken_and_passed_on(
    alice: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing, "CHUNK_LINES", 1)
    home, work, taken = (alice.create_category(name=n)["id"] for n in ("Home", "Work", "Taken"))
    report = foretold(
        alice,
        category(id=home, name="Work"),
        category(id=work, name="home"),
        category(name="TAKEN"),
        category(name="Free"),
        category(name="free"),
    )
    assert (counts(report), reasons(report)) == (
        (1, 2, 0, 2),
        [(3, "/data", "conflict"), (5, "/data", "conflict")],
    )
    assert alice.get(f"/v1/categories/{taken}").json["name"] == "Taken"


def test_a_quota_is_not_looked_at(alice: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(alice.client.application.config["QUOTA"], "quota_rows", 1)
    assert counts(tried(alice, jsonl(task(), task())).json) == (2, 0, 0, 0)


def test_a_dry_run_creates_no_account(
    auth: Callable[..., Account],
    database_url: str,
    issuer: Issuer,
    alice: Account,
    connection: Any,
) -> None:
    external = auth(create_app(trusting(database_url, issuer)))._replace(
        token=issuer.sign(sub="newcomer")
    )
    data = jsonl(*whole(alice))
    with connection.cursor() as cursor:
        cursor.execute("select count(*) from users")
        before = cursor.fetchone()
        report = tried(external, data).json
        cursor.execute("select count(*) from users")
        assert cursor.fetchone() == before
    assert counts(report) == (5, 1, 0, 0)
    assert send(external, data).json == report


# Whatever there is, and whatever comes

IDS = [f"00000000-0000-7000-8000-00000000000{n}" for n in range(9)]
CATEGORIES, LABELS, TASKS = IDS[:2], IDS[2:4], IDS[4:]
INSTANTS = ["2027-01-31T10:00:00Z", "2027-02-01T10:00:00Z"]


def sometimes(values: list[Any]) -> st.SearchStrategy[Any]:
    return st.sampled_from([None, *values])


def lines_of(kind: str, **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Line]:
    return st.fixed_dictionaries(fields).map(lambda data: {"type": kind, "data": data})


NAMED = {
    "name": st.sampled_from(["Home", "HOME", "Work", "Garden"]),
    "updated_at": sometimes(INSTANTS),
}
REPEATING = st.sampled_from(
    [
        {},
        {},
        {"complete": True, "completed_at": INSTANTS[0]},
        {"due_date": "2027-01-31"},
        {"due_date": "2027-01-31", "recurrence": {"rule": "FREQ=DAILY"}},
        {"due_at": INSTANTS[0], "recurrence": {"rule": "FREQ=DAILY"}},
        {
            "due_at": INSTANTS[0],
            "recurrence": {"rule": "FREQ=DAILY", "start": "2027-01-31T10:00:00"},
            "occurrence": "2027-01-31T10:00:00",
        },
        {"due_date": "2027-01-31", "recurrence": {"rule": "FREQ=DAILY;UNTIL=20260101"}},
        {"due_at": INSTANTS[0], "reminders": [{"before": "PT15M"}], "snoozed_until": INSTANTS[1]},
    ]
)
TASK = st.builds(
    lambda line, more: {"type": "task", "data": {**line["data"], **more}},
    lines_of(
        "task",
        id=st.sampled_from(TASKS),
        title=st.sampled_from(["Buy milk", "Buy bread", ""]),
        category_id=sometimes(CATEGORIES),
        label_ids=st.lists(st.sampled_from(LABELS), max_size=2),
        parent_id=sometimes(TASKS),
        updated_at=sometimes(INSTANTS),
    ),
    REPEATING,
)
ROWS = st.lists(
    lines_of("category", id=st.sampled_from(CATEGORIES), **NAMED)
    | lines_of("label", id=st.sampled_from(LABELS), **NAMED)
    | TASK
    | TASK,
    max_size=14,
)


@settings(max_examples=60)
@given(
    before=ROWS,
    deleted=st.lists(st.sampled_from([*CATEGORIES, *LABELS, *TASKS]), max_size=3),
    lines=ROWS,
    chunk=st.sampled_from([1, 2, 5, 200]),
)
def test_a_dry_run_reports_what_the_import_does(
    auth: Callable[[], Account],
    before: list[Line],
    deleted: list[str],
    lines: list[Line],
    chunk: int,
) -> None:
    alice = auth()
    imported(alice, *before)
    for row in deleted:
        plural = "categories" if row in CATEGORIES else "labels" if row in LABELS else "tasks"
        alice.delete(f"/v1/{plural}/{row}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(importing, "CHUNK_LINES", chunk)
        foretold(alice, *lines)


# What it takes


def test_a_chunk_of_a_dry_run_takes_few_statements(
    alice: Account, sql: Callable[[], AbstractContextManager[list[str]]]
) -> None:
    chunks = 10
    lines = [task(parent_id=None) for _ in range(chunks * importing.CHUNK_LINES)]
    for n in range(1, len(lines), 2):
        lines[n]["data"]["parent_id"] = lines[n - 1]["data"]["id"]
    with sql() as statements:
        assert counts(tried(alice, jsonl(*lines)).json)[0] == len(lines)
    assert len(statements) <= 3 * chunks
    writes = re.compile(r"(insert into|update \w+ set|delete from|for (no key )?update)", re.I)
    assert not [each for each in statements if writes.search(each)]


def test_a_dry_run_that_takes_too_long_says_that_nothing_was_written(
    alice: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "LONGEST_SECONDS", -1.0)
    answer = tried(alice, jsonl(task()))
    assert (answer.status_code, answer.json["type"]) == (503, "/problems/import-interrupted")
    assert answer.json["detail"].endswith("nothing was written.")
