"""Backups of TickTick: each file in tests/moving/ticktick has the expected tasks beside it."""

import csv
import json
import tracemalloc
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, replace
from datetime import date, datetime, timedelta
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from tempfile import SpooledTemporaryFile, TemporaryFile
from typing import IO, Any, Final
from zipfile import ZipFile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.api.tasks.reminders import Reminder
from app.api.tasks.rules import canonical
from app.api.transfer.moving.found import (
    MOST_OF_READER,
    UNTITLED,
    Found,
    FoundTask,
    Loss,
    Options,
)
from app.api.transfer.moving.refused import NotThisFormat
from app.api.transfer.moving.ticktick.reader import read
from app.api.transfer.moving.ticktick.rows import LONGEST_RECORD, MOST_ROWS
from app.core.texts import is_visible
from tests.hostile import TEXTS

FILES: Final = sorted(Path(__file__).with_name("moving").joinpath("ticktick").glob("*.csv"))
READABLE: Final = [file for file in FILES if "refused" not in file.with_suffix(".json").read_text()]
INSTANTS: Final = ("completed_at", "created_at", "due_at")
HEADER: Final = '"List Name","Title","Content","taskId"\n'
LEFT_OUT: Final = "The row was left out: "


def expected(file: Path) -> dict[str, Any]:
    """What is to be found in the file."""
    content: dict[str, Any] = json.loads(file.with_suffix(".json").read_text())
    return content


def found_in(data: bytes, **options: str) -> list[Found]:
    return list(read(BytesIO(data), Options(**options)))


def tasks(found: list[Found]) -> list[FoundTask]:
    return [each for each in found if isinstance(each, FoundTask)]


def losses(found: list[Found]) -> list[Loss]:
    return [each for each in found if isinstance(each, Loss)]


def task_of(written: dict[str, Any]) -> FoundTask:
    """The task that is written as JSON; fields that are left out have their defaults."""
    times = {name: datetime.fromisoformat(written[name]) for name in INSTANTS if name in written}
    days = {"due_date": date.fromisoformat(written["due_date"])} if "due_date" in written else {}
    return FoundTask(**(written | times | days))


def with_title(task: FoundTask) -> FoundTask:
    """The task; the item of a checklist with its title in place of a digest in its source."""
    title = "" if task.title == UNTITLED else task.title
    source = task.source.replace(sha256(title.encode()).hexdigest(), title or "(empty)")
    return replace(task, source=source)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_file_is_read_as_is_written_beside_it(file: Path) -> None:
    wanted = expected(file)
    if "refused" in wanted:
        with pytest.raises(NotThisFormat) as refused:
            read(BytesIO(file.read_bytes()), Options())
        assert str(refused.value) == wanted["refused"]
        return
    found = found_in(file.read_bytes(), **wanted.get("options", {}))
    assert [asdict(with_title(task)) for task in tasks(found)] == [
        asdict(task_of(each)) for each in wanted["tasks"]
    ]
    assert [loss._asdict() for loss in losses(found)] == wanted["lossy"]


@pytest.mark.parametrize("file", READABLE, ids=lambda file: file.stem)
def test_what_is_found_is_in_the_order_of_the_file_and_has_sources_of_its_own(file: Path) -> None:
    found = found_in(file.read_bytes())
    lines = [each.line for each in found]
    assert lines == sorted(lines)
    sources = [task.source for task in tasks(found)]
    assert len(sources) == len(set(sources))


def test_an_item_of_a_checklist_is_known_by_its_title_wherever_it_is() -> None:
    header = '"List Name","Title","Kind","Content","taskId"\n'
    before, after = (
        {
            task.source: (task.title, task.complete)
            for task in tasks(found_in(f'{header}"L","T","CHECKLIST","{items}","1"\n'.encode()))
        }
        for items in ("▫Pot▫Soil▪Pot▫", "▫Seed▫Pot▪Soil▪Pot▫")
    )
    changed = {key: after[key] for key in before if after[key] != before[key]}
    assert [*changed.values()] == [("Soil", True)]
    assert len(after) == len(before) + 1 == 6


@pytest.mark.parametrize("file", READABLE, ids=lambda file: file.stem)
def test_the_line_ends_of_a_file_do_not_matter(file: Path) -> None:
    """Of those that part rows and cells; CRLF becomes two lines if only LF is replaced."""
    data = file.read_bytes().replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    plain, others = found_in(data), [data.replace(b"\n", end) for end in (b"\r\n", b"\r")]
    assert [found_in(other) for other in others] == [plain, plain]


