"""Files of Todoist: samples with what is found in them, zips of them, and hostile ones."""

import dataclasses
import io
import json
import re
import tracemalloc
import zipfile
from collections.abc import Callable
from datetime import date, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import IO, Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.api.tasks.rules import after_completion, canonical
from app.api.transfer.moving.forms import FORMS
from app.api.transfer.moving.found import MOST_OF_READER, Found, FoundTask, Loss, Options
from app.api.transfer.moving.refused import NotThisFormat
from app.api.transfer.moving.todoist import rows as todoist_rows
from app.api.transfer.moving.todoist import tasks as todoist_tasks
from app.api.transfer.moving.todoist.reader import MORE_LOSSES, NO_NAME

SAMPLES: Final = sorted(Path(__file__).with_name("moving").joinpath("todoist").glob("*.csv"))

HEADER: Final = (
    "TYPE,CONTENT,DESCRIPTION,IS_COLLAPSED,PRIORITY,INDENT,AUTHOR,RESPONSIBLE,DATE,DATE_LANG,"
    "TIMEZONE,DURATION,DURATION_UNIT,DEADLINE,DEADLINE_LANG\n"
)
DEFAULTS: Final = {
    field.name: field.default
    if field.default is not dataclasses.MISSING
    else field.default_factory()
    for field in dataclasses.fields(FoundTask)
    if field.name not in ("line", "source", "title")
    and (
        field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING
    )
}


read: Final = FORMS["todoist"].read


def found(data: bytes, **options: Any) -> list[Found]:
    return list(read(io.BytesIO(data), Options(**options)))


def tasks(result: list[Found]) -> list[FoundTask]:
    return [each for each in result if isinstance(each, FoundTask)]


def losses(result: list[Found]) -> list[Loss]:
    return [each for each in result if isinstance(each, Loss)]


def csv(*rows: str) -> bytes:
    return (HEADER + "".join(f"{row}\n" for row in rows)).encode()


def zipped(files: dict[str, bytes]) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return data.getvalue()


def plain(task: FoundTask) -> dict[str, Any]:
    """The task as JSON has it."""
    return {
        name: value.isoformat() if isinstance(value, date | datetime) else value
        for name, value in dataclasses.asdict(task).items()
    }


def digest(text: str | bytes) -> str:
    return sha256(text.encode() if isinstance(text, str) else text).hexdigest()


def readable(source: str | None, data: bytes, titles: list[str]) -> str | None:
    """A source with the file and the titles in place of their digests."""
    for text, shown in [(data, "(file)"), *((title, title) for title in [*titles, ""])]:
        source = source and source.replace(digest(text), shown)
    return source


@pytest.mark.parametrize("path", SAMPLES, ids=[path.stem for path in SAMPLES])
def test_a_file_has_what_its_sample_says(path: Path) -> None:
    expected = json.loads(path.with_suffix(".json").read_text())
    data, options = path.read_bytes(), expected["options"]
    result = found(data, **options)
    titles = [task.title for task in tasks(result)]
    assert [
        {**each, **{name: readable(each[name], data, titles) for name in ("source", "parent")}}
        for each in map(plain, tasks(result))
    ] == [{**DEFAULTS, **task} for task in expected["tasks"]]
    without_name = [] if options.get("name") else [Loss(1, "name", NO_NAME)]
    assert losses(result) == [*without_name, *(Loss(**loss) for loss in expected["lossy"])]


@pytest.mark.parametrize("path", SAMPLES, ids=[path.stem for path in SAMPLES])
def test_a_zip_has_the_same_tasks_as_its_file(path: Path) -> None:
    options = {**json.loads(path.with_suffix(".json").read_text())["options"], "name": "Plan.csv"}
    alone = found(path.read_bytes(), **options)
    inside = found(zipped({"Plan [1].csv": path.read_bytes()}), **{**options, "name": "Mine.zip"})
    assert tasks(inside) == tasks(alone)
    assert losses(inside) == [
        loss._replace(detail=f'In "Plan [1].csv": {loss.detail}') for loss in losses(alone)
    ]


