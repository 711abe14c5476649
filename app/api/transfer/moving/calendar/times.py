"""Days, times, durations and rules of a to-do of iCalendar (RFC 5545, section 3.3)."""

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from pydantic_core import PydanticCustomError

from app.api.tasks.rules import canonical
from app.api.transfer.moving.calendar.properties import Component, Property, quoted
from app.api.transfer.moving.calendar.zones import OwnZone, Unreadable
from app.web.fields.zones import is_time_zone

LONGEST_VALUE: Final = 64
"""Characters of a time or a duration."""

LONGEST_ZONE: Final = 255
TIME: Final = re.compile(r"([0-9]{8})(T([01][0-9]|2[0-3])[0-5][0-9][0-5][0-9](Z?))?")
DURATION: Final = re.compile(
    r"([+-]?)P(?:([0-9]{1,5})W)?(?:([0-9]{1,6})D)?"
    r"(?:T(?=[0-9])(?:([0-9]{1,7})H)?(?:([0-9]{1,8})M)?(?:([0-9]{1,9})S)?)?"
)


class Moment(NamedTuple):
    """A day, or an instant in UTC with its local time and the IANA name of its time zone.

    The name is None for a time zone that the file defines itself.
    """

    local: datetime
    at: datetime | None = None
    zone: str | None = None
    zone_id: str = ""
    """The file's name of the zone: `Z` for UTC, empty for a floating time."""

    @property
    def day(self) -> date | None:
        """Return the day, None for an instant."""
        return None if self.at else self.local.date()


class Length(NamedTuple):
    """A duration: days of the calendar, and exact time."""

    days: int
    exact: timedelta

    def total(self) -> timedelta:
        """Return the duration with days of 24 hours."""
        return timedelta(days=self.days) + self.exact


class Zones(NamedTuple):
    """The time zone of times that name none, and those that the file defines."""

    default: str
    own: Mapping[str, OwnZone]

    def moment(self, found: Property) -> Moment:
        """Read a day or a time. Raises Unreadable."""
        text = found.text.strip()
        read = TIME.fullmatch(text) if len(text) <= LONGEST_VALUE else None
        is_day = read is not None and not read[2]
        said = found.parameter("VALUE").upper()
        if not read or said not in ("", "DATE" if is_day else "DATE-TIME"):
            raise Unreadable(f"The day or time could not be read: {quoted(text)}")
        try:
            local = datetime.fromisoformat(text.removesuffix("Z"))
        except ValueError:
            raise Unreadable(f"There is no such day: {quoted(text)}") from None
        return Moment(local) if is_day else self.at(local, read[4] or found.parameter("TZID"))

    def at(self, local: datetime, zone_id: str) -> Moment:
        """Return an instant by its local time. Raises Unreadable."""
        name = self.default if not zone_id else "UTC" if zone_id == "Z" else iana_name(zone_id)
        try:
            if name:
                instant = local.replace(tzinfo=ZoneInfo(name)).astimezone(UTC)
            elif own := self.own.get(zone_id):
                instant = (local - own.offset(local)).replace(tzinfo=UTC)
            else:
                raise Unreadable(f"The time zone is not known: {quoted(zone_id)}")
        except OverflowError:
            raise Unreadable("The time is outside of the years 1 to 9999.") from None
        return Moment(local, instant, name, zone_id)

    def after(self, start: Moment, length: Length) -> Moment:
        """Return when a duration ends: days are counted locally. Raises Unreadable."""
        try:
            local = start.local + timedelta(days=length.days)
            if not start.at:
                if length.exact:
                    raise Unreadable("A day and a duration with a time make no due day.")
                return Moment(local)
            end = self.at(local, start.zone_id)
            if not end.at or not length.exact:
                return end
            instant = end.at + length.exact
            return end._replace(at=instant, local=instant.replace(tzinfo=None))
        except OverflowError:
            raise Unreadable("The time is outside of the years 1 to 9999.") from None


def iana_name(zone_id: str) -> str | None:
    """Return the IANA name of a time zone; None if the file's name of it has none.

    It may have a prefix, as libical and Mozilla write it, or be a name of Windows.
    """
    from icalendar.timezone.windows_to_olson import WINDOWS_TO_OLSON

    if len(zone_id) > LONGEST_ZONE:
        return None
    name = zone_id.strip("/")
    name = WINDOWS_TO_OLSON.get(name, name)
    while zone_id.startswith("/") and not is_time_zone(name) and "/" in name:
        name = name.partition("/")[2]
    return name if is_time_zone(name) else None


