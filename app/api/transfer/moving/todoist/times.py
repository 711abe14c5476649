"""Dates of Todoist in time zones."""

from datetime import UTC, date, datetime
from typing import Final
from zoneinfo import ZoneInfo

from app.api.transfer.moving.found import FoundTask
from app.api.transfer.moving.todoist.dates import Due, due
from app.api.transfer.moving.todoist.days import Unreadable

OUTSIDE: Final = "is outside the calendar"


def export_time(text: str) -> date | datetime:
    """Read the day or the instant of an export. Raises Unreadable."""
    found = due(text, "", None).when
    has_zone = isinstance(found, datetime) and found.tzinfo
    return found.date() if isinstance(found, datetime) and not has_zone else found


def local_day(exported: date | datetime | None, zone: str) -> date | None:
    """Return the day on which a file was exported in a time zone, where that is known."""
    if isinstance(exported, datetime):
        try:
            return exported.astimezone(ZoneInfo(zone)).date()
        except OverflowError:
            return None
    return exported


def set_due(task: FoundTask, found: Due, zone: str) -> None:
    """Give a task what its date says. Raises Unreadable for a time outside the calendar."""
    if isinstance(found.when, datetime):
        when = found.when if found.when.tzinfo else found.when.replace(tzinfo=ZoneInfo(zone))
        try:
            task.due_at = when.astimezone(UTC)
        except OverflowError:
            raise Unreadable(OUTSIDE) from None
    else:
        task.due_date = found.when
    if found.rule:
        task.rule, task.time_zone = found.rule, zone
        task.after_completion = found.after_completion
