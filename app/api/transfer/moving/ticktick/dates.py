"""When a task of TickTick is due, how it repeats, and when it reminds its user.

Sources: RFC 5545, sections 3.3.6 (durations) and 3.8.6.3 (triggers).
"""

import re
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import lru_cache
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo

from pydantic_core import PydanticCustomError

from app.api.tasks import rules
from app.api.tasks.reminders import DURATION, LONGEST, MOST_DAYS
from app.api.transfer.moving.ticktick.rows import Row, quoted
from app.web.fields.zones import LONGEST_TIME_ZONE, is_time_zone

LONGEST_TIME: Final = 40
TIME: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
    r"([T ]([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9](\.[0-9]{1,9})?)?(Z|[+-][0-9]{2}:?[0-9]{2})?)?"
)
MOST_TRIGGERS: Final = 100
"""Of a task; what follows is reported as one."""

LONGEST_TRIGGER: Final = 60
TRIGGER: Final = re.compile(
    r"(TRIGGER(;RELATED=(START|(?P<end>END)))?:)?(?P<sign>[+-]?)P(?=[0-9T])"
    r"((?P<weeks>[0-9]{1,4})W)?((?P<days>[0-9]{1,4})D)?"
    r"(T(?=[0-9])((?P<hours>[0-9]{1,6})H)?((?P<minutes>[0-9]{1,6})M)?((?P<seconds>[0-9]{1,8})S)?)?"
)
UNITS: Final = ("weeks", "days", "hours", "minutes", "seconds")
DAY, MINUTE = timedelta(days=1), timedelta(minutes=1)

FROM_SCHEDULE: Final = {"", "due", "due date"}
FROM_COMPLETION: Final = {"completion", "completion date", "completed", "completed date"}


class Times(NamedTuple):
    """The dates of a task: days if it is of whole days, else instants in UTC."""

    zone: ZoneInfo
    start: date | None
    due: date | None

    @property
    def due_at(self) -> datetime | None:
        """The instant at which the task is due."""
        return self.due if isinstance(self.due, datetime) else None

    @property
    def due_date(self) -> date | None:
        """The day on which the task is due."""
        return None if self.due_at else self.due


def read_times(row: Row, time_zone: str) -> Times:
    """The dates of the row; local ones are in its time zone, or else in this one."""
    zone = _zone(row, time_zone)
    all_day = row.flag("Is All Day")
    start, due = (_date(row, name, zone, all_day) for name in ("Start Date", "Due Date"))
    if start and start != due:
        detail = "A task has no start date, so that it is in the description."
        row.keep("Start Date", detail, _local_text(start, zone))
    if isinstance(due, datetime) and row.flag("Is Floating"):
        row.report("Is Floating", f"The task is due at that time in {zone.key}, not everywhere.")
    return Times(zone, start, due)


def _zone(row: Row, time_zone: str) -> ZoneInfo:
    name = row["Timezone"]
    if len(name) <= LONGEST_TIME_ZONE and (zone := _known_zone(name)):
        return zone
    if name and (row["Start Date"] or row["Due Date"]):
        row.keep("Timezone", f"The time zone is unknown, so that dates are in {time_zone}.")
    return ZoneInfo(time_zone)


@lru_cache(maxsize=256)
def _known_zone(name: str) -> ZoneInfo | None:
    return ZoneInfo(name) if is_time_zone(name) else None


def _date(row: Row, column: str, zone: ZoneInfo, all_day: bool) -> date | None:
    """The day or instant in this column; the day of an instant is that in the time zone."""
    if not row[column]:
        return None
    try:
        moment = read_moment(row[column], zone)
        if isinstance(moment, datetime):
            local = moment.astimezone(zone)
            return local.date() if all_day else moment
        return moment
    except (ValueError, OverflowError):
        row.keep(column, "The date could not be read.")
        return None


def read_moment(text: str, zone: tzinfo) -> date:
    """The instant in UTC, or the day if there is no time. Raises ValueError and OverflowError."""
    if len(text) > LONGEST_TIME or not (match := TIME.fullmatch(text)):
        raise ValueError("no date")
    if match[1] is None:
        return date.fromisoformat(text)
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).astimezone(UTC)


def read_instant(row: Row, column: str, zone: tzinfo) -> datetime | None:
    """The instant in this column."""
    if not row[column]:
        return None
    try:
        moment = read_moment(row[column], zone)
        if isinstance(moment, datetime):
            return moment
    except (ValueError, OverflowError):
        pass
    row.keep(column, "The time could not be read.")
    return None