def length_of(text: str) -> Length:
    """Read a duration. Raises Unreadable."""
    text = text.strip().upper()
    read = DURATION.fullmatch(text) if len(text) <= LONGEST_VALUE else None
    if not read or not any(read.groups()[1:]):
        raise Unreadable(f"The duration could not be read: {quoted(text)}")
    weeks, days, hours, minutes, seconds = (int(each or 0) for each in read.groups()[1:])
    exact = timedelta(hours=hours, minutes=minutes, seconds=seconds)
    sign = -1 if read[1] == "-" else 1
    return Length(sign * (7 * weeks + days), sign * exact)


def read_moment(todo: Component, name: str, zones: Zones) -> Moment | None:
    """Return the time that a property has; what is not readable is lost."""
    found = todo.take(name)
    try:
        return zones.moment(found) if found else None
    except Unreadable as error:
        if found:
            todo.lose(found, str(error), is_noted=True)
        return None


def due_of(todo: Component, zones: Zones) -> tuple[Moment | None, Moment | None]:
    """Return when a to-do is due, and when it starts."""
    start, due = read_moment(todo, "DTSTART", zones), read_moment(todo, "DUE", zones)
    duration, begins = todo.take("DURATION"), todo.take("DTSTART")
    if duration:
        try:
            if todo.all("DUE") or not start:
                raise Unreadable("A duration needs a start, and no due time beside it.")
            length = length_of(duration.text)
            if length.total() < timedelta(0):
                raise Unreadable("The to-do ends before it starts.")
            due = zones.after(start, length)
        except Unreadable as error:
            todo.lose(duration, str(error), is_noted=True)
    elif todo.take("RRULE") and not todo.all("DUE"):
        due = start
    if begins and start and (not due or (start.at or start.day) != (due.at or due.day)):
        todo.lose(begins, "A task has no start.", is_noted=True)
    return due, start


def rule_of(
    todo: Component, due: Moment | None, start: Moment | None, zones: Zones
) -> tuple[str, str] | None:
    """Return the rule by which a to-do repeats, and the rule's time zone."""
    for name in ("RDATE", "EXDATE", "EXRULE"):
        for other in todo.all(name):
            todo.lose(other, "A task repeats by one rule alone.", is_noted=True)
    found = todo.take("RRULE")
    try:
        return checked_rule(found.text, due, start, zones) if found else None
    except Unreadable as error:
        if found:
            todo.lose(found, str(error), is_noted=True)
        return None


def checked_rule(
    text: str, due: Moment | None, start: Moment | None, zones: Zones
) -> tuple[str, str]:
    """Return a rule in canonical form, and its time zone. Raises Unreadable."""
    if not due:
        raise Unreadable("A task that repeats needs a due day or time.")
    try:
        rule = canonical(text.strip().rstrip(";"))
    except PydanticCustomError as error:
        raise Unreadable(f"The rule is not supported: {error.message()}.") from None
    zone = zone_of(start, due, zones)
    if not zone:
        raise Unreadable("The rule's time zone has no name by which it is known.")
    if start and not is_kept(rule, local_in(zone, start), local_in(zone, due)):
        raise Unreadable("The rule is about the start of the to-do, not about when it is due.")
    return rule, zone


def zone_of(start: Moment | None, due: Moment, zones: Zones) -> str | None:
    """Return the time zone that a rule is counted in: that of the first time."""
    timed = [each for each in (start, due) if each and each.at]
    return timed[0].zone if timed else zones.default


def local_in(zone: str, moment: Moment) -> datetime:
    """Return the local time of a moment, midnight of a day."""
    local = moment.at.astimezone(ZoneInfo(zone)) if moment.at else moment.local
    return local.replace(tzinfo=None)


def is_kept(rule: str, start: datetime, due: datetime) -> bool:
    """Whether a rule of the start gives the same occurrences as one of the due time."""
    parts = dict(part.split("=") for part in rule.split(";"))
    if start == due:
        return True
    if start.date() == due.date():
        return "T" not in parts.get("UNTIL", "")
    is_plain = parts.keys() <= {"FREQ", "INTERVAL", "COUNT"}
    return is_plain and parts["FREQ"] in ("DAILY", "WEEKLY")
