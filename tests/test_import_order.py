"""An import comes to what its lines come to one after the other, in few statements and in time."""

import json
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from app import create_app
from app.api.transfer import importing, progress, rows
from app.core.ids import new_id
from app.rows.kind import Kind
from tests.conftest import Account, settings_for
from tests.lines import category, counts, exported, imported, jsonl, parsed, send, task

Line = dict[str, Any]

INSTANTS = ["2027-01-31T10:00:00Z", "2027-02-01T10:00:00Z"]
IDS = [f"00000000-0000-7000-8000-00000000000{n}" for n in range(6)]
CATEGORIES, TASKS = IDS[:3], IDS[3:]

NAMES = ["Home", "HOME", "Work", "Garden"]


def sometimes(values: list[Any]) -> st.SearchStrategy[Any]:
    return st.sampled_from([None, *values])


TIMES = {"created_at": sometimes(INSTANTS), "updated_at": sometimes(INSTANTS)}

CATEGORY = st.fixed_dictionaries(
    {"id": st.sampled_from(CATEGORIES), "name": st.sampled_from(NAMES), **TIMES}
).map(lambda data: {"type": "category", "data": data})


def complete(data: dict[str, Any]) -> Line:
    """Only what is complete may say since when."""
    data["complete"] = data["complete"] or data["completed_at"] is not None
    return {"type": "task", "data": data}


TASK = st.fixed_dictionaries(
    {
        "id": st.sampled_from(TASKS),
        "title": st.sampled_from(["Buy milk", "Buy bread"]),
        "category_id": sometimes(CATEGORIES),
        "complete": st.booleans(),
        "completed_at": sometimes(INSTANTS),
        **TIMES,
    }
).map(complete)

LINES = st.lists(CATEGORY | TASK, max_size=12)


def named(row: str, name: str) -> Line:
    return {"type": "category", "data": {"id": row, "name": name}}


def one_by_one(account: Account, lines: list[Line]) -> tuple[list[int], list[int]]:
    """The sums of what became of each line when it comes alone, and which were refused."""
    reports = [imported(account, line) for line in lines]
    totals = [sum(column) for column in zip(*map(counts, reports), strict=True)]
    refused = [number for number, report in enumerate(reports, 1) if report["refused"]]
    return totals or [0, 0, 0, 0], refused


def a_name_is_given_up_later(before: list[Line], lines: list[Line]) -> bool:
    """Whether a category gives a name up that an earlier line has for another one."""
    held: dict[str, str] = {}
    given = [
        (line["data"]["id"], line["data"]["name"].lower())
        for line in (*before, *lines)
        if line["type"] == "category"
    ]
    for number, (row, name) in enumerate(given):
        holder = next((other for other, kept in held.items() if kept == name), row)
        if holder == row:
            held[row] = name
        elif any(other == holder and later != name for other, later in given[number:]):
            return True
    return False


def content(account: Account) -> list[Line]:
    """The rows, where times that no line gave are those of the import.

    Without the positions, which no line gives: new rows of a chunk are in the order of their last
    lines.
    """
    return [
        {
            "type": line["type"],
            "data": {
                name: "now" if name.endswith("ed_at") and value and value not in given else value
                for name, value in line["data"].items()
                if name != "position"
            },
        }
        for line in parsed(exported(account))[1:]
        for given in [{*INSTANTS, *(each.replace("Z", ".000000Z") for each in INSTANTS)}]
    ]


@pytest.mark.slow
@settings(max_examples=50)
@given(before=LINES, lines=LINES, chunk=st.sampled_from([2, 5, 200]))
@example(
    before=[named(CATEGORIES[0], "Home"), named(CATEGORIES[1], "Work")],
    lines=[
        named(CATEGORIES[0], "Garden"),
        named(CATEGORIES[1], "Home"),
        named(CATEGORIES[0], "Work"),
    ],
    chunk=200,
)
@example(
    before=[],
    lines=[
        task(id=TASKS[0], category_id=CATEGORIES[0]),
        named(CATEGORIES[0], "Home"),
        task(id=TASKS[0], category_id=CATEGORIES[0]),
    ],
    chunk=200,
)
def test_lines_that_come_together_come_to_what_they_come_to_one_by_one(
    auth: Callable[[], Account], before: list[Line], lines: list[Line], chunk: int
) -> None:
    assume(not a_name_is_given_up_later(before, lines))  # tests/test_import_names.py
    alice, bob = auth(), auth()
    for caller in (alice, bob):
        one_by_one(caller, before)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(importing, "CHUNK_LINES", chunk)
        report = imported(bob, *lines)
    expected, refused = one_by_one(alice, lines)
    assert content(bob) == content(alice)
    assert [*counts(report)] == expected
    assert [refusal["line"] for refusal in report["refusals"]] == refused


# Statements: as many as there are lines to write, in whatever order these come


