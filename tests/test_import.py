"""An import takes an export back, as often as it is sent, and says what it did with each line."""

import json
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, date, datetime
from pathlib import Path
from threading import Thread
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from psycopg2.errors import QueryCanceled
from werkzeug.test import TestResponse

from app import create_app
from app.api.kinds import KINDS
from app.api.transfer import importing, rows
from app.api.transfer.progress import MOST_REFUSED
from app.api.transfer.reading import LONGEST_LINE
from app.core import lifecycle
from app.core.ids import new_id
from app.core.texts import composed, is_visible, trimmed
from app.rows.kind import Kind
from tests.conftest import Account, gunicorn_process, settings_for
from tests.contract import LINES
from tests.lines import (
    category,
    counted,
    counts,
    exported,
    imported,
    jsonl,
    parsed,
    reasons,
    send,
    task,
    without_account,
)
from tests.locks import held, until, waiting
from tests.parallel import at_once
from tests.raw import MEGABYTE, answered, connect, memory
from tests.rig.cluster import children
from tests.rig.proxy import Proxy

# There and back


def test_an_export_imported_into_an_empty_account_gives_the_same_export(
    alice: Account, bob: Account
) -> None:
    assert alice.patch("/v1/me", json={"name": "Alice", "time_zone": "Europe/Oslo"}).status_code
    home = alice.create_category(name="Home", color="#00ff00")["id"]
    alice.create_category(name="Work")
    for number in range(importing.CHUNK_LINES + 5):
        alice.create_task(title=f"{number}", category_id=home, complete=number % 2 == 0)
    data = exported(alice)
    assert counts(send(bob, data).json) == (importing.CHUNK_LINES + 7, 1, 0, 0)
    assert without_account(exported(bob)) == without_account(data)
    address = bob.email.encode()
    assert exported(bob) == data.replace(alice.email.encode(), address)


TEXT = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=20
).map(composed)
NAME = TEXT.map(trimmed).filter(is_visible)
INSTANT = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.just(UTC)).map(
    lambda at: at.isoformat().replace("+00:00", "Z")
)
DAY = st.dates(date(1, 1, 1)).map(str)
ID = st.uuids().map(str)


@st.composite
def accounts(draw: st.DrawFn) -> list[dict[str, Any]]:
    """The lines of an account: categories, and tasks of which some are in one."""
    times = {"created_at": INSTANT, "updated_at": INSTANT}
    names = draw(st.lists(NAME, unique_by=lambda name: name.lower().casefold(), max_size=4))
    colors = st.none() | st.from_regex("#[0-9a-f]{6}", fullmatch=True)
    categories = [
        {"id": draw(ID), "name": name, "color": draw(colors), **draw(st.fixed_dictionaries(times))}
        for name in names
    ]
    ids = st.sampled_from([None, *(row["id"] for row in categories)])
    rows = st.fixed_dictionaries(
        {
            "id": ID,
            "title": NAME,
            "description": st.none() | TEXT,
            "priority": st.sampled_from(["none", "low", "medium", "high"]),
            "category_id": ids,
            **times,
        }
    )
    due = st.sampled_from([{}, {"due_date": draw(DAY)}, {"due_at": draw(INSTANT)}])
    done = st.sampled_from([{}, {"complete": True, "completed_at": draw(INSTANT)}])
    tasks = draw(st.lists(rows, max_size=8, unique_by=lambda row: row["id"]))
    return [
        *({"type": "category", "data": row} for row in categories),
        *({"type": "task", "data": {**row, **draw(due), **draw(done)}} for row in tasks),
    ]


@settings(max_examples=40)
@given(lines=accounts())
def test_whatever_an_account_holds_comes_back_as_it_was(
    auth: Callable[[], Account], lines: list[dict[str, Any]]
) -> None:
    first, second = auth(), auth()
    assert counts(imported(first, *lines))[:2] == (len(lines), 0)
    data = exported(first)
    report = send(second, data).json
    assert (counts(report), report["complete"]) == ((len(lines), 0, 1, 0), True)
    assert without_account(exported(second)) == without_account(data)
    for before, after in zip(sorted(lines, key=place), parsed(data)[1:-1], strict=True):
        told = {name: after["data"][name] for name in before["data"]}
        assert normal(told) == normal(before["data"])


