"""Tasks alone: as CSV for spreadsheets (RFC 4180), and as VTODOs for calendars (RFC 5545).

The table is safe from formulas in the user's texts (OWASP, "CSV Injection").
"""

import codecs
import csv
import io
import re
from typing import Any, Final
from zoneinfo import ZoneInfo

import orjson
from sqlalchemy import ARRAY, Text, and_, any_, func, select

from app.api.categories.models import Category
from app.api.labels.models import Label
from app.api.tasks.kind import TASK
from app.api.transfer.formats import Form, Part, rows_of
from app.db.sending import Row
from app.db.statement import Statement
from app.rows.shape import USER_ID

LABELS: Final = func.array(
    select(Label.name)
    .where(Label.user_id == USER_ID, Label.id == any_(TASK.table.c.label_ids))
    .scalar_subquery(),
    type_=ARRAY(Text),
).label("labels")

above: Final = TASK.table.alias("above")
PARENT: Final = (
    select(above.c.title)
    .where(above.c.user_id == USER_ID, above.c.id == TASK.table.c.parent_id)
    .scalar_subquery()
    .label("parent")
)

NAMED_TASKS: Final = Statement(
    rows_of(TASK)
    .add_columns(Category.name.label("category"), LABELS, PARENT)
    .outerjoin_from(
        TASK.table,
        Category,
        and_(Category.user_id == USER_ID, Category.id == TASK.table.c.category_id),
    )
)
"""Tasks with the names of their categories and labels, and the titles of their parents."""

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


def names(row: Row) -> list[str]:
    """Return the names of a task's labels, in the order of their letters."""
    return sorted(row.labels, key=str.lower)


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


BEGIN: Final = b"BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//Tasks API//EN\r\n"
END: Final = b"END:VCALENDAR\r\n"

PRIORITY: Final = (0, 9, 5, 1)
"""The stored priorities, none to high, in RFC 5545 (section 3.8.1.9)."""

CONTROL: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
"""Characters that no text may contain (RFC 5545, section 3.1)."""


def todos(rows: list[Row]) -> bytes:
    """Write a VTODO for each task."""
    return b"".join([todo(row) for row in rows])


def todo(row: Row) -> bytes:
    """Write a task as a VTODO. Its UID is the task's id, by which calendars recognise it.

    Without a METHOD, DTSTAMP is the time of the last change (RFC 5545, section 3.8.7.2).
    """
    # Imported on first use: the library takes about as long to load as the rest of the service.
    from icalendar import Todo

    made = Todo()
    values = {
        "uid": row.id,
        "dtstamp": row.updated_at,
        "created": row.created_at,
        "last-modified": row.updated_at,
        "summary": plain(row.title),
        "priority": PRIORITY[row.priority],
        "status": "COMPLETED" if row.complete else "NEEDS-ACTION",
        "description": row.description and plain(row.description),
        "categories": [plain(name) for name in (row.category, *names(row)) if name],
        "due": row.due_at or row.due_date,
        "completed": row.completed_at,
        "related-to": row.parent_id,
        **repetition(row),
        "x-tasks-category-id": row.category_id,
    }
    for name, value in values.items():
        if value not in (None, "", []):
            made.add(name, value)
    text: bytes = made.to_ical()
    return text


def repetition(row: Row) -> dict[str, Any]:
    """Return how a task repeats: the start of its present occurrence, and its rule.

    The time zone is named and not defined (RFC 7809, section 3).
    """
    from icalendar import vRecur

    if not row.recurrence:
        return {}
    local, zone = row.occurrence, ZoneInfo(row.recurrence["time_zone"])
    start = local.replace(tzinfo=zone) if row.due_at else local.date()
    return {"dtstart": start, "rrule": vRecur.from_ical(row.recurrence["rule"])}


def plain(text: str) -> str:
    """Return the text with plain line feeds, and control characters replaced."""
    return CONTROL.sub("\ufffd", text.replace("\r\n", "\n").replace("\r", "\n"))


CALENDAR: Final = Form(
    "text/calendar; charset=utf-8",
    "ics",
    "Tasks as VTODOs (RFC 5545).",
    (BEGIN + END).decode(),
    {"tasks": Part(NAMED_TASKS, todos)},
    begin=BEGIN,
    end=lambda counts: END,
)
