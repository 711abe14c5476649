"""Tasks as CSV for spreadsheets (RFC 4180), safe from formulas in the user's texts.

Source: OWASP, "CSV Injection".
"""

import csv
import io
from datetime import datetime
from typing import Any, Final

from app.api.tasks.kind import TASK
from app.api.transfer.formats import NAMED_TASKS, Form, Part
from app.db.sending import Row

FIELDS: Final = ["category" if name == "category_id" else name for name in TASK.exported]

BYTE_ORDER_MARK: Final = "\ufeff"
"""Without it, Excel reads the file in its host's code page instead of UTF-8."""

FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""First characters of formulas, full-width forms included, and what programs skip before one."""


def begin() -> bytes:
    """Write the header line."""
    return BYTE_ORDER_MARK.encode() + written([FIELDS])


def tasks(rows: list[Row]) -> bytes:
    """Write a line for each task."""
    return written([cells({**TASK.represent(row), "category": row.category}) for row in rows])


def cells(task: dict[str, Any]) -> list[str]:
    """Return the cells of a task's line."""
    texts = {name: harmless(task[name]) for name in ("title", "description", "category")}
    return [cell((task | texts)[name]) for name in FIELDS]


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


def written(lines: list[list[str]]) -> bytes:
    """Return CSV with all cells quoted, as some locales separate cells by other characters."""
    text = io.StringIO(newline="")
    csv.writer(text, quoting=csv.QUOTE_ALL).writerows(lines)
    return text.getvalue().encode()


TABLE: Final = Form(
    "text/csv; charset=utf-8; header=present",
    "csv",
    "Tasks as comma-separated values (RFC 4180).",
    begin().decode(),
    {"tasks": Part(NAMED_TASKS, tasks)},
    begin=begin,
)
