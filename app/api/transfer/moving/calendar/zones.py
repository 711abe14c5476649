"""Time zones that a calendar defines itself: VTIMEZONE (RFC 5545, section 3.6.5).

icalendar's own conversion keeps the zones of every file for the life of the process, has an offset
for times before the first onset, and takes an UNTIL in UTC for a local time. This one knows the
rules that calendars are written with, and refuses what it does not know.
"""

import re
from bisect import bisect_right
from calendar import monthrange
from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final, NamedTuple

from pydantic_core import PydanticCustomError

from app.api.tasks.rules import WEEKDAYS, canonical
from app.api.transfer.moving.calendar.lines import Block
from app.api.transfer.moving.calendar.properties import Property, decoded, name_of, parsed

MOST_RULES: Final = 20
MOST_ONSETS: Final = 2000
LONGEST_TEXT: Final = 32 * 1024
"""Characters of a property."""

YEARS: Final = 9
"""Years in which a yearly rule has at least one onset, February 29 included."""

OFFSET: Final = re.compile(r"([+-])([01][0-9]|2[0-3])([0-5][0-9])([0-5][0-9])?")
LOCAL: Final = re.compile(r"[0-9]{8}T([01][0-9]|2[0-3])[0-5][0-9][0-5][0-9]")
USED: Final = {"DTSTART", "TZOFFSETFROM", "TZOFFSETTO", "RRULE", "RDATE", "EXDATE", "EXRULE"}
PARTS: Final = {"FREQ", "BYMONTH", "BYMONTHDAY", "BYDAY", "UNTIL"}


class Unreadable(ValueError):
    """Something cannot be read, or not exactly; the text is a sentence for the user."""


class Onset(NamedTuple):
    """The local time from which an offset is certain, and the offset."""

    at: datetime
    offset: timedelta


class Yearly(NamedTuple):
    """A rule by which an offset begins every year."""

    start: datetime
    before: timedelta
    offset: timedelta
    month: int
    days: frozenset[int]
    """Days of the month, below zero if counted from its end; empty for any."""
    weekdays: frozenset[tuple[int, int]]
    """Weekdays, and their ordinals or 0; empty for any."""
    until: datetime


class OwnZone:
    """The offsets of a VTIMEZONE. Raises Unreadable for what is not understood in full."""

    def __init__(self, block: Block) -> None:
        self.onsets: list[Onset] = []
        self.rules: list[Yearly] = []
        try:
            if any(name_of(line) in USED for line in block.lines):
                raise ValueError
            for part in block.parts:
                self.add({name: list(of_name(part, name)) for name in USED})
        except (ValueError, OverflowError, PydanticCustomError):
            raise Unreadable("The file's definition of the time zone is not supported.") from None
        self.onsets = sorted(set(self.onsets))

    def add(self, found: dict[str, list[Property]]) -> None:
        """Take an observance. Raises ValueError, PydanticCustomError or OverflowError."""
        [start], [before], [after] = (found[n] for n in ("DTSTART", "TZOFFSETFROM", "TZOFFSETTO"))
        if found["EXDATE"] or found["EXRULE"] or len(found["RRULE"]) > 1:
            raise ValueError
        dates = [start.raw, *(date for each in found["RDATE"] for date in each.raw.split(","))]
        shift, offset = delta(before.raw), delta(after.raw)
        self.onsets += [onset(local(text), shift, offset) for text in dates]
        self.rules += [yearly(each.raw, local(start.raw), shift, offset) for each in found["RRULE"]]
        if len(self.rules) > MOST_RULES or len(self.onsets) > MOST_ONSETS:
            raise ValueError

    def offset(self, at: datetime) -> timedelta:
        """Return the offset at a local time; the earlier one of a time that is twice or never.

        Raises Unreadable if the definition does not say it.
        """
        place = bisect_right(self.onsets, at, key=lambda each: each.at)
        found = self.onsets[max(place - 2, 0) : place]
        found += [last for rule in self.rules if (last := last_onset(rule, at))]
        latest = max((each.at for each in found), default=None)
        offsets = {each.offset for each in found if each.at == latest}
        if len(offsets) != 1:
            raise Unreadable("The file's definition of the time zone does not say the offset then.")
        return offsets.pop()