def place(line: dict[str, Any]) -> tuple[str, int]:
    return line["type"], UUID(line["data"]["id"]).int


def normal(data: dict[str, Any]) -> dict[str, Any]:
    """With instants as such: not each is written with its fraction."""
    return {
        name: datetime.fromisoformat(value) if name.endswith("_at") and value else value
        for name, value in data.items()
    }


def test_every_kind_of_row_goes_out_and_comes_back(alice: Account, bob: Account) -> None:
    for kind in KINDS.values():
        body = kind.replace.model_json_schema()["examples"][0]
        assert alice.put(f"/v1/{kind.plural}/{new_id()}", json=body).status_code == 201
    data = exported(alice)
    types = [line["type"] for line in parsed(data)]
    assert sorted(types) == sorted(["account", *KINDS, "end"])
    for name, kind in KINDS.items():
        others = {*kind.references.values()} - {name}
        assert all(types.index(other) < types.index(name) for other in others)
    report = send(bob, data).json
    assert (counts(report), report["complete"]) == ((len(KINDS), 0, 1, 0), True)
    assert without_account(exported(bob)) == without_account(data)


def test_the_same_import_twice_changes_nothing(alice: Account) -> None:
    lines = [category(), *(task() for _ in range(3))]
    assert counts(imported(alice, *lines)) == (4, 0, 0, 0)
    versions = alice.get("/v1/changes").json
    assert counts(imported(alice, *lines)) == (0, 0, 4, 0)
    assert alice.get("/v1/changes").json["items"] == versions["items"]


def test_digits_beyond_microseconds_are_cut_off(alice: Account) -> None:
    line = task(due_at="2027-01-31T09:30:00.9999999Z", due_date=None)
    assert counts(imported(alice, line)) == (1, 0, 0, 0)
    (row,) = (each["data"] for each in parsed(exported(alice)) if each["type"] == "task")
    assert row["due_at"] == "2027-01-31T09:30:00.999999Z"
    assert counts(imported(alice, line)) == (0, 0, 1, 0)


def test_each_row_that_is_written_has_a_version_of_its_own_in_the_order_of_lines(
    alice: Account,
) -> None:
    old = alice.create_task()
    lines = [task() for _ in range(5)]
    imported(alice, *lines)
    lines[1]["data"]["title"] = lines[3]["data"]["title"] = "Buy oat milk"
    assert counts(imported(alice, *lines)) == (0, 2, 3, 0)
    changes = alice.get("/v1/changes").json["items"]
    order = [item["id"] for item in changes]
    expected = [lines[n]["data"]["id"] for n in (0, 2, 4, 1, 3)]
    assert order == [old["id"], *expected]
    assert [item["version"] for item in changes] == [1, 2, 4, 6, 7, 8]


def test_a_line_replaces_the_whole_row_and_keeps_times_that_it_does_not_give(
    alice: Account,
) -> None:
    before = alice.create_task(description="Two litres", complete=True, priority="high")
    imported(alice, task(id=before["id"], complete=True))
    after = alice.get(f"/v1/tasks/{before['id']}").json
    assert (after["description"], after["priority"]) == (None, "none")
    assert after["created_at"] == before["created_at"]
    assert after["completed_at"] == before["completed_at"]
    assert after["updated_at"] > before["updated_at"]


def test_what_was_deleted_comes_back_under_its_id(alice: Account) -> None:
    made = alice.create_task(title="Old")
    data = exported(alice)
    assert alice.delete(f"/v1/tasks/{made['id']}").status_code == 204
    assert counts(send(alice, data).json) == (1, 0, 1, 0)
    assert exported(alice) == data


