"""Tasks as CSV for spreadsheets (RFC 4180).

The table is safe from formulas in the user's texts (OWASP, "CSV Injection").
"""

import codecs
import csv
import io
from typing import Any, Final

import orjson

from app.api.tasks.kind import TASK
from app.api.transfer.formats import Form, Part
from app.api.transfer.tasks_alone import NAMED_TASKS, names
from app.db.sending import Row

NAMED: Final = {"category_id": "category", "label_ids": "labels", "parent_id": "parent"}

FIELDS: Final = [NAMED.get(name, name) for name in TASK.exported]
TEXTS: Final = {"title", "description", "category", "labels", "parent"}

BYTE_ORDER_MARK: Final = codecs.BOM_UTF8
"""Without it, Excel reads the file in its host's code page instead of UTF-8."""

FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""First characters of formulas, full-width forms included, and what programs skip before one."""


def table_lines(rows: list[Row]) -> bytes:
    """Write a line for each task."""
    return written([[cell(task, name) for name in FIELDS] for task in map(with_names, rows)])


def with_names(row: Row) -> dict[str, Any]:
    """Return a task with names in place of ids, and with its rule alone of how it repeats."""
    return TASK.represent(row) | {
        "category": row.category,
        "labels": in_line(names(row)),
        "parent": row.parent,
        "recurrence": row.recurrence and row.recurrence["rule"],
    }


def in_line(values: list[str]) -> str:
    """Return a line of CSV, so that a value with a comma stays one; empty without any."""
    line = io.StringIO(newline="")
    csv.writer(line, lineterminator="").writerow(values)
    return line.getvalue()


def cell(task: dict[str, Any], name: str) -> str:
    """Return the text of a cell: empty for null, otherwise as in JSON."""
    value = harmless(task[name]) if name in TEXTS else task[name]
    if value is None or isinstance(value, str):
        return value or ""
    return orjson.dumps(value, option=orjson.OPT_UTC_Z).decode().strip('"')


def harmless(text: str | None) -> str | None:
    """Return the text, after an apostrophe if it could be a formula."""
    return f"'{text}" if text and text.startswith(FORMULA) else text


def written(lines: list[list[str]]) -> bytes:
    """Return CSV with all cells quoted, as some locales separate cells by other characters."""
    text = io.StringIO(newline="")
    csv.writer(text, quoting=csv.QUOTE_ALL).writerows(lines)
    return text.getvalue().encode()


HEADER: Final = BYTE_ORDER_MARK + written([FIELDS])

TABLE: Final = Form(
    "text/csv; charset=utf-8; header=present",
    "csv",
    "Tasks as comma-separated values (RFC 4180).",
    HEADER.decode(),
    {"tasks": Part(NAMED_TASKS, table_lines)},
    begin=HEADER,
)