def _local_text(moment: date, zone: ZoneInfo) -> str:
    if isinstance(moment, datetime):
        return f"{moment.astimezone(zone).replace(tzinfo=None).isoformat(' ')} {zone.key}"
    return moment.isoformat()


def read_rule(row: Row, times: Times) -> tuple[str | None, bool]:
    """The rule in canonical form, and whether it counts from the completion."""
    if not row["Repeat"]:
        return None, False
    text, anchor = row["Repeat"], row["Repeat From"].casefold()
    try:
        rule = rules.canonical(text[6:] if text[:6].upper() == "RRULE:" else text)
    except PydanticCustomError as error:
        row.keep("Repeat", f"The task does not repeat, as its rule {_why(text, error)}.")
        return None, False
    if not times.due:
        row.keep("Repeat", "The task does not repeat, as it is not due.")
        return None, False
    after_completion = anchor in FROM_COMPLETION
    if anchor in FROM_SCHEDULE or (after_completion and rules.after_completion(rule)):
        return rule, after_completion
    row.keep("Repeat", "The task does not repeat, as its rule cannot count from there.")
    row.note("Repeat From", row["Repeat From"])
    return None, False


def _why(text: str, error: PydanticCustomError) -> str:
    """Why the rule was refused; those with a prefix or parts of TickTick's own read differently."""
    is_own = (
        text[:6].upper() in ("ERULE:", "LUNAR:") or ";TT_" in text[: rules.LONGEST_RULE].upper()
    )
    return "is of TickTick's own kind" if is_own else f"was refused: {error.message()}"


def read_reminders(row: Row, times: Times) -> list[dict[str, Any]]:
    """The reminders, each once."""
    reminders: dict[tuple[Any, ...], dict[str, Any]] = {}
    others = []
    texts = re.split("[,\r\n]", row["Reminder"], maxsplit=MOST_TRIGGERS)
    for text in filter(None, map(str.strip, texts)):
        try:
            reminder = _reminder(text.upper(), times)
            reminders[tuple(reminder.items())] = reminder
        except (ValueError, OverflowError) as error:
            why = error if isinstance(error, ValueError) else "is out of range"
            row.report("Reminder", f"The reminder {quoted(text)} {why}.")
            others.append(text)
    if others:
        row.note("Reminder", ", ".join(others))
    return list(reminders.values())


def _reminder(text: str, times: Times) -> dict[str, Any]:
    """The reminder, which is relative to the start of the task unless it says otherwise.

    Raises ValueError with what is wrong with it, and OverflowError.
    """
    match = TRIGGER.fullmatch(text) if len(text) <= LONGEST_TRIGGER else None
    if not match:
        raise ValueError("could not be read")
    lengths = {unit: int(match[unit] or 0) for unit in UNITS}
    offset = timedelta(**lengths) * (-1 if match["sign"] == "-" else 1)
    due, base = times.due, times.due if match["end"] else times.start or times.due
    if base is None:
        raise ValueError("has no date that it belongs to")
    if due is None:
        return {"at": _instant(base, offset, times.zone)}
    same = isinstance(base, datetime) == isinstance(due, datetime)
    early = due - base - offset if same else -offset
    return _before(early) if times.due_at else _on_day(early)


def _instant(base: date, offset: timedelta, zone: ZoneInfo) -> str:
    """That long after an instant, or after a local midnight by the clocks of the time zone."""
    if isinstance(base, datetime):
        instant = base + offset
    else:
        instant = (datetime.combine(base, time(), zone) + offset).astimezone(UTC)
    return instant.replace(tzinfo=None).isoformat() + "Z"


def _before(early: timedelta) -> dict[str, Any]:
    if early < timedelta(0):
        raise ValueError("is after the task is due")
    if early > LONGEST:
        raise ValueError(f"is more than {MOST_DAYS} days before the task is due")
    return {"before": DURATION.dump_python(early, mode="json")}


def _on_day(early: timedelta) -> dict[str, Any]:
    """So long before the midnight that the due day begins with."""
    days, rest = divmod(-early, DAY)
    if days > 0:
        raise ValueError("is after the task is due")
    if -days > MOST_DAYS:
        raise ValueError(f"is more than {MOST_DAYS} days before the task is due")
    if rest % MINUTE:
        raise ValueError("is not at a whole minute")
    return {"days_before": -days, "time": f"{(datetime.min + rest):%H:%M}"}