def test_ids_of_strangers_are_ids_like_any_other(
    alice: Account, bob: Account, connection: Any
) -> None:
    home = bob.create_category(name="Home")
    theirs = bob.create_task(title="Bob's", category_id=home["id"])
    before = exported(bob)
    report = imported(alice, task(id=theirs["id"], title="Mine"), task(category_id=home["id"]))
    assert counts(report) == (1, 0, 0, 1)
    assert reasons(report) == [(2, "/data/category_id", "unknown_reference")]
    assert alice.get(f"/v1/tasks/{theirs['id']}").json["title"] == "Mine"
    assert exported(bob) == before


def test_the_account_takes_name_and_time_zone_and_keeps_its_address(alice: Account) -> None:
    data = {"email": "other@example.com", "name": "Alice", "time_zone": "Europe/Oslo"}
    assert counts(imported(alice, {"type": "account", "data": data})) == (0, 1, 0, 0)
    me = alice.get("/v1/me").json
    assert (me["email"], me["name"], me["time_zone"]) == (alice.email, "Alice", "Europe/Oslo")
    assert counts(imported(alice, {"type": "account", "data": data})) == (0, 0, 1, 0)


# Lines that are refused


def test_each_line_is_refused_by_itself_with_its_number_and_reason(alice: Account) -> None:
    taken = alice.create_category(name="Home")
    good = [task(), task()]
    wrong = [
        jsonl(good[0]),
        b'{"type": "task"\n',
        b"\xff\xfe\n",
        b"\n",
        b'"text"\n',
        b'{"type":"task","type":"task"}\n',
        b'{"type":"project","data":{}}\n',
        jsonl(task(title="")),
        jsonl(task(extra=1)),
        jsonl(task(complete="true")),
        jsonl(task(completed_at="2027-01-31T00:00:00Z")),
        jsonl(task(due_date="2027-01-31", due_at="2027-01-31T00:00:00Z")),
        jsonl(task(description="\ud800")),
        jsonl(task(created_at="infinity")),
        jsonl(task(category_id=new_id())),
        jsonl(category(name="home")),
        jsonl(category(color="red")),
        b'{"type":"task","data":{"id":"1","title":"Buy milk"}}\n',
        json.dumps(good[1]).encode(),
    ]
    report = send(alice, b"".join(wrong)).json
    assert counts(report) == (2, 0, 0, 16)
    assert reasons(report) == [
        (2, "", "malformed_json"),
        (3, "", "malformed_json"),
        (5, "", "object"),
        (6, "", "malformed_json"),
        (7, "", "type"),
        (8, "/data/title", "string_blank"),
        (9, "/data/extra", "extra_forbidden"),
        (10, "/data/complete", "bool_type"),
        (11, "/data/completed_at", "completed_at"),
        (12, "/data/due_at", "due_once"),
        (13, "/data", "unicode"),
        (14, "/data/created_at", "timestamp"),
        (15, "/data/category_id", "unknown_reference"),
        (16, "/data", "conflict"),
        (17, "/data/color", "color"),
        (18, "/data/id", "uuid"),
    ]
    kept = {line["data"]["id"] for line in parsed(exported(alice))[1:-1]}
    assert kept == {taken["id"], good[0]["data"]["id"], good[1]["data"]["id"]}


def test_a_huge_line_is_refused_and_the_next_is_read(alice: Account) -> None:
    huge, good = b"[" * (3 * LONGEST_LINE) + b"\n", jsonl(task())
    report = send(alice, huge + good + huge).json
    assert counts(report) == (1, 0, 0, 2)
    assert reasons(report) == [(1, "", "line_too_long"), (3, "", "line_too_long")]


def test_the_largest_task_fits_into_a_line_however_it_is_escaped(alice: Account) -> None:
    large = task(title="\U0001f600" * 200, description="\U0001f600" * 5000)
    assert counts(imported(alice, large)) == (1, 0, 0, 0)