@pytest.mark.parametrize(
    ("name", "category"),
    [
        (None, None),
        ("", None),
        (".csv", None),
        (" [1].csv", None),
        ("Home", "Home"),
        ("Home.csv", "Home"),
        ("Home.CSV", "Home"),
        ("Home [6Crg8jQ886Wh4P5g].csv", "Home"),
        ("Home [6Crg8jQ886Wh4P5g]", "Home"),
        ("Home [old] [2203306141].csv", "Home [old]"),
        ("Home [to do].csv", "Home [to do]"),
        ("Home [].csv", "Home []"),
        ("[1].csv", "[1]"),
        ("Caf\u00e9 \U0001f3e0.csv", "Caf\u00e9 \U0001f3e0"),
        ("a\0b\ud800.csv", "a\ufffdb\ufffd"),
        ("v1.csv.csv", "v1.csv"),
    ],
)
def test_the_project_is_the_name_of_the_file(name: str | None, category: str | None) -> None:
    data = csv("task,Buy milk")
    (task,) = tasks(found(data, name=name))
    assert task.category == category
    assert task.source == f"{category or digest(data)}\n{digest('Buy milk')}"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n\n",
        b"\xef\xbb\xbf",
        b"TYPE;CONTENT\ntask;Buy milk\n",
        b"CONTENT,PRIORITY\nBuy milk,1\n",
        b"TYPE\ntask\n",
        b'{"value": []}',
        "TYPE,CONTENT\ntask,Buy milk\n".encode("utf-16"),
        b"task,Buy milk,,,4,1\nTYPE,CONTENT\n",
        b"x" * 2_000_000,
        b'"' + b"x" * 200_000,
        b"\0" * 1000,
        b"PK\x03\x04",
        b"PK\x05\x06" + b"\0" * 18,
        b"PK\x05\x06 and more",
    ],
    ids=lambda data: repr(data[:12]),
)
def test_another_format_is_refused(data: bytes) -> None:
    with pytest.raises(NotThisFormat) as caught:
        found(data)
    assert str(caught.value).endswith(".")


def test_the_file_stays_open_and_is_read_from_its_start() -> None:
    file = io.BytesIO(csv("task,Buy milk"))
    file.seek(7)
    assert len([*read(file, Options(name="Home"))]) == 1
    assert not file.closed


def test_a_file_that_was_closed_meanwhile_does_no_harm() -> None:
    file = io.BytesIO(csv("task,Buy milk", "task,Buy bread"))
    result = read(file, Options(name="Home"))
    next(result)
    file.close()
    result.close()  # type: ignore[attr-defined]


def test_the_projects_of_a_zip_are_categories() -> None:
    result = found(
        zipped(
            {
                "Home [1].csv": csv("task,Buy milk", "task,Buy bread"),
                "Todoist/Work [2].csv": csv("task,Write"),
                "Readme.txt": b"Hello",
                "__MACOSX/._Home [1].csv": b"\0\1\2",
                "Old.zip": zipped({"Older [3].csv": csv("task,Never read")}),
                "Empty [4].csv": csv(),
            }
        )
    )
    assert [(task.category, task.title, task.source) for task in tasks(result)] == [
        (category, title, f"{category}\n{digest(title)}")
        for category, title in (("Home", "Buy milk"), ("Home", "Buy bread"), ("Work", "Write"))
    ]
    assert not losses(result)


def test_projects_of_the_same_name_have_tasks_of_their_own() -> None:
    names = ["Home [1].csv", "Home [2].csv", "a/Home [2].csv", "b/Home.csv", "Home [2]\n4.csv"]
    result = tasks(found(zipped({name: csv("task,Buy milk") for name in names})))
    assert [task.category for task in result] == ["Home"] * 4 + ["Home [2]\n4"]
    assert [task.source.rpartition("\n")[0] for task in result] == [
        *("Home", "Home [2]", "Home [2]\n2", "Home\n3", "Home [2]\n4")
    ]


