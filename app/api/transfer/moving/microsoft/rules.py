"""Repetition of Microsoft Graph as rules of RFC 5545.

Source: the resource types `recurrencePattern` and `recurrenceRange` of Microsoft Graph 1.0.
"""

from calendar import monthrange
from collections.abc import Callable
from datetime import date
from typing import Any, Final

from pydantic_core import PydanticCustomError

from app.api.tasks.rules import canonical
from app.api.transfer.moving.items import Unreadable, shown
from app.api.transfer.moving.moments import day

Members = dict[str, Any]

DAYS: Final = {
    "monday": "MO",
    "tuesday": "TU",
    "wednesday": "WE",
    "thursday": "TH",
    "friday": "FR",
    "saturday": "SA",
    "sunday": "SU",
}
PLACES: Final = {"first": 1, "second": 2, "third": 3, "fourth": 4, "last": -1}

SHORTEST_MONTH: Final = 28
LONGEST_MONTH: Final = 31
SOME_YEAR: Final = 2025
"""Not a leap year, so that its February is the shortest."""


def rule_of(recurrence: Any, due: date) -> tuple[str, str]:
    """Return the canonical rule of a task that is due on a day, and a doubt, which may be empty.

    Raises Unreadable.
    """
    if not isinstance(recurrence, dict):
        raise Unreadable(f"{shown(recurrence)} is not a recurrence.")
    pattern, span = recurrence.get("pattern"), recurrence.get("range") or {}
    if not isinstance(pattern, dict) or not isinstance(span, dict):
        raise Unreadable("The recurrence is not a pattern and a range.")
    build = PATTERNS.get(_word(pattern, "type"))
    if build is None:
        raise Unreadable(f"{shown(pattern.get('type'))} is not a type of repetition.")
    end, doubt = _end(span, due)
    parts = [*build(pattern), f"INTERVAL={_number(pattern, 'interval')}", *end]
    try:
        return canonical(";".join(parts)), doubt
    except PydanticCustomError as error:
        raise Unreadable(f"The repetition is not supported: {error.message()}.") from None


def _word(members: Members, name: str, default: str = "") -> str:
    """A word of an enumeration in lower case; none for anything else that is given."""
    word = members.get(name)
    if word is None:
        return default
    return word[:20].lower() if isinstance(word, str) else ""


def _number(members: Members, name: str) -> int:
    number = members.get(name)
    if not isinstance(number, int) or isinstance(number, bool) or number < 1:
        raise Unreadable(f"{shown(number)} is not a number for {name}.")
    return number


def _weekdays(pattern: Members) -> list[str]:
    """The days of the week as a part of a rule, if there are any."""
    days = pattern.get("daysOfWeek") or []
    known = [DAYS.get(str(name).lower()) for name in days[:7]] if isinstance(days, list) else [None]
    names = [name for name in known if name]
    if len(names) < len(known) or len(known) < len(days):
        raise Unreadable(f"{shown(days)} is not a list of days of the week.")
    return [f"BYDAY={','.join(names)}"] if names else []


def _daily(_pattern: Members) -> list[str]:
    return ["FREQ=DAILY"]


def _weekly(pattern: Members) -> list[str]:
    """The first day of the week matters to every second week, and is Sunday unless it is given."""
    first = DAYS.get(_word(pattern, "firstDayOfWeek", "sunday"))
    if first is None:
        raise Unreadable(f"{shown(pattern['firstDayOfWeek'])} is not a day of the week.")
    week = [f"WKST={first}"] if pattern.get("interval") != 1 else []
    return ["FREQ=WEEKLY", *_weekdays(pattern), *week]


def _absolute_monthly(pattern: Members) -> list[str]:
    return ["FREQ=MONTHLY", *_day_of_month(pattern, SHORTEST_MONTH)]


def _absolute_yearly(pattern: Members) -> list[str]:
    month = _month(pattern)
    shortest = monthrange(SOME_YEAR, month)[1]
    return ["FREQ=YEARLY", f"BYMONTH={month}", *_day_of_month(pattern, shortest)]


def _relative_monthly(pattern: Members) -> list[str]:
    return ["FREQ=MONTHLY", *_place(pattern)]


def _relative_yearly(pattern: Members) -> list[str]:
    return ["FREQ=YEARLY", f"BYMONTH={_month(pattern)}", *_place(pattern)]


def _month(pattern: Members) -> int:
    month = _number(pattern, "month")
    if month > 12:
        raise Unreadable(f"{shown(month)} is not a month.")
    return month


def _day_of_month(pattern: Members, shortest: int) -> list[str]:
    """A day of a month; the last one of a month that is shorter, as in Outlook."""
    number = _number(pattern, "dayOfMonth")
    if number > LONGEST_MONTH:
        raise Unreadable(f"{shown(number)} is not a day of a month.")
    if number <= shortest:
        return [f"BYMONTHDAY={number}"]
    if number == LONGEST_MONTH:
        return ["BYMONTHDAY=-1"]
    days = ",".join(map(str, range(shortest, number + 1)))
    return [f"BYMONTHDAY={days}", "BYSETPOS=-1"]


def _place(pattern: Members) -> list[str]:
    """Which of some days of the week within a month."""
    days, place = _weekdays(pattern), PLACES.get(_word(pattern, "index", "first"))
    if not days or place is None:
        raise Unreadable("The repetition does not say which days of the week it is on.")
    return [*days, f"BYSETPOS={place}"]


def _end(span: Members, due: date) -> tuple[list[str], str]:
    """The end of a rule that counts from the due day, and a doubt if the file counts otherwise."""
    match _word(span, "type", "noend"):
        case "noend":
            return [], ""
        case "enddate":
            last = day(str(span.get("endDate")))
            if last < due:
                raise Unreadable(f"The repetition ends on {last}, before the task is due.")
            return [f"UNTIL={last.isoformat().replace('-', '')}"], ""
        case "numbered":
            count = [f"COUNT={_number(span, 'numberOfOccurrences')}"]
            start = span.get("startDate")
            doubt = f"The occurrences are counted from {due}, and in the file from {shown(start)}."
            return count, "" if start == due.isoformat() else doubt
    raise Unreadable(f"{shown(span.get('type'))} is not an end of a repetition.")


PATTERNS: Final[dict[str, Callable[[Members], list[str]]]] = {
    "daily": _daily,
    "weekly": _weekly,
    "absolutemonthly": _absolute_monthly,
    "relativemonthly": _relative_monthly,
    "absoluteyearly": _absolute_yearly,
    "relativeyearly": _relative_yearly,
}