def test_of_many_refusals_the_first_hundred_are_told_of(alice: Account) -> None:
    report = send(alice, b"x\n" * 250).json
    assert (report["refused"], len(report["refusals"])) == (250, 100)


def test_a_file_of_nothing_but_refusals_is_not_read_to_its_end(
    alice: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.api.transfer.progress.MOST_REFUSED", 50)
    good = task()
    report = send(alice, jsonl(good) + b"x\n" * 60 + jsonl(task())).json
    assert (counts(report), report["complete"]) == ((1, 0, 0, 50), False)
    assert reasons(report)[-1] == (51, "", "too_many_refused")


def test_the_account_has_one_line(alice: Account) -> None:
    lines = [{"type": "account", "data": {"name": name}} for name in ("Alice", "Bob", "Carol")]
    report = imported(alice, *lines)
    assert (counts(report), alice.get("/v1/me").json["name"]) == ((0, 1, 0, 2), "Alice")
    assert reasons(report) == [(2, "", "account_again"), (3, "", "account_again")]


@pytest.mark.parametrize("headers", [{}, {"Idempotency-Key": "once"}], ids=["plain", "with a key"])
@pytest.mark.parametrize(
    "line",
    [
        {"type": "task", "data": {"id": new_id(), "title": "Buy milk", "a\0b": 1}},
        {"type": "x\0y", "data": {}},
        {"type": "x" * 100_000, "data": {}},
        {"type": "task", "data": {"x" * 100_000: 1}},
        {"type": "end", "data": {"tasks": -1}},
    ],
    ids=["a name with U+0000", "a type with it", "a long type", "a long name", "less than none"],
)
def test_a_report_tells_of_odd_lines_without_repeating_them(
    alice: Account, line: dict[str, Any], headers: dict[str, str]
) -> None:
    data = jsonl(task(), line)
    for _ in range(2):
        response = send(alice, data, **headers)
        assert (response.status_code, response.json["refused"]) == (200, 1), response.text
        assert len(response.data) < 1000


@pytest.mark.parametrize("depth", range(940, 1000, 3))
def test_no_depth_of_a_line_ends_an_import(alice: Account, depth: int) -> None:
    deep = '{"e":"\\ud83d\\ude00","type":' + "[" * depth + "]" * depth + "}\n"
    assert counts(send(alice, deep.encode() + jsonl(task())).json) == (1, 0, 0, 1)


def test_lines_that_take_the_database_too_long_are_written_fewer_at_a_time(
    alice: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, sizes = rows.write, list[int]()

    def write(user_id: str, kind: Kind, chunk: list[dict[str, Any]]) -> Any:
        sizes.append(len(chunk))
        if len(chunk) > 3:
            raise QueryCanceled
        return real(user_id, kind, chunk)

    monkeypatch.setattr(rows, "write", write)
    assert counts(imported(alice, *(task() for _ in range(12)))) == (12, 0, 0, 0)
    assert sizes == [12, 6, 3, 3, 6, 3, 3]


def test_of_two_lines_with_one_id_the_last_counts(alice: Account) -> None:
    first, second = task(title="First"), task(title="Second")
    second["data"]["id"] = first["data"]["id"]
    assert counts(imported(alice, first, second)) == (1, 1, 0, 0)
    assert alice.get(f"/v1/tasks/{first['data']['id']}").json["title"] == "Second"


def test_a_name_that_is_taken_keeps_no_other_line_of_its_chunk_out(alice: Account) -> None:
    report = imported(alice, category(name="a"), category(name="A"), category(name="b"))
    assert counts(report) == (2, 0, 0, 1)
    assert reasons(report) == [(2, "/data", "conflict")]


def test_the_report_tells_if_the_end_is_missing(alice: Account) -> None:
    alice.create_task()
    data = exported(alice)
    assert send(alice, data).json["complete"] is True
    lines = data.splitlines(keepends=True)
    assert send(alice, b"".join(lines[:-1])).json["complete"] is False
    assert send(alice, lines[0] + lines[-1]).json["complete"] is False


# Bodies that are refused


@pytest.mark.parametrize("media_type", [LINES, "application/x-ndjson; charset=UTF-8"])
def test_json_lines_are_taken_under_both_their_names(alice: Account, media_type: str) -> None:
    response = alice.post("/v1/import", data=jsonl(task()), headers={"Content-Type": media_type})
    assert counts(response.json) == (1, 0, 0, 0)


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "application/json"},
        {"Content-Type": "text/plain"},
        {"Content-Type": f"{LINES}; charset=latin-1"},
        {"Content-Type": LINES, "Content-Encoding": "gzip"},
    ],
)
def test_what_is_not_json_lines_is_415(alice: Account, headers: dict[str, str]) -> None:
    response = alice.post("/v1/import", data=jsonl(task()), headers=headers)
    assert response.status_code == 415