def test_files_of_each_sort_can_be_read(tmp_path: Path) -> None:
    data = FILES[0].with_name("sample.csv").read_bytes()
    with ZipFile(tmp_path / "backup.zip", "w") as archive:
        archive.writestr("backup.csv", data)
    with (
        SpooledTemporaryFile(1) as spooled,
        ZipFile(tmp_path / "backup.zip") as archive,
        archive.open("backup.csv") as entry,
    ):
        spooled.write(data)
        for file in (spooled, entry):
            assert list(read(file, Options())) == found_in(data)
            assert not file.closed


def test_a_file_that_is_closed_early_ends_quietly() -> None:
    file = BytesIO(FILES[0].with_name("states.csv").read_bytes())
    found = read(file, Options())
    next(found)
    file.close()
    del found


def rows_of(*contents: str) -> bytes:
    """A file of tasks with these contents."""
    cells = (content.replace('"', '""') for content in contents)
    lines = (f'"Inbox","Task","{cell}","{number}"\n' for number, cell in enumerate(cells))
    return (HEADER + "".join(lines)).encode()


def test_a_long_cell_is_taken_over() -> None:
    text = 'a"\r\n' * 25_000
    [task] = found_in(rows_of(text))
    assert isinstance(task, FoundTask)
    assert task.description == text.replace("\r\n", "\n")