def test_projects_that_become_one_category_are_reported() -> None:
    names = ["Home [1].csv", "Work [2].csv", "HOME [3].csv", " [4].csv", " [5].csv"]
    result = found(zipped({name: csv("task,Buy milk") for name in names}))
    assert losses(result) == [
        Loss(
            1,
            "file",
            'In "HOME [3].csv": Several projects are named "HOME": they are one category.',
        )
    ]


def test_a_task_is_known_by_its_title_wherever_it_is_in_the_project() -> None:
    before = csv("task,Milk @shop,,1,1", "task,Bread,,1,2", "task,Milk,,1,1")
    after = csv("task,New,,1,1", "task,Milk @home,,2,1", "task,Bread,,1,2", "task,Milk,,1,1")
    first, second = (
        {task.source: task.title for task in tasks(found(data, name="Home"))}
        for data in (before, after)
    )
    assert second.items() >= first.items()
    assert len(first) == 3
    renamed = tasks(found(csv("task,Oat milk"), name="Home"))
    assert renamed[0].source not in second


def test_a_file_without_a_name_is_a_project_of_its_own() -> None:
    first, other = csv("task,Buy milk"), csv("task,Buy milk", "task,Buy bread")
    results = [found(first), found(first), found(other)]
    sources = [tasks(result)[0].source for result in results]
    assert sources[0] == sources[1] != sources[2]
    assert [losses(result) for result in results] == [[Loss(1, "name", NO_NAME)]] * 3


def test_a_quotation_mark_out_of_place_is_reported() -> None:
    rows = ['task,"c 6" nail"', 'task,"c 6"" nail"', 'task,c 6" nail', 'task,"a,\nb" c', "task,d"]
    result = found(csv(*rows), name="Home")
    assert [task.title for task in tasks(result)] == [
        *('c 6 nail"', 'c 6" nail', 'c 6" nail', "a,\nb c", "d")
    ]
    assert losses(result) == [Loss(line, "row", todoist_rows.MARKED) for line in (2, 5)]


@pytest.mark.parametrize("row", ["", ",,", '"\n"'])
def test_lines_are_bounded(monkeypatch: pytest.MonkeyPatch, row: str) -> None:
    monkeypatch.setattr(todoist_rows, "MOST_LINES", 100)
    result = found(csv("task,First", *[row] * 99, "task,Last"), name="Home")
    assert [task.title for task in tasks(result)] == ["First"]
    assert losses(result) == [Loss(101, "row", todoist_rows.TOO_MANY)]
    assert not losses(found(csv("task,First", *[""] * 97, "task,Last"), name="Home"))


def test_a_csv_of_another_kind_does_not_stop_the_others() -> None:
    files = {"Contacts.csv": b"name,mail\nAlice,alice@example.com\n", "Home.csv": csv("task,Go")}
    result = found(zipped(files))
    assert [task.title for task in tasks(result)] == ["Go"]
    assert losses(result) == [
        Loss(1, "file", f'"Contacts.csv" was left out. {todoist_rows.NO_HEADER}')
    ]


def test_a_zip_without_any_csv_of_todoist_is_refused() -> None:
    for files in ({}, {"Readme.txt": b""}, {"Contacts.csv": b"name,mail\n"}):
        with pytest.raises(NotThisFormat, match=r"no file of this format that ends in \.csv"):
            found(zipped(files))


