"""An export is the whole account at one instant, in constant memory, and holds up nobody."""

import csv
import io
import socket
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from apiflask import APIFlask
from icalendar import Calendar

from app import create_app
from app.api.transfer.capacity import BYTES_PER_SECOND, FREE_SECONDS, PIECE
from app.api.transfer.tables import harmless
from app.auth.policies import EMPTY
from app.db.base import db
from app.db.transactions import PIECE_ROWS
from tests.conftest import Account, gunicorn_process, sending, settings_for
from tests.lines import counted, exported, parsed
from tests.locks import until
from tests.raw import MEGABYTE, answered, asking, connect, memory
from tests.rig.cluster import children
from tests.rig.proxy import Proxy

# Texts are indexed from the 500th change on, which would take most of the time.
FILL = (
    "insert into tasks (user_id, id, title, description, complete, priority, version, created_at,"
    " updated_at) select %s, gen_random_uuid(), 'Task ' || n, repeat('x', %s), false, 0, 1,"
    " now(), now() from generate_series(1, %s) n"
)


def fill(connection: Any, account: Account, tasks: int, length: int = 100) -> None:
    """So many tasks with descriptions of this length, made past the service."""
    with connection.cursor() as cursor:
        cursor.execute(FILL, (account.user_id, length, tasks))


# What is in it


def test_an_export_is_the_account_then_categories_then_tasks_by_id_then_the_end(
    alice: Account,
) -> None:
    categories = [alice.create_category() for _ in range(2)]
    tasks = [alice.create_task(category_id=categories[1]["id"]) for _ in range(3)]
    lines = parsed(exported(alice))
    assert [line["type"] for line in lines] == ["account", *["category"] * 2, *["task"] * 3, "end"]
    assert [line["data"]["id"] for line in lines[1:-1]] == [row["id"] for row in categories + tasks]
    assert lines[0]["data"] == {"email": alice.email, "name": None, "time_zone": "UTC"}
    assert lines[-1]["data"] == counted(categories=2, tasks=3)


def test_a_row_of_an_export_is_as_it_is_read_but_for_what_an_import_makes(alice: Account) -> None:
    category = alice.create_category(color="#00ff00")
    task = alice.create_task(
        category_id=category["id"], description="Two litres", complete=True, due_date="2027-01-31"
    )
    for row, line in zip((category, task), parsed(exported(alice))[1:-1], strict=True):
        made = {"user_id", "version", "remind_at"}
        own = {name: row[name] for name in row if name not in made}
        assert line["data"] == own


@pytest.mark.parametrize(
    "text", ['},{"type":"task","data":{', '"},{"type":', "}\n{", '\\"},{"type":\\"task', "\\"]
)
def test_a_text_that_looks_like_lines_is_one_text(alice: Account, text: str) -> None:
    made = [alice.create_task(title=text, description=text)["id"] for _ in range(2)]
    found = parsed(exported(alice))[1:-1]
    assert [line["data"]["id"] for line in found] == made
    assert {line["data"][field] for line in found for field in ("title", "description")} == {text}


def test_what_was_deleted_is_not_exported(alice: Account) -> None:
    for path in (
        f"/v1/tasks/{alice.create_task()['id']}",
        f"/v1/categories/{alice.create_category()['id']}",
    ):
        assert alice.delete(path).status_code == 204
    assert [line["type"] for line in parsed(exported(alice))] == ["account", "end"]


def test_nobody_elses_rows_are_exported(alice: Account, bob: Account) -> None:
    task = bob.create_task(title="Bob's own")["id"]
    for form in ("jsonl", "csv", "ics"):
        assert task not in alice.get(f"/v1/export?format={form}").text
        assert task in bob.get(f"/v1/export?format={form}").text


def test_an_unknown_format_is_422(alice: Account) -> None:
    for query in ("format=xml", "format=", "form=csv", "format=csv&format=ics"):
        assert alice.get(f"/v1/export?{query}").status_code == 422


