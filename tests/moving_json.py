"""What is found in the sample files of a format, compared with what is expected beside them."""

import json
import tracemalloc
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from datetime import date, datetime
from io import BytesIO
from pathlib import Path
from typing import IO, Any, Final

import pytest
from hypothesis import strategies as st

from app.api.transfer.moving.found import Found, FoundTask, Loss, Options
from app.api.transfer.moving.refused import NotThisFormat
from app.core.texts import is_visible

FOLDER: Final = Path(__file__).parent / "moving"
EXPECTED: Final = ".expected.json"
DEFAULTS: Final = asdict(FoundTask(line=0, source="", title=""))
PARTS: Final = (
    *(b"", b"null", b"true", b"-1", b"1e999", b'""', b'"\\u0000"', b'"\\ud800"', b"[]", b"{}"),
    *(b'"2026-02-30"', b'"0001-01-01T00:00:00+14:00"', b"[" * 60, b"\xff", b'"', b"9" * 5000),
)
"""What parts of files are replaced by."""

WORDS: Final = (
    "2026-03-16 2026-03-16T00:00:00.0000000 2026-03-15T23:00:00Z 9999-12-31T23:59:59-12:00 "
    "0001-01-01T00:00:00+14:00 UTC Europe/Berlin ../x daily weekly absoluteMonthly monday "
    "relativeYearly numbered endDate last completed deferred html"
)

Read = Callable[[IO[bytes], Options], Iterator[Found]]


def samples(name: str) -> list[str]:
    """The names of a format's sample files."""
    paths = (FOLDER / name).glob(f"*{EXPECTED}")
    return sorted(path.name.removesuffix(EXPECTED) for path in paths)


def sample(format_: str, name: str) -> tuple[bytes, dict[str, Any]]:
    """A sample file, and what is expected of it."""
    path = FOLDER / format_ / name
    expected: dict[str, Any] = json.loads(path.with_name(name + EXPECTED).read_text())
    return path.with_name(f"{name}.json").read_bytes(), expected


def found(read: Read, data: bytes, **options: str) -> dict[str, Any]:
    """The tasks and losses of a file, in the form of what is expected."""
    everything = [*read(BytesIO(data), Options(**options))]
    assert_valid(everything)
    return {
        "tasks": [plain(each) for each in everything if isinstance(each, FoundTask)],
        "lossy": [each._asdict() for each in everything if isinstance(each, Loss)],
    }


def check_sample(read: Read, format_: str, name: str) -> None:
    """A sample file is read as written beside it, or refused so."""
    data, expected = sample(format_, name)
    if "refused" in expected:
        with pytest.raises(NotThisFormat) as refused:
            found(read, data)
        assert str(refused.value) == expected["refused"]
    else:
        assert found(read, data, **expected.get("options", {})) == completed(expected)


def check_sources(read: Read, format_: str, name: str) -> None:
    """A sample file that is read again has the same sources."""
    data, expected = sample(format_, name)
    if "refused" not in expected:
        assert found(read, data) == found(read, data)


def completed(expected: dict[str, Any]) -> dict[str, Any]:
    """What is expected, with the fields of tasks that have their defaults."""
    tasks = [DEFAULTS | task for task in expected["tasks"]]
    return {"tasks": tasks, "lossy": expected["lossy"]}


def plain(task: FoundTask) -> dict[str, Any]:
    """A task as JSON has it."""
    return {name: _plain(value) for name, value in asdict(task).items()}


def _plain(value: Any) -> Any:
    if isinstance(value, date):
        return value.isoformat().replace("+00:00", "Z")
    return value


def assert_valid(everything: Iterable[Found]) -> None:
    """What holds of whatever is found."""
    sources = set()
    for each in everything:
        texts = [each.detail] if isinstance(each, Loss) else _texts(each)
        assert all(isinstance(text, str) and "\0" not in text for text in texts)
        assert "".join(texts).encode()
        assert each.line >= 1
        if isinstance(each, FoundTask):
            assert each.source not in sources
            sources.add(each.source)
            assert_valid_task(each)


def _texts(task: FoundTask) -> list[str]:
    optional = [text for text in (task.parent, task.category) if text is not None]
    return [task.source, task.title, task.description, *optional, *task.labels]


def assert_valid_task(task: FoundTask) -> None:
    """What holds of each task."""
    assert is_visible(task.title)
    assert task.complete or task.completed_at is None
    assert task.due_date is None or task.due_at is None
    assert not isinstance(task.due_date, datetime)
    assert (task.rule is None) == (task.time_zone is None)
    assert task.rule is None or task.due_date or task.due_at
    assert task.priority in ("none", "low", "medium", "high")
    assert len(set(task.labels)) == len(task.labels)
    times = (task.completed_at, task.created_at, task.due_at)
    assert all(time.tzinfo for time in times if time)


def many(number: int, frame: str, part: str) -> bytes:
    """A file of many parts, each with its number."""
    return (frame % ",".join(part % each for each in range(number))).encode()


def growth(read: Read, data: bytes) -> int:
    """How many bytes more are held at a time once the first task is there."""
    tracemalloc.start()
    try:
        everything = read(BytesIO(data), Options())
        next(everything)
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        for _ in everything:
            pass
        _, peak = tracemalloc.get_traced_memory()
        return peak - before
    finally:
        tracemalloc.stop()


@st.composite
def mutated(draw: st.DrawFn, files: list[bytes]) -> bytes:
    """A file of which some parts are replaced by others, or by parts of another file."""
    data, other = draw(st.sampled_from(files)), draw(st.sampled_from(files))
    for _ in range(draw(st.integers(1, 4))):
        start, end = sorted(draw(st.tuples(*[st.integers(0, len(data))] * 2)))
        place = draw(st.integers(0, len(other)))
        part = draw(st.sampled_from(PARTS) | st.just(other[place : place + 40]))
        data = data[:start] + part + data[min(end, start + 40) :]
    return data


def values(names: str) -> st.SearchStrategy[bytes]:
    """JSON of any types, whose objects have members of these names."""
    leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | texts()
    return st.recursive(
        leaves,
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(names.split()), inner, max_size=8)
        ),
        max_leaves=12,
    ).map(lambda value: json.dumps(value).encode())


def texts() -> st.SearchStrategy[str]:
    """Texts that mean something in one of the members, or nearly."""
    return st.sampled_from([*WORDS.split(), "\ud800", "\0", ""])