def test_the_name_of_a_backup_says_when_it_was_made() -> None:
    data = zipped(
        {"Home.csv": csv("task,a,,,4,1,,,today,en,Asia/Tokyo", "task,b,,,4,1,,,15 Mar,en")}
    )
    result = found(data, name="Todoist backup 2026-08-12 2248 UTC (1).zip")
    assert [task.due_date for task in tasks(result)] == [date(2026, 8, 13), date(2026, 3, 15)]
    for name in (
        *("todoist BACKUP 2026-08-12 22:48 utc.zip", "Todoist backup 2026-08-12 22_48 UTC.ZIP"),
        *(
            "C:\\fakepath\\Todoist backup 2026-08-12 22.48 UTC",
            "/a/Todoist backup 2026-08-12 2248 UTC",
        ),
    ):
        assert tasks(found(data, name=name)) == tasks(result)
    for name in (None, "Home.zip", "Todoist backup 2026-13-12 2248 UTC.zip"):
        assert len(losses(found(data, name=name))) == 2


def test_long_texts_are_kept() -> None:
    title, description = "t" * 131_072, "d" * 100_000
    (task,) = tasks(found(csv(f"task,{title},{description}")))
    assert (task.title, task.description) == (title, description)


def test_a_row_beyond_the_bounds_is_reported_and_the_next_one_read() -> None:
    rows = [
        "task,First",
        f"task,{'x' * 131_073}",  # a cell
        f"task,{'x,' * 600_000}",  # a line
        'task,"' + "x\n" * 70_000 + '"',  # a cell of many lines
        "task,Last",
    ]
    result = found(csv(*rows), name="Home")
    assert [(task.title, task.line) for task in tasks(result)] == [("First", 2), ("Last", 70_006)]
    assert losses(result) == [Loss(line, "row", todoist_rows.UNREADABLE) for line in (3, 4, 5)]


def test_a_row_of_many_lines_is_bounded() -> None:
    cells = ",".join(['"x\n"'] * 300_000)
    result = found(csv(f"task,{cells}", "task,Last"), name="Home")
    assert losses(result) == [Loss(2, "row", todoist_rows.UNREADABLE)]
    assert [task.title for task in tasks(result)] == ["Last"]


def test_the_notes_of_a_task_are_bounded() -> None:
    rows = [f"note,{number:05} {'x' * 994}" for number in range(100)]
    result = found(csv("task,Talk", *rows), name="Home")
    (task,) = tasks(result)
    assert len(task.description) <= todoist_tasks.MOST_NOTES + 100
    assert task.description.count("Note: ") + len(losses(result)) == 100


def test_losses_are_bounded() -> None:
    result = found(csv(*["reminder,x"] * (MOST_OF_READER + 5), "task,Last"), name="Home")
    assert len(losses(result)) == MOST_OF_READER + 1
    assert losses(result)[-1] == Loss(MOST_OF_READER + 2, "file", MORE_LOSSES)
    assert tasks(result)[0].title == "Last"


def test_quotes_in_losses_are_short() -> None:
    long = "x" * 100_000
    result = found(
        csv(f"task,a,,,{long},{long},,{long},{long},{long},{long},{long}", f"{long},b"), name="Home"
    )
    assert len(losses(result)) == 7
    assert all(len(loss.detail) < 300 for loss in losses(result))


@pytest.mark.parametrize(
    "title",
    [" " * 131_072, "@" * 131_072, "@a " * 40_000, " @" * 60_000, "a" + " " * 131_000 + "@"],
    ids=["spaces", "signs", "labels", "empty labels", "space within"],
)
def test_labels_cost_linear_time(title: str) -> None:
    """A pattern that takes quadratic time would take minutes here."""
    (task,) = tasks(found(csv(*[f"task,{title}"])))
    assert task.title


class Generated(io.RawIOBase):
    """A file of many tasks that is made as it is read."""

    def __init__(self, many: int) -> None:
        self.many = many
        self.seek(0)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        self.number = 0
        self.rest = HEADER.encode()
        return offset

    def readinto(self, buffer: Any) -> int:
        if not self.rest and self.number < self.many:
            self.number += 1
            text = f"task,Task {self.number} @a,Text,,2,1,Ada (1),,2027-01-31 9:00,en,Europe/Oslo\n"
            self.rest = text.encode()
        piece, self.rest = self.rest[: len(buffer)], self.rest[len(buffer) :]
        buffer[: len(piece)] = piece
        return len(piece)