@pytest.mark.parametrize("form", ["jsonl", "csv", "ics"])
def test_head_tells_what_a_download_is_called_and_reads_nothing(
    alice: Account, sql: Callable[[], Any], form: str
) -> None:
    with sql() as statements:
        head = alice.call("HEAD", f"/v1/export?format={form}")
    assert (head.status_code, head.data) == (200, b"")
    [check] = statements
    assert check.endswith(f"; {EMPTY.sql}"), "it checks the caller alone"
    whole = alice.get(f"/v1/export?format={form}")
    for name in ("Content-Type", "Content-Disposition", "Cache-Control"):
        assert head.headers[name] == whole.headers[name]
    assert whole.headers["Content-Disposition"].endswith(f'.{form}"')


def test_an_export_is_of_one_instant_whatever_is_written_meanwhile(
    alice: Account, connection: Any
) -> None:
    fill(connection, alice, 2 * PIECE_ROWS)
    application = alice.client.application
    writer = alice._replace(client=application.test_client())
    before = exported(alice)
    some = parsed(before)[-2]["data"]["id"]
    written: list[str] = []

    def write_between(sql: str) -> str:
        if sql.startswith("fetch") and not written:
            written.append(sql)
            with connection.cursor() as cursor:  # at once, and past the application's pool
                cursor.execute("update tasks set title = 'Changed' where id = %s", (some,))
                cursor.execute(FILL, (alice.user_id, 1, 5))
        return sql

    with sending(application, write_between):
        during = exported(alice)
    assert written
    assert during == before
    assert exported(writer) != before


# Spreadsheets

