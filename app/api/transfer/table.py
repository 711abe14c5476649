"""Tasks as CSV for spreadsheets (RFC 4180), safe from formulas in the user's texts.

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
"""Without it, Excel reads the file in its host's code page instead of UTF-8."""

FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""First characters of formulas, full-width forms included, and what programs skip before one."""


def begin() -> bytes:
    """Write the header line."""
    return (BYTE_ORDER_MARK + written([FIELDS])).encode()


def tasks(rows: list[Row]) -> bytes:
    """Write a line for each task."""
    return written([cells(row) for row in rows]).encode()


def cells(row: Row) -> list[str]:
    """Return the cells of a task's line."""
    texts = {name: harmless(getattr(row, name)) for name in ("title", "description", "category")}
    values = row._asdict() | texts | {"priority": PRIORITIES[row.priority]}
    return [cell(values[name]) for name in FIELDS]


def harmless(text: str | None) -> str | None:
    """Return the text, after an apostrophe if it could be a formula."""
    return f"'{text}" if text and text.startswith(FORMULA) else text


def cell(value: Any) -> str:
    """Return the text of a cell: empty for null, otherwise as in JSON."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    return str(value)


def written(lines: Any) -> str:
    """Return CSV with all cells quoted, as some locales separate cells by other characters."""
    text = io.StringIO(newline="")
    csv.writer(text, quoting=csv.QUOTE_ALL).writerows(lines)
    return text.getvalue()


TABLE: Final = Form(
    "text/csv; charset=utf-8; header=present",
    "csv",
    {"tasks": Part(queries.NAMED_TASKS, tasks)},
    begin=begin,
)
