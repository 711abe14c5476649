"""Days and times as JSON files of other apps write them."""

import re
from datetime import UTC, date, datetime, tzinfo
from typing import Final

from app.api.transfer.moving.items import Unreadable, shown

LONGEST: Final = 40
"""Characters of a day or time."""

MOMENT: Final = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})"
    r"([Tt ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,9})?)?([Zz]|[+-][0-9]{2}:[0-9]{2})?)?"
)
"""ISO 8601; .NET writes seven digits of a second."""


def local_time(text: str) -> datetime:
    """Return a time, which is aware if it has an offset; a day is its midnight.

    Digits beyond microseconds are cut off. Raises Unreadable.
    """
    if len(text) <= LONGEST and MOMENT.fullmatch(text):
        try:
            return datetime.fromisoformat(text.upper())
        except ValueError:
            pass  # no day or time of the calendar
    raise Unreadable(f"{shown(text)} is not a time.")


def day(text: str) -> date:
    """Return the day that a day or time is on as it stands. Raises Unreadable."""
    try:
        return local_time(text).date()
    except Unreadable:
        raise Unreadable(f"{shown(text)} is not a day.") from None


def in_utc(time: datetime, zone: tzinfo) -> datetime:
    """Return a time in UTC; one without an offset is local to the zone.

    A time that a change of clocks leaves out is later by as much; of one that comes twice it is the
    first. Raises Unreadable outside of the years 1 to 9999.
    """
    try:
        return (time if time.tzinfo else time.replace(tzinfo=zone)).astimezone(UTC)
    except (OverflowError, ValueError):
        raise Unreadable(f"{shown(time.isoformat())} is outside of the calendar.") from None
