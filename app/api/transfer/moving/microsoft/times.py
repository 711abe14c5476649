"""Times of Microsoft Graph: a local time, and the name of a time zone beside it."""

from collections.abc import Iterable
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo

from app.api.transfer.moving.items import Unreadable, kept, shown
from app.api.transfer.moving.moments import in_utc, local_time
from app.web.fields.zones import LONGEST_TIME_ZONE, is_time_zone

OTHER_NAMES: Final = {"tzone://Microsoft/Utc": "UTC"}
"""Names of Exchange."""

INSTANT: Final = timedelta(microseconds=1)
HALF_A_DAY: Final = timedelta(hours=12)


class Stated(NamedTuple):
    """A time as the file has it."""

    text: str
    zone: str | None
    """The name of its time zone, if there is one."""

    def __str__(self) -> str:
        return " ".join(filter(None, self))


def zone_named(name: str) -> ZoneInfo | None:
    """Return the time zone of a name of IANA or of Windows; None if it is unknown.

    The names of Windows are those of CLDR, for no particular territory.
    """
    return _zone_named(name) if len(name) <= LONGEST_TIME_ZONE else None


@lru_cache(maxsize=256)
def _zone_named(name: str) -> ZoneInfo | None:
    if is_time_zone(name):
        return ZoneInfo(name)
    # Imported on first use: the library takes about as long to load as the rest of the service.
    from icalendar.timezone.windows_to_olson import WINDOWS_TO_OLSON

    iana = WINDOWS_TO_OLSON.get(name, OTHER_NAMES.get(name))
    return ZoneInfo(iana) if iana else None


def stated(value: Any) -> Stated | None:
    """Return a time of the file; None if there is none, or the year 1, which .NET writes for none.

    Raises Unreadable.
    """
    text, zone = value, None
    if isinstance(value, dict):
        text, zone = value.get("dateTime"), value.get("timeZone")
    if text is None or text == "" or (isinstance(text, str) and text.startswith("0001-01-01")):
        return None
    if not isinstance(text, str) or not isinstance(zone, str | None):
        raise Unreadable(f"{shown(value)} is not a time with a time zone.")
    return Stated(text, zone or None)


def instant(value: Stated, time_zone: str) -> datetime:
    """Return the time in UTC; without a zone of its own it is in `time_zone`. Raises Unreadable."""
    local = local_time(value.text)
    zone = _zone(value, time_zone) if local.tzinfo is None else None
    return in_utc(local, zone or ZoneInfo("UTC"))


def _zone(value: Stated, time_zone: str) -> ZoneInfo:
    zone = zone_named(value.zone or time_zone)
    if zone is None:
        raise Unreadable(f"{shown(value.zone)} is not a time zone.")
    return zone


def due_day(value: Stated, zones: Iterable[str], time_zone: str) -> tuple[date, str]:
    """Return the day that a task is due on, and a doubt about it, which is mostly empty.

    To Do stores the midnight that begins the day where its user was, and the file has it in UTC, or
    in a time zone that its reader asked for. A time of 00:00 stands for its day as it is. Another
    one stands for the day that it begins in its own zone, else in one of `zones`, else in
    `time_zone`. If it begins none there, the user was elsewhere: it is the day whose midnight in
    `time_zone` is nearest, which is right within twelve hours of it and comes with a doubt.

    Raises Unreadable.
    """
    local = local_time(value.text)
    if local.time() == time.min:
        unknown = value.zone is not None and zone_named(value.zone) is None
        doubt = f"{shown(value.zone)} is not a time zone; the day is as in the file."
        return local.date(), doubt if unknown else ""
    moment = instant(value, time_zone)
    for name in (*filter(None, (value.zone, *zones)), time_zone):
        zone = zone_named(name)
        if zone and _begins_day(moment, zone):
            return moment.astimezone(zone).date(), ""
    near = _nearest_day(moment, ZoneInfo(time_zone))
    return near, (
        f"{shown(str(value))} is not midnight in {time_zone}; {near} is the nearest day. "
        "Give the time zone that the task was made in to be sure."
    )


def _begins_day(moment: datetime, zone: ZoneInfo) -> bool:
    """Whether a day begins then: at midnight, or later where a change of clocks leaves that out."""
    try:
        return (moment - INSTANT).astimezone(zone).date() < moment.astimezone(zone).date()
    except OverflowError:
        return False


def _nearest_day(moment: datetime, zone: ZoneInfo) -> date:
    try:
        return (moment.astimezone(zone) + HALF_A_DAY).date()
    except OverflowError:
        raise Unreadable(f"{shown(moment.isoformat())} is outside of the calendar.") from None


def kept_time(value: Any) -> str:
    """Return a time as the description has it, whether or not it can be read."""
    if not isinstance(value, dict):
        return kept(value)
    parts = (value.get("dateTime"), value.get("timeZone"))
    return " ".join(kept(part) for part in parts if part)
