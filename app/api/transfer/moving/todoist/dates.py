"""What a task's DATE says in a file of Todoist: when it is due, and how it repeats."""

import re
from collections.abc import Callable
from datetime import date, datetime
from typing import Final, NamedTuple

from pydantic_core import PydanticCustomError

from app.api.tasks.rules import WEEKDAYS, canonical
from app.api.transfer.moving.todoist.days import NO_DAY, Unreadable, Words, days_after, moment
from app.api.transfer.moving.todoist.repeats import Repetition, repetition

LONGEST_DATE: Final = 200
"""Characters; Todoist's own texts are far shorter."""

FARTHEST: Final = 100
"""Steps in which each rule is met: days of the months that it names, and the other months."""

ISO: Final = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})"
    r"([T ][0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]{1,6})?)?(Z|[+-][0-9]{2}:?[0-9]{2})?)?"
)
SPACES: Final = str.maketrans("\u00a0\u202f", "  ")

TOO_LONG: Final = "is too long for a date"
NOT_ENGLISH: Final = "is in another language than English"
NO_START: Final = "does not say on which day the task is due first"
NO_EXPORT: Final = "begins with the day of the export, which neither the file nor its name states"
ENDED: Final = "ends before it begins"


class Due(NamedTuple):
    """When a task is due, and how it repeats."""

    when: date | datetime
    """A day or a time; local if it is without an offset."""
    rule: str | None = None
    after_completion: bool = False


def due(text: str, language: str, today: date | None) -> Due:
    """Read a date or a repetition.

    `today` is the day on which the file was exported, if that is known. Dates of ISO 8601 are read
    in each language, texts only in English. Raises Unreadable.
    """
    if len(text) > LONGEST_DATE:
        raise Unreadable(TOO_LONG)
    text = text.translate(SPACES).strip()
    if found := ISO.fullmatch(text.upper()):
        return Due(_instant(found[0]) if found[2] else _instant(found[0]).date())
    if language.lower() not in ("", "en"):
        raise Unreadable(NOT_ENGLISH)
    if not text.isascii():  # some other characters have letters of ASCII as their small ones
        raise Unreadable
    if repeats := repetition(Words(text)):
        return _repeating(repeats, today)
    return Due(moment(Words(text), today))


def _instant(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise Unreadable(NO_DAY) from None


def _repeating(found: Repetition, today: date | None) -> Due:
    first = _first(found, today)
    parts = {**found.parts, "INTERVAL": str(found.interval)}
    if found.until:
        if found.until < first:
            raise Unreadable(ENDED)
        parts["UNTIL"] = found.until.isoformat().replace("-", "")  # with its last second
    try:
        rule = canonical(";".join(f"{name}={value}" for name, value in parts.items()))
    except PydanticCustomError:
        raise Unreadable from None
    when = datetime.combine(first, found.clock) if found.clock else first
    return Due(when, rule, found.after_completion)


def _first(found: Repetition, today: date | None) -> date:
    """Return the first day of a rule from its start on, and from the day of the export on.

    Without a start, only a rule that is the same whenever it starts has a first day: Todoist's
    exports lack the start of the others, such as `every 3 days`.
    """
    since = found.start
    from_export = found.fixed and not found.after_completion
    if from_export and today:
        since = max(found.start or today, today)
    if not since:
        raise Unreadable(NO_EXPORT if from_export else NO_START)
    for _ in range(FARTHEST):
        if falls_on(found.parts, since):
            return since
        in_month = _fits(found.parts, "BYMONTH", since)
        since = days_after(since, 1) if in_month else _next_month(since)
    raise Unreadable(NO_START)


def _next_month(day: date) -> date:
    return days_after(day.replace(day=28), 4).replace(day=1)


def falls_on(parts: dict[str, str], day: date) -> bool:
    """Whether a rule with these parts, which count in months, falls on a day."""
    return all(_fits(parts, name, day) for name in VALUES)


def _fits(parts: dict[str, str], name: str, day: date) -> bool:
    return name not in parts or not VALUES[name](day).isdisjoint(parts[name].split(","))


def _months(day: date) -> set[str]:
    return {str(day.month)}


def _month_days(day: date) -> set[str]:
    return {str(day.day), *(["-1"] if _is_last(day, 1) else [])}


def _weekdays(day: date) -> set[str]:
    name, place = WEEKDAYS[day.weekday()], (day.day - 1) // 7 + 1
    return {name, f"{place}{name}", *([f"-1{name}"] if _is_last(day, 7) else [])}


def _is_last(day: date, days: int) -> bool:
    """Whether so many days later it is another month."""
    return days_after(day, days).month != day.month


def _workday_places(day: date) -> set[str]:
    """Return the places of a workday among those of its month, from the start and from the end."""
    before = sum(day.replace(day=each).weekday() < 5 for each in range(1, day.day + 1))
    following = (days_after(day, days) for days in range(1, 4))
    is_last = all(each.month != day.month or each.weekday() > 4 for each in following)
    return {str(before), *(["-1"] if is_last else [])}


VALUES: Final[dict[str, Callable[[date], set[str]]]] = {
    "BYMONTH": _months,
    "BYMONTHDAY": _month_days,
    "BYDAY": _weekdays,
    "BYSETPOS": _workday_places,
}
"""The values of each part of a rule that a day fits."""
