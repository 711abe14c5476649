"""What every form of an export has, and JSON lines, the one that can be imported."""

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

import orjson

from app.api.tasks.schemas import PRIORITIES
from app.api.transfer import queries
from app.api.transfer.schemas import CATEGORY_FIELDS, TASK_FIELDS
from app.db.sending import Row
from app.db.statement import Statement

Counts = Mapping[str, int]

OPTIONS: Final = orjson.OPT_UTC_Z | orjson.OPT_APPEND_NEWLINE
UNWRITTEN: Final = {"email": None, "name": None, "time_zone": "UTC"}


class Part(NamedTuple):
    """Rows that are written one after the other."""

    statement: Statement
    write: Callable[[list[Row]], bytes]


class Form(NamedTuple):
    """A form of the file: what it begins with, its parts by name, and how it ends."""

    media_type: str
    extension: str
    parts: Mapping[str, Part]
    begin: Callable[[], bytes] = bytes
    end: Callable[[Counts], bytes] = lambda counts: b""


def line(kind: str, data: Any) -> bytes:
    """One line of JSON."""
    return orjson.dumps({"type": kind, "data": data}, option=OPTIONS)


def account(rows: list[Row]) -> bytes:
    """The user's own line; another issuer's user who never wrote has one without a name."""
    return line("account", rows[0]._asdict() if rows else UNWRITTEN)


def lines(kind: str, items: list[dict[str, Any]]) -> bytes:
    """A line for each of them, written as one array and then parted.

    A quotation mark within a text stands behind a backslash, so what parts two lines is nowhere
    else.
    """
    if not items:
        return b""
    array = orjson.dumps([{"type": kind, "data": item} for item in items], option=orjson.OPT_UTC_Z)
    return array[1:-1].replace(b'},{"type":', b'}\n{"type":') + b"\n"


def categories(rows: list[Row]) -> bytes:
    """A line for each category."""
    return lines("category", [dict(zip(CATEGORY_FIELDS, row, strict=True)) for row in rows])


def tasks(rows: list[Row]) -> bytes:
    """A line for each task."""
    return lines("task", [task(row) for row in rows])


def task(row: Row) -> dict[str, Any]:
    """What the line of a task says."""
    data = dict(zip(TASK_FIELDS, row, strict=False))
    data["priority"] = PRIORITIES[data["priority"]]
    return data


def end(counts: Counts) -> bytes:
    """The last line, by which a reader knows that nothing is missing."""
    return line("end", {"categories": counts["categories"], "tasks": counts["tasks"]})


JSON_LINES: Final = Form(
    "application/jsonl",
    "jsonl",
    {
        "account": Part(queries.ACCOUNT, account),
        "categories": Part(queries.CATEGORIES, categories),
        "tasks": Part(queries.TASKS, tasks),
    },
    end=end,
)