def peak(file: IO[bytes], many: int) -> int:
    tracemalloc.start()
    try:
        count = sum(isinstance(each, FoundTask) for each in read(file, Options(name="Many")))
        assert count == many
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def generated(many: int) -> IO[bytes]:
    return io.BufferedReader(Generated(many))  # type: ignore[return-value]


def in_a_zip(many: int) -> IO[bytes]:
    return io.BytesIO(zipped({"Many.csv": generated(many).read()}))


@pytest.mark.parametrize("make", [generated, in_a_zip])
def test_memory_does_not_grow_with_the_number_of_tasks(make: Callable[[int], IO[bytes]]) -> None:
    few, many = make(100), make(30_000)  # of 2 MB
    peak(make(10), 10)  # what is loaded once
    titles = 30_000 * 150  # a number of each is kept
    # Measuring coverage takes some, too.
    assert peak(many, 30_000) < peak(few, 100) + titles + 1_000_000


def check(data: bytes) -> None:
    """Read data, and check what comes out."""
    try:
        result = found(data, name="Home [1].csv", time_zone="Europe/Oslo")
    except NotThisFormat as error:
        assert re.fullmatch(r"[^\0\n]+\.", str(error))  # noqa: PT017
        return
    sources = [task.source for task in tasks(result)]
    assert len({*sources}) == len(sources)
    known = {*sources}
    for task in tasks(result):
        texts = [task.title, task.description, *task.labels, task.category or ""]
        assert not any(re.search("[\0\ud800-\udfff]", text) for text in texts)
        assert task.title.strip()
        assert task.complete or not task.completed_at
        assert not (task.due_date and task.due_at)
        assert task.due_at is None or task.due_at.utcoffset() == timedelta(0)
        assert task.priority in ("none", "low", "medium", "high")
        assert task.parent is None or task.parent in known
        assert bool(task.rule) == bool(task.time_zone)
        if task.rule:
            assert task.due_date or task.due_at
            assert canonical(task.rule) == task.rule
            assert after_completion(task.rule) or not task.after_completion
    for loss in losses(result):
        assert loss.line > 0
        assert loss.field
        assert not re.search("[\0\ud800-\udfff]", loss.field + loss.detail)


@given(st.binary(max_size=300))
def test_random_bytes_raise_nothing_else(data: bytes) -> None:
    check(data)
    check(HEADER.encode() + data)
    check(b"PK\x03\x04" + data)


CELLS: Final = st.sampled_from(
    [
        *("", "task", "note", "section", "meta", "reminder", "exported_at=2026-11-20", "@a", "\0"),
        *("1", "2", "5", "99", "-1", "every day", "every! 2 weeks", "15 Mar", "2027-01-31", "en"),
        *("2027-01-31T09:00:00Z", "0001-01-01 00:00", "9999-12-31 23:59", "Asia/Tokyo", "../x"),
        *("exported_at=9999-12-31T23:59Z", "today", "every mon starting 2027-01-31 9am", "None"),
        *('"', '"",', "\r", "\n", "\ud800", "\u2028"),
    ]
)


@given(st.lists(st.lists(CELLS, max_size=15).map(",".join), max_size=8))
def test_random_rows_raise_nothing_else(rows: list[str]) -> None:
    check((HEADER + "\n".join(rows)).encode("utf-8", "surrogatepass"))


@given(st.data())
def test_mutated_files_raise_nothing_else(data: st.DataObject) -> None:
    content = data.draw(st.sampled_from(SAMPLES)).read_bytes()
    if data.draw(st.booleans()):
        content = zipped({"Home [1].csv": content, "Home [2].csv": content})
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(content)))
        end = start + data.draw(st.integers(0, 20))
        content = content[:start] + data.draw(st.binary(max_size=20)) + content[end:]
    check(content)
