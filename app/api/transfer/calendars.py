"""Tasks as VTODOs for calendars (RFC 5545)."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta
from functools import partial
from typing import Any, Final
from zoneinfo import ZoneInfo

from app.api.tasks.reminders import DURATION
from app.api.transfer.formats import Form, Part
from app.api.transfer.tasks_alone import NAMED_TASKS, names
from app.db.sending import Row

BEGIN: Final = b"BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//Tasks API//EN\r\n"
END: Final = b"END:VCALENDAR\r\n"

PRIORITY: Final = (0, 9, 5, 1)
"""The stored priorities, none to high, in RFC 5545 (section 3.8.1.9)."""

CONTROL: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
"""Characters that no text may contain (RFC 5545, section 3.1)."""

ESCAPED: Final = str.maketrans({"\\": r"\\", ";": r"\;", ",": r"\,", "\n": r"\n"})
"""How characters are written within a text (RFC 5545, section 3.3.11)."""


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
        "summary": text_of(row.title),
        "priority": PRIORITY[row.priority],
        "status": "COMPLETED" if row.complete else "NEEDS-ACTION",
        "description": text_of(row.description or ""),
        "categories": text_of(*filter(None, (row.category, *names(row)))),
        "due": row.due_at or row.due_date,
        "completed": row.completed_at,
        "related-to": row.parent_id,
        **repetition(row),
        "x-tasks-category-id": row.category_id,
        "x-tasks-position": row.position,
    }
    for name, value in values.items():
        if value not in (None, ""):
            made.add(name, value)
    for alarm in alarms(row):
        made.add_component(alarm)
    text: bytes = made.to_ical()
    return text


def repetition(row: Row) -> dict[str, Any]:
    """Return how a task repeats: the start of its present occurrence, its rule, and what of it
    is known to this service alone.

    The time zone is named and not defined (RFC 7809, section 3).
    """
    from icalendar import vRecur

    if not row.recurrence:
        return {}
    local, zone = row.occurrence, ZoneInfo(row.recurrence["time_zone"])
    start = local.replace(tzinfo=zone) if row.due_at else local.date()
    return {
        "dtstart": start,
        "rrule": vRecur.from_ical(row.recurrence["rule"]),
        "x-tasks-time-zone": row.recurrence["time_zone"],  # which the start of a day does not name
        "x-tasks-after": row.recurrence["after"],
        "x-tasks-overflow": row.recurrence["overflow"],
    }


def alarms(row: Row) -> Iterator[Any]:
    """Yield a VALARM for each reminder of an open task, and for the end of its snooze."""
    from icalendar import Alarm

    if row.complete:
        return
    for at in (*map(partial(trigger, row), row.reminders), row.snoozed_until):
        if at is not None:
            alarm = Alarm()
            alarm.add("action", "DISPLAY")
            alarm.add("description", text_of(row.title))
            is_relative = isinstance(at, timedelta)
            how = {"related": "END"} if is_relative else {"value": "DATE-TIME"}
            alarm.add("trigger", at, parameters=how)
            yield alarm


def trigger(row: Row, reminder: dict[str, Any]) -> datetime | timedelta | None:
    """Return the instant of a reminder, or how long it is after the task is due; None if that is
    outside the calendar.

    What is local is as far off as it is from the present due time, as a trigger has no time zone
    (RFC 5545, section 3.8.6.3).
    """
    if at := reminder.get("at"):
        return datetime.fromisoformat(at)
    if before := reminder.get("before"):
        return -DURATION.validate_python(before)
    clock = time.fromisoformat(reminder["time"])
    if row.due_date:
        days = timedelta(days=-reminder["days_before"])
        return days + timedelta(hours=clock.hour, minutes=clock.minute)
    zone = ZoneInfo(row.recurrence["time_zone"] if row.recurrence else row.time_zone)
    try:
        day = row.due_at.astimezone(zone).date() - timedelta(days=reminder["days_before"])
        after: timedelta = datetime.combine(day, clock, zone).astimezone(UTC) - row.due_at
    except OverflowError:
        return None
    return after


def text_of(*texts: str) -> Any:
    """Return the value of a property of these texts, escaped, with plain line feeds and without
    control characters.

    The library's own escaping makes a line feed of a backslash and an N, as in `C:\\New`.
    """
    from icalendar.prop import vInline

    plain = (text.replace("\r\n", "\n").replace("\r", "\n") for text in texts)
    return vInline(",".join(CONTROL.sub("\ufffd", text).translate(ESCAPED) for text in plain))


CALENDAR: Final = Form(
    "text/calendar; charset=utf-8",
    "ics",
    "Tasks as VTODOs (RFC 5545).",
    (BEGIN + END).decode(),
    {"tasks": Part(NAMED_TASKS, todos)},
    begin=BEGIN,
    end=lambda counts: END,
)