@pytest.mark.parametrize("length", [csv.field_size_limit() + 1, LONGEST_RECORD + 1])
@pytest.mark.parametrize("text", ["x", "x\n", '"\n', '","\n'])
def test_a_cell_that_is_too_long_costs_its_row_alone(text: str, length: int) -> None:
    found = found_in(rows_of("before", text * (length // len(text) + 1), "after"))
    assert [task.description for task in tasks(found)] == ["before", "after"]
    [loss] = losses(found)
    assert (loss.line, loss.field) == (3, "")
    assert loss.detail.startswith(LEFT_OUT)


def test_a_missing_quote_ends_the_file() -> None:
    found = found_in(rows_of("before", "x\n" * 3_000_000, "after"))
    assert [task.description for task in tasks(found)] == ["before"]
    assert losses(found) == [Loss(3, "", "The file was read up to here: this row has no end.")]


def test_a_task_has_a_hundred_reminders_at_most() -> None:
    row = f'"2026-10-05T08:00:00+0000","{"-PT1M," * 100}-PT2M\n-PT3M","1"'
    [task, loss] = found_in(f'Title,"Due Date",Reminder,taskId\nTask,{row}\n'.encode())
    assert isinstance(task, FoundTask)
    assert task.reminders == [{"before": "PT1M"}]
    assert task.description == "Reminder: -PT2M\n-PT3M"
    assert loss.detail == 'The reminder "-PT2M -PT3M" could not be read.'


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
@pytest.mark.parametrize(
    "column", ["Title", "Content", "Reminder", "Repeat", "Due Date", "Order", "Timezone", "Tags"]
)
def test_no_text_takes_long(column: str, text: str) -> None:
    cell = text[:131_000].replace('"', "'")
    names = dict.fromkeys(["List Name", "Status", "taskId", "Due Date", column])
    names["Title"] = None
    data = ",".join(names) + "\n" + ",".join(f'"{cell if n == column else 1}"' for n in names)
    check(found_in(data.encode()))


def test_losses_have_an_end() -> None:
    data = 'Title,taskId,Priority,"List Name"\n' + "".join(
        f"Task,{number},9,Inbox\n" for number in range(MOST_OF_READER + 5)
    )
    found = found_in(data.encode())
    assert len(tasks(found)) == MOST_OF_READER + 5
    lossy = losses(found)
    assert len(lossy) == MOST_OF_READER + 1
    assert lossy[-1].detail == "Losses after the first 10,000 are not listed."
    assert lossy[-1].line == MOST_OF_READER + 2


def many(count: int) -> IO[bytes]:
    """A file of so many tasks, each with a checklist and a parent."""
    file = TemporaryFile()  # noqa: SIM115, on disk, where its size does not count
    file.write(b'"Title","Kind","Content","Due Date","Repeat","taskId","parentId"\n')
    for number in range(count):
        row = f'"Task {number}","CHECKLIST","▫Item","2026-10-05T08:00:00+0000",'
        row += f'"RRULE:FREQ=DAILY","{number:024x}","{number // 2:024x}"\n'
        file.write(row.encode())
    return file


def peak(count: int) -> int:
    """Bytes that reading so many tasks takes at most."""
    with many(count) as file:
        tracemalloc.start()
        try:
            assert sum(isinstance(each, FoundTask) for each in read(file, Options())) == 2 * count
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()


def test_memory_grows_by_the_ids_alone() -> None:
    """An id of 24 characters takes some 75 bytes, and its place in a set as many."""
    peak(10)  # what is imported and compiled on first use
    growth = peak(10_000) - peak(1_000)
    assert growth < 9_000 * 250


def test_rows_have_an_end() -> None:
    data = b"Title,Kind,Content,taskId\n" + b"a,b,,\n" * MOST_ROWS + b"a,TEXT,,1\n" * 2
    *_, last = losses(found_in(data))
    assert last.detail.startswith("Losses")
    data = b"Title,Kind,Content,taskId\n" + b",,,\n" * MOST_ROWS + b"a,TEXT,,1\n" * 2
    assert found_in(data) == [
        Loss(MOST_ROWS + 2, "", "Rows after the first 200,000 were left out.")
    ]


def check(found: list[Found]) -> None:
    """What is found is valid, whatever the file was."""
    for loss in losses(found):
        assert loss.line > 0
        assert 0 < len(loss.detail) < 500
        assert fit(loss.detail)
    sources = set()
    for task in tasks(found):
        assert task.source not in sources
        sources.add(task.source)
        assert is_visible(task.title)
        texts = (task.title, task.description, task.source, task.category or "", *task.labels)
        assert all(map(fit, texts))
        check_times(task)


def check_times(task: FoundTask) -> None:
    assert task.complete or not task.completed_at
    assert not (task.due_date and task.due_at)
    for instant in (task.completed_at, task.created_at, task.due_at):
        assert instant is None or instant.utcoffset() == timedelta(0)
    if task.rule:
        assert canonical(task.rule) == task.rule
        assert task.time_zone
        assert task.due_date or task.due_at
    for each in task.reminders:
        Reminder.model_validate(each)
        assert "before" not in each or task.due_at
        assert "days_before" not in each or task.due_date


def fit(text: str) -> bool:
    """Whether PostgreSQL can store the text."""
    return "\0" not in text and not any("\ud800" <= letter <= "\udfff" for letter in text)


def check_any(data: bytes) -> None:
    with suppress(NotThisFormat):
        check(found_in(data))


@given(st.binary(max_size=500))
def test_any_bytes_are_refused_or_read(data: bytes) -> None:
    check_any(data)
    check_any(HEADER.encode() + data)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A file of the samples with some places overwritten, cut out or repeated."""
    data = bytearray(draw(st.sampled_from(READABLE)).read_bytes())
    for _ in range(draw(st.integers(1, 8))):
        start = draw(st.integers(0, len(data)))
        end = draw(st.integers(start, min(start + 40, len(data))))
        piece = bytes(data[start:end])
        data[start:end] = draw(
            st.sampled_from([b"", piece * 3, b'"', b",", b"\n", b"\r", b"-", b"9" * 12, b"\0"])
            | st.binary(max_size=6)
        )
    return bytes(data)


@given(mutated())
def test_any_change_of_a_file_is_refused_or_read(data: bytes) -> None:
    check_any(data)


VALUES: Final = (
    *("", "0", "1", "-1", "2", "true", "Y", "CHECKLIST", "NOTE", "▫a▪b", "a,b", "Europe/Berlin"),
    *("2026-10-04T22:00:00+0000", "2026-02-20 10:00:00", "0001-01-01T00:00:00+1400", "2026-02-20"),
    *("9999-12-31T23:59:59-1200", "-PT30M", "P0DT9H0M0S", "TRIGGER;RELATED=END:-P27DT5H", "P9999W"),
    *(
        "RRULE:FREQ=DAILY;COUNT=3",
        "FREQ=WEEKLY",
        "ERULE:NAME=CUSTOM",
        "completion",
        "\0",
        "x" * 300,
    ),
)
COLUMNS: Final = (
    *("Folder Name", "List Name", "Title", "Kind", "Tags", "Content", "Is Check list"),
    *("Start Date", "Due Date", "Reminder", "Repeat", "Repeat From", "Priority", "Status"),
    *("Created Time", "Completed Time", "Order", "Timezone", "Is All Day", "Is Floating"),
    *("Column Name", "taskId", "parentId"),
)


def table(rows: list[list[str]]) -> Iterator[str]:
    """The lines of a file with all columns."""
    for row in [list(COLUMNS), *rows]:
        yield ",".join(f'"{cell}"' for cell in row) + "\n"


@given(
    st.lists(
        st.lists(st.sampled_from(VALUES), min_size=len(COLUMNS), max_size=len(COLUMNS)), max_size=5
    )
)
def test_any_values_in_any_columns_are_read(rows: list[list[str]]) -> None:
    check(found_in("".join(table(rows)).encode()))