def test_a_body_that_is_too_large_is_413_and_nothing_is_written(
    auth: Callable[..., Account], database_url: str
) -> None:
    caller = auth(create_app(settings_for(database_url, MAX_BODY_BYTES="1024")))
    assert counts(send(caller, jsonl(task()) + b"\n" * (64 * 1024 - 200)).json) == (1, 0, 0, 0)
    data = jsonl(task()) + b"\n" * 64 * 1024
    assert send(caller, data).status_code == 413
    chunked = {"wsgi.input_terminated": True, "CONTENT_LENGTH": None}
    headers = {"Content-Type": LINES}
    response = caller.post("/v1/import", data=data, headers=headers, environ_overrides=chunked)
    assert response.status_code == 413
    assert parsed(exported(caller))[-1]["data"] == counted(tasks=1)


def test_a_body_that_is_cut_short_is_400_and_nothing_is_written(alice: Account) -> None:
    data = jsonl(task())
    response = alice.post(
        "/v1/import",
        data=data,
        headers={"Content-Type": LINES},
        environ_overrides={"CONTENT_LENGTH": str(len(data) + 1)},
    )
    assert response.status_code == 400
    assert len(parsed(exported(alice))) == 2


# Done once


def test_an_import_under_a_key_is_answered_alike(alice: Account) -> None:
    data = jsonl(category(), task())
    first, second = (send(alice, data, **{"Idempotency-Key": "once"}) for _ in range(2))
    assert (first.data, first.status_code) == (second.data, 200)
    assert [answer.headers.get("Idempotency-Replayed") for answer in (first, second)] == [
        None,
        "true",
    ]
    other = send(alice, jsonl(task()), **{"Idempotency-Key": "once"})
    assert (other.status_code, other.json["type"]) == (422, "/problems/idempotency-key-reused")


def test_the_same_import_at_once_writes_each_line_once(
    auth: Callable[..., Account], database_url: str
) -> None:
    alice = auth()
    processes = [create_app(settings_for(database_url)) for _ in range(8)]
    callers = [alice._replace(client=process.test_client()) for process in processes]
    data = jsonl(*(task() for _ in range(20)))
    key = {"Idempotency-Key": "once"}
    answers = at_once([lambda each=each: send(each, data, **key) for each in callers])
    assert {answer.data for answer in answers} == {answers[0].data}
    assert len(alice.get("/v1/changes").json["items"]) == 20
    assert alice.get("/v1/changes").json["items"][-1]["version"] == 20


# When something fails


def kill(connection: Any, pids: list[int]) -> None:
    with connection.cursor() as cursor:
        cursor.execute("select pg_terminate_backend(pid) from unnest(%s) pid", (pids,))


def test_an_import_outlives_a_connection_that_is_killed(
    auth: Callable[..., Account], database_url: str, connection: Any
) -> None:
    caller = auth(create_app(settings_for(database_url)))
    data = jsonl(*(task() for _ in range(importing.CHUNK_LINES + 1)))
    answers: list[TestResponse] = []
    thread = Thread(target=lambda: answers.append(send(caller, data)))
    with held(connection, caller.user_id):
        thread.start()
        until(lambda: waiting(connection))
        kill(connection, waiting(connection))
        until(lambda: waiting(connection))
    thread.join(timeout=30)
    assert counts(answers[0].json) == (importing.CHUNK_LINES + 1, 0, 0, 0)