FORMULAS = ("=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "\uff1d1+1", "\uff0b1")


@pytest.mark.parametrize("text", FORMULAS)
def test_a_text_that_could_be_a_formula_begins_with_an_apostrophe(text: str) -> None:
    assert harmless(text) == f"'{text}"


def test_no_text_of_a_table_is_a_formula(alice: Account) -> None:
    category = alice.create_category(name='=HYPERLINK("https://evil.example")')
    fields = {"title": "=1+1", "description": '-2+3;"=4"', "category_id": category["id"]}
    alice.create_task(**fields)
    [row] = table(alice)
    texts = [row[name] for name in ("title", "description", "category")]
    assert texts == ["'=1+1", '\'-2+3;"=4"', '\'=HYPERLINK("https://evil.example")']


def table(account: Account) -> list[dict[str, str]]:
    response = account.get("/v1/export?format=csv")
    assert response.mimetype == "text/csv"
    text = response.data.decode("utf-8-sig")
    return list(csv.DictReader(io.StringIO(text, newline=""), strict=True))


def test_a_table_holds_every_task_with_the_name_of_its_category(alice: Account) -> None:
    category = alice.create_category(name="Café, ☕")
    task = alice.create_task(
        title='Say "hello"', description="a\r\nb,c", category_id=category["id"], complete=True
    )
    alice.create_task(title="Other", due_at="2027-01-31T10:00:00+01:00", priority="high")
    first, second = table(alice)
    assert alice.get("/v1/export?format=csv").data.startswith(b"\xef\xbb\xbf")
    assert (first["title"], first["description"]) == ('Say "hello"', "a\r\nb,c")
    assert (first["category"], first["complete"]) == ("Café, ☕", "true")
    assert (first["id"], first["completed_at"]) == (task["id"], task["completed_at"])
    assert (second["due_at"], second["priority"]) == ("2027-01-31T09:00:00Z", "high")
    assert (second["category"], second["due_date"], second["complete"]) == ("", "", "false")


# Calendars


def todos(account: Account) -> list[Any]:
    response = account.get("/v1/export?format=ics")
    assert response.mimetype == "text/calendar"
    assert all(len(line) <= 75 for line in response.data.split(b"\r\n"))
    calendar = Calendar.from_ical(response.data)
    assert (calendar["version"], bool(calendar["prodid"])) == ("2.0", True)
    return calendar.walk("VTODO")


def test_a_task_is_a_vtodo_whose_uid_is_its_id(alice: Account) -> None:
    category = alice.create_category(name="Home; sweet, home")
    task = alice.create_task(
        title="Buy; milk, now\\" + "é" * 100,
        description="Two\r\nlitres",
        category_id=category["id"],
        due_date="0999-01-31",
        priority="high",
    )
    [todo] = todos(alice)
    assert (todo["uid"], todo["summary"]) == (task["id"], task["title"])
    assert (todo["description"], todo["priority"]) == ("Two\nlitres", 1)
    assert todo["categories"].cats == ["Home; sweet, home"]
    assert (todo["due"].dt, todo["status"]) == (date(999, 1, 31), "NEEDS-ACTION")
    assert todo["x-tasks-category-id"] == category["id"]
    assert "completed" not in todo
    assert todo["dtstamp"].dt == todo["last-modified"].dt == todo["created"].dt


def test_a_complete_task_says_when_it_was_completed(alice: Account) -> None:
    task = alice.create_task(complete=True, due_at="2027-01-31T10:00:00+01:00")
    [todo] = todos(alice)
    assert todo["completed"].dt.isoformat()[:19] == task["completed_at"][:19]
    assert todo["due"].dt.isoformat() == "2027-01-31T09:00:00+00:00"
    assert todo["status"] == "COMPLETED"


def test_a_calendar_is_well_formed_whatever_a_text_holds(alice: Account) -> None:
    texts = [
        "a\nBEGIN:VEVENT",
        "b\rEND:VCALENDAR",
        "\x01\x0b\x1f\x7f",
        ":;=\\n\\,",
        "\u2028\x85",
        "C:\\New\\",
    ]
    for text in texts:
        alice.create_task(title=f"t{text}", description=text)
    found = todos(alice)
    assert len(found) == len(texts)
    assert [found[at]["description"] for at in (0, 3, 5)] == [texts[at] for at in (0, 3, 5)]
    assert [found[at]["summary"] for at in (3, 5)] == [f"t{texts[at]}" for at in (3, 5)]
    data = alice.get("/v1/export?format=ics").data
    assert not [byte for byte in data if byte < 32 and byte not in b"\r\n\t"]


# When something fails


def test_an_export_whose_connection_dies_begins_again(
    auth: Callable[..., Account], cutting: Proxy, connection: Any
) -> None:
    caller = auth(create_app(settings_for(cutting.url)))
    fill(connection, caller, PIECE_ROWS + 1)
    cutting.faults.cut_within = b"fetch 250 from tasks"
    cutting.faults.every = 3  # two for each export: the first of the second is cut
    whole = exported(caller)
    again = exported(caller)
    assert cutting.cuts == 1
    assert again == whole


def test_an_export_that_cannot_be_read_is_503_and_no_part_of_a_file(
    auth: Callable[..., Account], cutting: Proxy, connection: Any
) -> None:
    caller = auth(create_app(settings_for(cutting.url)))
    fill(connection, caller, PIECE_ROWS + 1)
    cutting.faults.cut_within = b"fetch 250 from tasks"
    response = caller.get("/v1/export")
    assert (response.status_code, response.mimetype) == (503, "application/problem+json")
    assert response.json["type"] == "/problems/database-unavailable"
    cutting.faults.cut_within = b""
    assert len(parsed(exported(caller))) == PIECE_ROWS + 3


def test_an_account_that_cannot_be_read_in_time_is_503(
    alice: Account, connection: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(connection, alice, PIECE_ROWS)
    monkeypatch.setattr("app.db.transactions.LONGEST_SNAPSHOT_SECONDS", 0.0)
    response = alice.get("/v1/export")
    assert (response.status_code, response.json["type"]) == (503, "/problems/database-busy")
    monkeypatch.undo()
    assert len(parsed(exported(alice))) == PIECE_ROWS + 2


def test_a_disk_that_is_full_is_503(
    alice: Account, connection: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full(io.BytesIO):
        def write(self, data: Any) -> int:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr("app.api.transfer.capacity.SpooledTemporaryFile", lambda _: Full())
    response = alice.get("/v1/export")
    assert (response.status_code, response.json["type"]) == (503, "/problems/overloaded")
    monkeypatch.undo()
    assert exported(alice)


def checked_out(application: APIFlask) -> int:
    with application.app_context():
        return db.engine.pool.checkedout()


def test_nothing_is_held_once_an_export_is_read_or_has_failed(
    alice: Account, connection: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(connection, alice, 3000)
    application = alice.client.application
    for _ in range(3):
        assert len(exported(alice)) > MEGABYTE / 2
        assert checked_out(application) == 0
    opened = alice.get("/v1/export")
    assert checked_out(application) == 0
    assert alice.get("/v1/export").status_code == 429  # a place is held by who has not read yet
    opened.close()
    assert exported(alice)
    opened.close()


# Slow readers, and memory


@contextmanager
def slow_reader(base: str, account: Account) -> Iterator[socket.socket]:
    """Somebody who asks for an export and takes nothing of it yet."""
    with closing(connect(base)) as reader:
        reader.sendall(asking("/v1/export", account))
        yield reader


def idle_in_transaction(connection: Any) -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            "select count(*) from pg_stat_activity where application_name = 'tasks-api'"
            " and (state like 'idle in transaction%' or (state = 'active' and query like 'fetch%'))"
        )
        return int(cursor.fetchone()[0])


def get(base: str, path: str, account: Account) -> tuple[int, bytes]:
    with closing(connect(base)) as asking_one:
        asking_one.sendall(asking(path, account))
        status, _, body = answered(asking_one)
        return status, body


@pytest.mark.slow
def test_a_slow_reader_holds_no_transaction_and_is_cut_in_the_end(
    database_url: str, alice: Account, bob: Account, connection: Any, tmp_path: Path
) -> None:
    fill(connection, alice, 20_000, 1000)  # more than the buffers of a connection take
    environment = {"WEB_CONCURRENCY": "1", "REQUEST_DEADLINE": "2"}
    with (
        gunicorn_process(database_url, tmp_path / "log", **environment) as (base, _),
        slow_reader(base, alice) as reader,
    ):
        # The export is in its file once the head of the answer is there.
        head = reader.recv(1, socket.MSG_PEEK)
        assert head
        assert idle_in_transaction(connection) == 0
        assert get(base, "/v1/tasks", bob)[0] == 200
        assert get(base, "/v1/export", bob)[0] == 200
        refused, body = get(base, "/v1/export", alice)
        assert (refused, b"too-many-requests" in body) == (429, True)
        until(lambda: get(base, "/v1/export", alice)[0] == 200)
        received = b"".join(iter(lambda: take(reader), b""))
        length = int(received.split(b"Content-Length: ")[1].split(b"\r\n")[0])
        assert len(received.partition(b"\r\n\r\n")[2]) < length


def test_a_reader_who_keeps_no_pace_is_cut_and_gives_up_the_place(
    alice: Account, connection: Any, clock: Callable[[float], None]
) -> None:
    fill(connection, alice, 3000)
    opened = alice.get("/v1/export").response
    assert len(next(iter(opened))) == PIECE
    clock(FREE_SECONDS)
    assert len(next(iter(opened))) == PIECE  # at first it may be slow
    clock(2 * PIECE / BYTES_PER_SECOND + 1)
    with pytest.raises(ConnectionResetError):
        next(iter(opened))
    clock(60)
    assert exported(alice)


def take(reader: socket.socket) -> bytes:
    try:
        return reader.recv(65536)
    except ConnectionResetError:
        return b""


MORE: int = 30 * MEGABYTE
"""What an export may take beside what the worker has."""


@pytest.mark.longest
@pytest.mark.slow
def test_an_export_takes_no_more_memory_however_many_tasks_there_are(
    database_url: str, alice: Account, bob: Account, connection: Any, tmp_path: Path
) -> None:
    fill(connection, alice, 100_000, 200)
    fill(connection, bob, 1000, 200)
    serving = gunicorn_process(database_url, tmp_path / "log", WEB_CONCURRENCY="1")
    with serving as (base, process):
        (worker,) = children(process.pid)
        assert get(base, "/v1/tasks", bob)[0] == 200
        before = memory(worker)
        with closing(connect(base)) as reader:
            reader.sendall(asking("/v1/export", alice))
            read, most = 0, 0
            while read < 40 * MEGABYTE and (piece := take(reader)):
                if read // MEGABYTE != (read + len(piece)) // MEGABYTE:
                    most = max(most, memory(worker))
                read += len(piece)
        assert read >= 40 * MEGABYTE
        assert most - before < MORE
