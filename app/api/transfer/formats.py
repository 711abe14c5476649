"""The forms of an export, and JSON lines, the form that can be imported."""

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

import orjson

from app.api.tasks.schemas import PRIORITIES
from app.api.transfer import queries
from app.api.transfer.schemas import CATEGORY_FIELDS, TASK_FIELDS
from app.db.sending import Row
from app.db.statement import Statement

Counts = Mapping[str, int]

MEDIA_TYPE: Final = "application/jsonl"

OPTIONS: Final = orjson.OPT_UTC_Z | orjson.OPT_APPEND_NEWLINE
UNWRITTEN: Final = {"email": None, "name": None, "time_zone": "UTC"}


class Part(NamedTuple):
    """A statement, and how to write chunks of its rows."""

    statement: Statement
    write: Callable[[list[Row]], bytes]


class Form(NamedTuple):
    """A file format: its beginning, its parts by name, and its end, which gets their counts."""

    media_type: str
    extension: str
    parts: Mapping[str, Part]
    begin: Callable[[], bytes] = bytes
    end: Callable[[Counts], bytes] = lambda counts: b""


def line(kind: str, data: Any) -> bytes:
    """Write one line of JSON."""
    return orjson.dumps({"type": kind, "data": data}, option=OPTIONS)


def account(rows: list[Row]) -> bytes:
    """Write the account's line; an external user who never wrote has no row yet."""
    return line("account", rows[0]._asdict() if rows else UNWRITTEN)


def lines(kind: str, items: list[dict[str, Any]]) -> bytes:
    """Write a line for each item: one array, which is faster, split into lines.

    JSON escapes quotation marks within texts, so the separator cannot occur in one.
    """
    if not items:
        return b""
    array = orjson.dumps([{"type": kind, "data": item} for item in items], option=orjson.OPT_UTC_Z)
    return array[1:-1].replace(b'},{"type":', b'}\n{"type":') + b"\n"


def categories(rows: list[Row]) -> bytes:
    """Write a line for each category."""
    return lines("category", [dict(zip(CATEGORY_FIELDS, row, strict=True)) for row in rows])


def tasks(rows: list[Row]) -> bytes:
    """Write a line for each task."""
    return lines("task", [task(row) for row in rows])


def task(row: Row) -> dict[str, Any]:
    """Return the data of a task's line."""
    data = dict(zip(TASK_FIELDS, row, strict=False))
    data["priority"] = PRIORITIES[data["priority"]]
    return data


def end(counts: Counts) -> bytes:
    """Write the last line, which shows a reader that nothing is missing."""
    return line("end", {"categories": counts["categories"], "tasks": counts["tasks"]})


JSON_LINES: Final = Form(
    MEDIA_TYPE,
    "jsonl",
    {
        "account": Part(queries.ACCOUNT, account),
        "categories": Part(queries.CATEGORIES, categories),
        "tasks": Part(queries.TASKS, tasks),
    },
    end=end,
)
