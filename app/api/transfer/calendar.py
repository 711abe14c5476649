"""Tasks as the VTODOs of an iCalendar file (RFC 5545)."""

import re
from typing import TYPE_CHECKING, Final

from app.api.transfer.formats import NAMED_TASKS, Form, Part
from app.db.sending import Row

if TYPE_CHECKING:
    from icalendar import Todo

BEGIN: Final = b"BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//Tasks API//EN\r\n"
END: Final = b"END:VCALENDAR\r\n"

PRIORITY: Final = (0, 9, 5, 1)
"""The stored priorities, none to high, in RFC 5545 (section 3.8.1.9)."""

CONTROL: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
"""Characters that no text may contain (RFC 5545, section 3.1)."""


def tasks(rows: list[Row]) -> bytes:
    """Write a VTODO for each task."""
    return b"".join([todo(row).to_ical() for row in rows])


def todo(row: Row) -> "Todo":
    """Return a task as a VTODO. Its UID is the task's id, by which calendars recognise it.

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
        "categories": row.category and [plain(row.category)],
        "due": row.due_at or row.due_date,
        "completed": row.completed_at,
        "x-tasks-category-id": row.category_id,
    }
    for name, value in values.items():
        if value not in (None, ""):
            made.add(name, value)
    return made


def plain(text: str) -> str:
    """Return the text with plain line feeds, and control characters replaced."""
    return CONTROL.sub("\ufffd", text.replace("\r\n", "\n").replace("\r", "\n"))


CALENDAR: Final = Form(
    "text/calendar; charset=utf-8",
    "ics",
    "Tasks as VTODOs (RFC 5545).",
    (BEGIN + END).decode(),
    {"tasks": Part(NAMED_TASKS, tasks)},
    begin=lambda: BEGIN,
    end=lambda counts: END,
)