def of_name(block: Block, name: str) -> Iterator[Property]:
    """Yield the properties of a name. Raises ValueError for what is damaged."""
    for line in block.lines:
        if name_of(line) == name:
            text, defects = decoded(line)
            if defects or len(text) > LONGEST_TEXT:
                raise ValueError
            yield parsed(name, text, line.number)


def local(text: str) -> datetime:
    """Read a local time. Raises ValueError."""
    if len(text) > 20 or not LOCAL.fullmatch(text.strip()):
        raise ValueError
    return datetime.fromisoformat(text.strip())


def delta(text: str) -> timedelta:
    """Read an offset from UTC. Raises ValueError."""
    found = OFFSET.fullmatch(text.strip()) if len(text) < 20 else None
    if not found:
        raise ValueError
    size = timedelta(hours=int(found[2]), minutes=int(found[3]), seconds=int(found[4] or 0))
    return -size if found[1] == "-" else size


def onset(at: datetime, before: timedelta, offset: timedelta) -> Onset:
    """Return an onset: local times that it leaves out still have the offset before it."""
    return Onset(at + max(offset - before, timedelta(0)), offset)


def yearly(rule: str, start: datetime, before: timedelta, offset: timedelta) -> Yearly:
    """Read a rule. Raises ValueError or PydanticCustomError for those that no zone needs."""
    parts = dict(part.split("=") for part in canonical(rule.strip().rstrip(";")).split(";"))
    month = parts.get("BYMONTH", "" if {"BYMONTHDAY", "BYDAY"} & parts.keys() else str(start.month))
    if parts["FREQ"] != "YEARLY" or not month.isdigit() or not parts.keys() <= PARTS:
        raise ValueError
    days = {int(day) for day in filter(None, parts.get("BYMONTHDAY", "").split(","))}
    names = [name for name in parts.get("BYDAY", "").split(",") if name]
    weekdays = {(WEEKDAYS.index(name[-2:]), int(name[:-2] or 0)) for name in names}
    if not days and not weekdays:
        days = {start.day}
    until = last_time(parts.get("UNTIL", ""), before)
    return Yearly(start, before, offset, int(month), frozenset(days), frozenset(weekdays), until)


def last_time(until: str, before: timedelta) -> datetime:
    """Return the last local time of a rule: a time in UTC is shifted, a day ends with itself."""
    if not until:
        return datetime.max
    if "T" not in until:
        return datetime.fromisoformat(until) + timedelta(days=1, seconds=-1)
    at = datetime.fromisoformat(until.removesuffix("Z"))
    return at + before if until.endswith("Z") else at


def last_onset(rule: Yearly, at: datetime) -> Onset | None:
    """Return the last onset of a rule that is certain at this local time."""
    latest = min(at.year, rule.until.year)
    for year in range(latest, max(latest - YEARS, rule.start.year - 1), -1):
        for found in reversed(onsets_in(rule, year)):
            if found.at <= at:
                return found
    return None


@lru_cache(maxsize=1024)
def onsets_in(rule: Yearly, year: int) -> tuple[Onset, ...]:
    """Return the onsets of a rule in a year, in order."""
    length = monthrange(year, rule.month)[1]
    found = []
    for day in range(1, length + 1):
        at = datetime.combine(rule.start.date().replace(year, rule.month, day), rule.start.time())
        place = (at.weekday(), (day + 6) // 7), (at.weekday(), -((length - day) // 7 + 1))
        is_day = not rule.days or day in rule.days or day - length - 1 in rule.days
        is_weekday = not rule.weekdays or bool({(at.weekday(), 0), *place} & rule.weekdays)
        if is_day and is_weekday and rule.start <= at <= rule.until:
            found.append(onset(at, rule.before, rule.offset))
    return tuple(found)
