"""The days on which a task of Todoist repeats, as parts of a rule.

Days that some months lack are not read, as Todoist does not document what becomes of them.
"""

from collections.abc import Callable
from typing import Final, TypeVar

from app.api.tasks.rules import WEEKDAYS as NAMES
from app.api.transfer.moving.todoist.days import (
    MONTHS,
    WEEKDAYS,
    Unreadable,
    Words,
    day_of_month,
    month_and_day,
)

Parts = dict[str, str]
Item = TypeVar("Item")

UNITS: Final = {
    "day": ("DAILY", 1),
    "days": ("DAILY", 1),
    "week": ("WEEKLY", 1),
    "weeks": ("WEEKLY", 1),
    "month": ("MONTHLY", 1),
    "months": ("MONTHLY", 1),
    "quarter": ("MONTHLY", 3),
    "quarters": ("MONTHLY", 3),
    "year": ("YEARLY", 1),
    "years": ("YEARLY", 1),
}
"""The frequency of a unit, and its interval."""

PLACES: Final = {
    name: place
    for names, place in (
        *(("1st first", 1), ("2nd second", 2), ("3rd third", 3), ("4th fourth", 4)),
        ("last", -1),
    )
    for name in names.split()
}
"""Places of a weekday that each month has."""

MOST_WORKDAYS: Final = 20
"""The workdays that each month has."""

WORKDAYS: Final = ",".join(NAMES[:5])
SHORTEST_MONTH: Final = 28
SHORT_MONTHS: Final = (4, 6, 9, 11)

LACKING: Final = "is on a day that some months lack"


def _list(words: Words, read: Callable[[Words], Item | None]) -> list[Item]:
    """Read things with commas or `and` between them."""
    found = []
    item = words.attempt(read)
    while item is not None:
        found.append(item)
        item = words.attempt(lambda rest: read(rest) if _joined(rest) else None)
    return found


def _joined(words: Words) -> bool:
    comma = words.skip(",")
    return words.skip("and", "&") or comma


def weekdays(words: Words) -> Parts | None:
    """Read `mon, thu`, or `weekday`."""
    if words.skip("weekday", "weekdays", "workday", "workdays"):
        return {"FREQ": "WEEKLY", "BYDAY": WORKDAYS}
    days = _list(words, lambda rest: WEEKDAYS.get(rest.take()))
    return {"FREQ": "WEEKLY", "BYDAY": ",".join(NAMES[each] for each in days)} if days else None


def dates(words: Words) -> Parts | None:
    """Read `15 mar`, or `14 jan, 14 apr`: days that are the product of months and days."""
    dates = set(_list(words, month_and_day))
    months, days = {month for month, _ in dates}, {each for _, each in dates}
    if len(dates) != len(months) * len(days):
        raise Unreadable
    if not dates:
        return None
    for month, each in dates:
        if each > _length(month):
            raise Unreadable(LACKING)
    return {
        "FREQ": "YEARLY",
        "BYMONTH": ",".join(map(str, months)),
        "BYMONTHDAY": ",".join(map(str, days)),
    }


def weekdays_of_month(words: Words) -> Parts | None:
    """Read `3rd friday`, `1st mon, last mon`, or `1st wed jan`."""

    def one(rest: Words) -> str | None:
        place, weekday = PLACES.get(rest.take()), WEEKDAYS.get(rest.take())
        return None if place is None or weekday is None else f"{place}{NAMES[weekday]}"

    days = _list(words, one)
    if not days:
        return None
    if words.peek() not in MONTHS:
        return _of_the_month(words, {"BYDAY": ",".join(days)})
    if len(days) > 1 or words.peek(1) == ",":  # of which months are the others?
        raise Unreadable
    return {"FREQ": "YEARLY", "BYMONTH": str(MONTHS[words.take()]), "BYDAY": days[0]}


def workdays_of_month(words: Words) -> Parts | None:
    """Read `last workday`, or `1st workday, 15th workday`."""

    def one(rest: Words) -> int | None:
        word = rest.peek()
        if word.isdigit():  # `every 3 workday` counts from a start
            return None
        found = day_of_month(rest)
        return (PLACES.get(word) or found) if rest.skip("workday") else None

    places = _list(words, one)
    if any(place > MOST_WORKDAYS for place in places):
        raise Unreadable(LACKING)
    parts = {"BYDAY": WORKDAYS, "BYSETPOS": ",".join(map(str, places))}
    return _of_the_month(words, parts) if places else None


def days_of_month(words: Words) -> Parts | None:
    """Read `15th`, `2, 15, 27`, or `last day`."""

    def one(rest: Words) -> int | None:
        if rest.skip("last"):
            return -1 if rest.skip("day") else None
        found = day_of_month(rest)
        return None if rest.peek() in {*UNITS, *WEEKDAYS, *MONTHS, "am", "pm"} else found

    days = _list(words, one)
    if any(each > SHORTEST_MONTH for each in days):
        raise Unreadable(LACKING)
    return _of_the_month(words, {"BYMONTHDAY": ",".join(map(str, days))}) if days else None


def _of_the_month(words: Words, parts: Parts) -> Parts:
    """Read what may follow days of a month."""
    if words.skip("of"):
        words.skip("the", "every", "each")
        if not words.skip("month"):
            raise Unreadable
    return {"FREQ": "MONTHLY", **parts}


def _length(month: int) -> int:
    """The days that a month has in each year."""
    return SHORTEST_MONTH if month == 2 else 30 if month in SHORT_MONTHS else 31
