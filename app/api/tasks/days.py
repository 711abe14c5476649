"""Days of a time zone: when one begins, and which tasks are due before or after a time.

A task that is due on a day is due when that day begins in the zone, in filters and in the order.
The functions of the database that know when that is are those of migration 0010.
"""

from operator import gt, lt
from typing import Any, Final, NamedTuple

from sqlalchemy import (
    CTE,
    ColumnElement,
    Date,
    Select,
    Text,
    and_,
    bindparam,
    case,
    cast,
    column,
    false,
    func,
    literal_column,
    null,
    or_,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import TIMESTAMP

from app.api.tasks.models import Task
from app.rows.owner import User
from app.rows.shape import USER_ID

Element = ColumnElement[Any]

UNKNOWN_ZONE: Final = "TZ422"
"""The SQLSTATE of `known_zone` for a name that the database does not know."""

BOUNDS: Final = ("due_after", "due_after_day", "due_before", "due_before_day")
"""The filters by due time: those of an instant, and those of a day."""

INSTANT: Final = TIMESTAMP(timezone=True)
MICROSECOND: Final[Element] = literal_column("interval '1 microsecond'")
FARTHEST: Final[Element] = literal_column("interval '16 hours'")
"""The local time of no zone has ever been that far from UTC."""


def zone_of(names: frozenset[str]) -> CTE:
    """The time zone whose days count: the one that is asked for, or else the account's.

    Where the database does not know the name, the account has days of UTC, and the statement that
    asks for it fails with UNKNOWN_ZONE.
    """
    if "time_zone" in names:
        name = select(func.known_zone(cast(bindparam("time_zone"), Text), null()).label("name"))
    else:
        name = select(func.known_zone(User.time_zone, "UTC").label("name"))
        name = name.where(User.id == USER_ID)
    return name.cte("zone").prefix_with("materialized")


def placed(rows: Select[Any], zone: CTE, name: str, *, never: Element) -> Select[Any]:
    """The rows, each with its `place`: when it is due, or `never` if it is not."""
    found = rows.cte(name).prefix_with("materialized")
    due_at: Element = literal_column(f"{name}.due_at")
    due_date: Element = literal_column(f"{name}.due_date")
    days = select(func.array_agg(due_date.distinct())).select_from(found).scalar_subquery()
    zone_name = select(zone.c.name).scalar_subquery()
    starts = func.starts_of_days(days, zone_name).table_valued(
        column("day", Date), column("start", INSTANT), name=f"starts_of_{name}"
    )
    place = func.coalesce(due_at, starts.c.start, never).label("place")
    joined = found.outerjoin(starts, starts.c.day == due_date)
    columns: list[Element] = [literal_column(f"{name}.*"), place]
    return select(*columns).select_from(joined)


class Bound(NamedTuple):
    """An end of a range of due times, which is not part of it, as tasks are compared with it."""

    on_instant: Element
    """Whether a task that is due at an instant is within."""
    on_day: Element
    """Whether a task that is due on a day is within."""
    about: Element
    """Whether it could be in some zone, by `due`, which the index of every order holds."""


class Range:
    """The filters by due time that are set."""

    def __init__(self, names: frozenset[str], zone: CTE) -> None:
        self.bounds: Final = [_bound(name, zone) for name in BOUNDS if name in names]

    def on_instant(self) -> list[Element]:
        """The conditions for tasks that are due at an instant."""
        return [bound.on_instant for bound in self.bounds]

    def on_day(self) -> list[Element]:
        """The conditions for tasks that are due on a day."""
        return [bound.on_day for bound in self.bounds]

    def on_both(self) -> list[Element]:
        """The conditions for all tasks."""
        if not self.bounds:
            return []
        exact = or_(and_(*self.on_instant()), and_(*self.on_day()))
        return [*(bound.about for bound in self.bounds), exact]


def _bound(name: str, zone: CTE) -> Bound:
    """The end that this filter is.

    Of the instant and the day, one is given, and the other is computed by the statement. The
    planner has no idea of that one, but sees how far it can be: in no zone farther than FARTHEST.
    """
    begins = name.startswith("due_after")
    within = gt if begins else lt
    day: Element = cast(bindparam(name), Date)
    midnight = func.timezone("UTC", cast(day, TIMESTAMP()))
    instant: Element = cast(bindparam(name), INSTANT)
    given = midnight if name.endswith("_day") else instant
    farthest = given - FARTHEST if begins else given + FARTHEST
    about = within(Task.due, farthest)
    if name.endswith("_day"):
        start = _computed(func.start_of_day(day, zone.c.name), zone, name)
        at = and_(within(Task.due_at, farthest), _unguessed(within(Task.due_at, start)))
        return Bound(at, within(Task.due_date, day), about)
    # The latest day that has begun is itself due before: the range ends after it.
    latest = func.latest_day(instant if begins else instant - MICROSECOND, zone.c.name)
    begun = _computed(latest, zone, name)
    last = cast(func.timezone("UTC", farthest), Date)
    on = and_(
        Task.due_date >= last if begins else Task.due_date <= last,
        _unguessed(Task.due_date > begun if begins else Task.due_date <= begun),
    )
    return Bound(within(Task.due_at, instant), on, about)


def _unguessed(condition: Element) -> Element:
    """The condition, without a guess of the planner's how few rows meet it.

    For a range with an end that it does not know, it would be one in two hundred.
    """
    return case((condition, true()), else_=false())


def _computed(value: Element, zone: CTE, name: str) -> Element:
    found = select(value.label("value")).select_from(zone).cte(f"{name}_there")
    return select(found.prefix_with("materialized").c.value).scalar_subquery()
