"""Tasks as the VTODOs of an iCalendar file (RFC 5545)."""

import re
from typing import TYPE_CHECKING, Final

from app.api.tasks.schemas import PRIORITIES
from app.api.transfer import queries
from app.api.transfer.formats import Counts, Form, Part
from app.db.sending import Row

if TYPE_CHECKING:
    from icalendar import Calendar, Todo

PRODUCT: Final = "-//Tasks API//EN"

PRIORITY: Final = {"none": 0, "low": 9, "medium": 5, "high": 1}
"""Priorities of RFC 5545, section 3.8.1.9."""

CONTROL: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
"""Characters that no text may contain (RFC 5545, section 3.1)."""

END: Final = b"END:VCALENDAR\r\n"


def begin() -> bytes:
    """Write all that comes before the first task."""
    return bytes(calendar().to_ical()).removesuffix(END)


def end(counts: Counts) -> bytes:
    """Write all that comes after the last task."""
    return END


def tasks(rows: list[Row]) -> bytes:
    """Write a VTODO for each task."""
    return b"".join([todo(row).to_ical() for row in rows])


def calendar() -> "Calendar":
    """Return an empty calendar."""
    # Imported on first use: the library takes about as long to load as the rest of the service.
    from icalendar import Calendar

    made = Calendar()
    made.add("prodid", PRODUCT)
    made.add("version", "2.0")
    return made


def todo(row: Row) -> "Todo":
    """Return a task as a VTODO. Its UID is the task's id, by which calendars recognise it.

    Without a METHOD, DTSTAMP is the time of the last change (RFC 5545, section 3.8.7.2).
    """
    from icalendar import Todo

    made = Todo()
    made.add("uid", row.id)
    made.add("dtstamp", row.updated_at)
    made.add("created", row.created_at)
    made.add("last-modified", row.updated_at)
    made.add("summary", plain(row.title))
    made.add("priority", PRIORITY[PRIORITIES[row.priority]])
    made.add("status", "COMPLETED" if row.complete else "NEEDS-ACTION")
    add_optional(made, row)
    return made


def add_optional(made: "Todo", row: Row) -> None:
    """Add the properties that the task has a value for."""
    values = {
        "description": row.description and plain(row.description),
        "categories": row.category and [plain(row.category)],
        "due": row.due_at or row.due_date,
        "completed": row.completed_at,
        "x-tasks-category-id": row.category_id,
    }
    for name, value in values.items():
        if value:
            made.add(name, value)


def plain(text: str) -> str:
    """Return the text with plain line feeds, and control characters replaced."""
    return CONTROL.sub("\ufffd", text.replace("\r\n", "\n").replace("\r", "\n"))


CALENDAR: Final = Form(
    "text/calendar; charset=utf-8",
    "ics",
    {"tasks": Part(queries.NAMED_TASKS, tasks)},
    begin=begin,
    end=end,
)