def test_an_import_that_breaks_off_says_how_far_it_came_and_goes_on_when_it_is_sent_again(
    auth: Callable[..., Account], cutting: Proxy
) -> None:
    caller = auth(create_app(settings_for(cutting.url)))
    lines = [task() for _ in range(3 * importing.CHUNK_LINES)]
    data, last = jsonl(*lines), lines[-1]["data"]["id"].encode()
    cutting.faults.cut_within = last
    response = send(caller, data)
    assert (response.status_code, response.json["type"]) == (503, "/problems/import-interrupted")
    assert response.json["line"] == 2 * importing.CHUNK_LINES
    assert int(response.headers["Retry-After"]) >= 1
    cutting.faults.cut_within = b""
    until(lambda: caller.get("/v1/me").status_code == 200)
    assert counts(send(caller, data).json) == (200, 0, 400, 0)


def test_an_import_whose_answers_are_lost_writes_each_line_once(
    auth: Callable[..., Account], cutting: Proxy
) -> None:
    caller = auth(create_app(settings_for(cutting.url)))
    lines = [task() for _ in range(importing.CHUNK_LINES)]
    cutting.faults.lose_answer_to = lines[0]["data"]["id"].encode()
    assert send(caller, jsonl(*lines)).status_code == 503
    cutting.faults.lose_answer_to = b""
    until(lambda: caller.get("/v1/me").status_code == 200)
    assert counts(imported(caller, *lines)) == (0, 0, importing.CHUNK_LINES, 0)


def test_a_process_that_ends_breaks_an_import_off(
    alice: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = jsonl(*(task() for _ in range(importing.CHUNK_LINES + 1)))
    monkeypatch.setattr(lifecycle, "leaving", lambda: True)
    response = send(alice, data)
    assert (response.status_code, response.json["line"]) == (503, 0)
    monkeypatch.undo()
    assert counts(send(alice, data).json)[0] == importing.CHUNK_LINES + 1


# Time and memory


def refused_lines() -> bytes:
    line = jsonl(task(description="x" * 500))
    return line + b"".join(jsonl({"type": "note", "data": "x" * 500}) for _ in range(60_000))


def new_tasks() -> bytes:
    return b"".join(jsonl(task(description="x" * 500)) for _ in range(40_000))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("query", "made", "outcome", "count"),
    [
        ("", refused_lines, "refused", MOST_REFUSED),
        ("?dry_run=true", new_tasks, "created", 40_000),
    ],
    ids=["import", "dry run"],
)
def test_an_import_takes_no_more_memory_however_many_lines_there_are_and_no_longer_deadline(
    database_url: str,
    alice: Account,
    tmp_path: Path,
    query: str,
    made: Callable[[], bytes],
    outcome: str,
    count: int,
) -> None:
    data = made()
    head = (
        f"POST /v1/import{query} HTTP/1.1\r\nHost: localhost\r\n"
        f"Authorization: Bearer {alice.token}\r\nContent-Type: {LINES}\r\n"
        f"Content-Length: {len(data)}\r\n\r\n"
    ).encode()
    environment = {"WEB_CONCURRENCY": "1", "REQUEST_DEADLINE": "1"}
    serving = gunicorn_process(database_url, tmp_path / "log", **environment)
    with serving as (base, process), closing(connect(base)) as sender:
        (worker,) = children(process.pid)
        before, most = memory(worker), 0
        sender.sendall(head)
        for start in range(0, len(data), MEGABYTE):
            sender.sendall(data[start : start + MEGABYTE])
            most = max(most, memory(worker))
        status, _, body = answered(sender)
        assert (status, json.loads(body)[outcome]) == (200, count)
        assert max(most, memory(worker)) - before < 30 * MEGABYTE
