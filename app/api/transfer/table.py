"""Tasks as CSV for spreadsheets (RFC 4180), none of which takes a text of the user's for a formula.

Source: OWASP, "CSV Injection".
"""

import csv
import io
from datetime import datetime
from typing import Any, Final

from app.api.tasks.schemas import PRIORITIES
from app.api.transfer import queries, schemas
from app.api.transfer.formats import Form, Part
from app.db.sending import Row

FIELDS: Final = tuple("category" if name == "category_id" else name for name in schemas.TASK_FIELDS)

BYTE_ORDER_MARK: Final = "\ufeff"
"""Without it, Excel takes UTF-8 for the code page of its host."""

FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""What a formula begins with, full-width forms included, and what is passed over before one."""


def begin() -> bytes:
    """The line of names."""
    return (BYTE_ORDER_MARK + written([FIELDS])).encode()


def tasks(rows: list[Row]) -> bytes:
    """A line for each task."""
    return written([cells(row) for row in rows]).encode()


def cells(row: Row) -> list[str]:
    """A task as what the cells of its line hold."""
    texts = {name: harmless(getattr(row, name)) for name in ("title", "description", "category")}
    values = row._asdict() | texts | {"priority": PRIORITIES[row.priority]}
    return [cell(values[name]) for name in FIELDS]


def harmless(text: str | None) -> str | None:
    """The text with an apostrophe before it if it could be a formula."""
    return f"'{text}" if text and text.startswith(FORMULA) else text


def cell(value: Any) -> str:
    """What stands in a cell: nothing for null, else as in JSON."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    return str(value)


def written(lines: Any) -> str:
    """CSV with quotes around each cell: where a comma is none, a cell is not torn in two."""
    text = io.StringIO(newline="")
    csv.writer(text, quoting=csv.QUOTE_ALL).writerows(lines)
    return text.getvalue()


TABLE: Final = Form(
    "text/csv; charset=utf-8; header=present",
    "csv",
    {"tasks": Part(queries.NAMED_TASKS, tasks)},
    begin=begin,
)
