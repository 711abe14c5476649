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
"""RFC 5545, section 3.8.1.9."""

CONTROL: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
"""What no text may hold (RFC 5545, section 3.1)."""

END: Final = b"END:VCALENDAR\r\n"


def begin() -> bytes:
    """All before the first task."""
    return bytes(calendar().to_ical()).removesuffix(END)


def end(counts: Counts) -> bytes:
    """All after the last task."""
    return END


def tasks(rows: list[Row]) -> bytes:
    """A VTODO for each task."""
    return b"".join([todo(row).to_ical() for row in rows])


def calendar() -> "Calendar":
    """A calendar that is empty yet."""
    # Only where somebody asks for a calendar: it takes as long to load as much of the service.
    from icalendar import Calendar

    made = Calendar()
    made.add("prodid", PRODUCT)
    made.add("version", "2.0")
    return made


def todo(row: Row) -> "Todo":
    """A task. Its UID is its id, so that a calendar knows it again; no task has a METHOD, so that
    DTSTAMP is when it last changed (RFC 5545, section 3.8.7.2).
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
    add_what_is_there(made, row)
    return made


def add_what_is_there(made: "Todo", row: Row) -> None:
    """The fields that a task need not have."""
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
    """The text with the line ends that iCalendar has, and without what it cannot hold."""
    return CONTROL.sub("\ufffd", text.replace("\r\n", "\n").replace("\r", "\n"))


CALENDAR: Final = Form(
    "text/calendar; charset=utf-8",
    "ics",
    {"tasks": Part(queries.NAMED_TASKS, tasks)},
    begin=begin,
    end=end,
)