def one_id(count: int) -> list[Line]:
    row = new_id()
    return [task(id=row, title=f"Title {n % 2}") for n in range(count)]


def two_kinds(count: int) -> list[Line]:
    return [category() if n % 2 else task() for n in range(count)]


def tasks_before_their_categories(count: int) -> list[Line]:
    ids = [new_id() for _ in range(count // 2)]
    return [
        line for row in ids for line in (task(category_id=row), category(id=row, name=f"N {row}"))
    ]


def two_names(count: int) -> list[Line]:
    rows = [new_id(), new_id()]
    return [category(id=rows[n % 2], name=f"Name {n % 3}") for n in range(count)]


def taken_names(count: int) -> list[Line]:
    return [category(name="Taken") for _ in range(count)]


@pytest.mark.parametrize(
    "made", [one_id, two_kinds, tasks_before_their_categories, two_names, taken_names]
)
def test_no_order_of_lines_makes_many_statements(
    alice: Account,
    sql: Callable[[], AbstractContextManager[list[str]]],
    made: Callable[[int], list[Line]],
) -> None:
    data = jsonl(*made(4000))
    with sql() as statements:
        report = send(alice, data)
    assert (report.status_code, sum(counts(report.json))) == (200, 4000)
    chunks = 4000 / importing.CHUNK_LINES
    # At most: one that fails, and three of a transaction: what is there, what is written, the end.
    assert len(statements) <= 4 * chunks


def test_twenty_thousand_lines_in_turns_are_some_hundred_statements(
    alice: Account, sql: Callable[[], AbstractContextManager[list[str]]]
) -> None:
    row = new_id()
    lines = [json.dumps(task(id=row, title=title)).encode() for title in ("One", "Other")]
    with sql() as statements:
        report = send(alice, b"\n".join(lines * 10_000)).json
    assert counts(report) == (1, 19_999, 0, 0)
    assert alice.get(f"/v1/tasks/{row}").json["title"] == "Other"
    assert len(statements) <= 400


# Time


def test_an_import_ends_in_time_and_goes_on_when_it_is_sent_again(
    alice: Account, clock: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    real, written = rows.write, list[int]()

    def write(user_id: str, kind: Kind, chunk: list[Line]) -> Any:
        written.append(len(chunk))
        found = real(user_id, kind, chunk)
        clock(progress.LONGEST_SECONDS / 2 + 1)
        return found

    monkeypatch.setattr(rows, "write", write)
    size = importing.CHUNK_LINES
    data = jsonl(*(task() for _ in range(3 * size)))
    response = send(alice, data)
    assert (response.status_code, response.json["type"]) == (503, "/problems/import-interrupted")
    assert (written, response.json["line"]) == ([size, size], 2 * size)
    assert int(response.headers["Retry-After"]) >= 1
    monkeypatch.setattr(rows, "write", real)
    assert counts(send(alice, data).json) == (size, 0, 2 * size, 0)


def test_lines_that_say_nothing_take_no_longer(
    alice: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "LONGEST_SECONDS", -1.0)
    for data in (b"\n" * 10, jsonl({"type": "end", "data": {}})):
        response = send(alice, data)
        assert (response.status_code, response.json["line"]) == (503, 0)


def test_each_chunk_counts_as_a_request_of_its_user(
    auth: Callable[..., Account], database_url: str, clock: Callable[[float], None]
) -> None:
    caller = auth(create_app(settings_for(database_url, RATELIMIT_PER_USER="3")))
    clock(61 - time.time() % 60)  # what follows is within one minute
    size = importing.CHUNK_LINES
    data = jsonl(*(task() for _ in range(5 * size)))
    response = send(caller, data)
    assert (response.status_code, response.json["type"]) == (503, "/problems/import-interrupted")
    assert response.json["line"] == 3 * size
    wait = int(response.headers["Retry-After"])
    assert 50 < wait <= 60
    assert "r=0" in response.headers["RateLimit"]
    assert caller.get("/v1/tasks").status_code == 429
    clock(wait)
    assert counts(send(caller, jsonl(task())).json) == (1, 0, 0, 0)


@pytest.mark.parametrize("line", [b"\n", jsonl({"type": "end", "data": {}})])
def test_lines_that_write_nothing_count_as_those_that_do(
    auth: Callable[..., Account], database_url: str, clock: Callable[[float], None], line: bytes
) -> None:
    caller = auth(create_app(settings_for(database_url, RATELIMIT_PER_USER="10")))
    clock(61 - time.time() % 60)  # what follows is within one minute
    data = line * 8 * importing.CHUNK_LINES
    assert send(caller, data).status_code == 200
    response = send(caller, data)
    assert (response.status_code, response.json["type"]) == (503, "/problems/import-interrupted")
    assert 50 < int(response.headers["Retry-After"]) <= 60
