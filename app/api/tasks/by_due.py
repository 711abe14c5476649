"""The order by due time, which is made of three: of instants, of days, of tasks that have neither.

Which of an instant and a day comes first depends on the time zone, so no index has that order. A
page is merged from the tasks of the two kinds, each read off an index of its own, and a cursor says
how far each has come: a walk misses and repeats nothing, even if the zone is changed meanwhile.
"""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import (
    CTE,
    ColumnElement,
    Date,
    FromClause,
    Select,
    Uuid,
    and_,
    bindparam,
    cast,
    func,
    literal_column,
    or_,
    select,
    tuple_,
    union_all,
)

from app.api.tasks.days import INSTANT, Range, placed
from app.api.tasks.models import Task
from app.rows.listing import Position

Element = ColumnElement[Any]

ID: Final[Element] = Task.id.expression
ROWS: Final[Element] = bindparam("rows")
PLACE: Final[Element] = literal_column("place")
PLACED_ID: Final[Element] = literal_column("id")
LAST_ID: Final = "ffffffff-ffff-ffff-ffff-ffffffffffff"
FIRST_ID: Final = "00000000-0000-0000-0000-000000000000"


class Place(NamedTuple):
    """How far a walk has come: behind which instant and which day, with the ids of their tasks.

    `no_due` is the id of the last task that is not due, once all others have been passed.
    """

    instant: str
    instant_id: str
    day: str
    day_id: str
    no_due: str = ""

    def advanced(self, row: Any) -> "Place":
        """The place behind this row, which follows."""
        if row.due_at is not None:
            return self._replace(instant=row.due_at.isoformat(), instant_id=row.id)
        if row.due_date is not None:
            return self._replace(day=row.due_date.isoformat(), day_id=row.id)
        return self._replace(no_due=row.id)


BEGINNING: Final = Place("-infinity", FIRST_ID, "-infinity", FIRST_ID)
END: Final = Place("infinity", LAST_ID, "infinity", LAST_ID)


def place_of(position: Position | None, *, descending: bool) -> Place:
    """The place that the cursor stands for, or the one that walks begin at."""
    if position is None:
        return END if descending else BEGINNING
    return Place(*position.key.split(" "))


def position_after(rows: Sequence[Any], place: Place) -> Position:
    """Where a walk goes on that came to this place and then to these rows."""
    for row in rows:
        place = place.advanced(row)
    return Position(" ".join(place), rows[-1].id)


def every(rows: FromClause) -> Select[Any]:
    """All columns of the rows, unnamed: to name those of each level takes much time and memory."""
    return select(literal_column("*")).select_from(rows)


class ByDue(NamedTuple):
    """The order by due time in a zone, from a place on; tasks that are not due come last."""

    zone: CTE
    within: Range
    descending: bool
    first_page: bool
    dues_passed: bool

    @property
    def never(self) -> Element:
        """Where a task comes that is not due."""
        return literal_column(f"'{'-' if self.descending else ''}infinity'::timestamptz")

    def of(self, *columns: Element) -> list[Element]:
        """This order of rows that have their key, if any, and their id in these columns."""
        return [column.desc() if self.descending else column.asc() for column in columns]

    def walk(self, rows: Select[Any]) -> Select[Any]:
        """The first of the rows in this order, each with its `place`, read off the indexes."""
        if self.dues_passed:
            return self._not_due(rows)
        dated = self._first(placed(self._dated(rows), self.zone, "due", never=self.never))
        if self.within.bounds:
            return dated
        due = dated.cte("first_due").prefix_with("materialized")
        full = select(func.count()).select_from(due).scalar_subquery() >= ROWS
        rest = self._not_due(rows.where(~full))
        return self._first(every(union_all(every(due), every(rest.subquery())).subquery()))

    def pick(self, rows: Select[Any]) -> Select[Any]:
        """The first of rows that are few, each with its `place`."""
        follows = [] if self.first_page else [self._follows()]
        found = rows.where(*follows, *self.within.on_both())
        return self._first(placed(found, self.zone, "picked", never=self.never))

    def _first(self, rows: Select[Any]) -> Select[Any]:
        """The first of rows with a `place`, in order."""
        return rows.order_by(*self.of(PLACE, PLACED_ID)).limit(ROWS)

    def _dated(self, rows: Select[Any]) -> Select[Any]:
        """The first of those that are due, of each kind at most as many as a page holds."""
        kinds = []
        for key, after, within in (
            (Task.due_at, self._after_instant(), self.within.on_instant()),
            (Task.due_date, self._after_day(), self.within.on_day()),
        ):
            # The planner takes conditions for independent, so none is told twice.
            kind = rows.where(
                *(within or [key.is_not(None)]), *([] if self.first_page else [after])
            )
            kinds.append(kind.order_by(*self.of(key.expression, ID)).limit(ROWS).subquery())
        return every(union_all(*map(every, kinds)).subquery())

    def _not_due(self, rows: Select[Any]) -> Select[Any]:
        found = rows.where(_is_not_due(), *([self._after_id()] if self.dues_passed else []))
        return found.add_columns(self.never.label("place")).order_by(*self.of(ID)).limit(ROWS)

    def _follows(self) -> Element:
        if self.dues_passed:
            return and_(_is_not_due(), self._after_id())
        return or_(self._after_instant(), self._after_day(), _is_not_due())

    def _after_instant(self) -> Element:
        return self._after(
            tuple_(Task.due_at, ID),
            cast(bindparam("after_instant"), INSTANT),
            bindparam("after_instant_id"),
        )

    def _after_day(self) -> Element:
        return self._after(
            tuple_(Task.due_date, ID), cast(bindparam("after_day"), Date), bindparam("after_day_id")
        )

    def _after_id(self) -> Element:
        return self._after(tuple_(ID), bindparam("after_no_due"))

    def _after(self, row: Any, *last: Element) -> Element:
        """Whether the row follows the last one of its kind."""
        place = tuple_(*last[:-1], cast(last[-1], Uuid(as_uuid=False)))
        follows: Element = row < place if self.descending else row > place
        return follows


def _is_not_due() -> Element:
    return and_(Task.due_at.is_(None), Task.due_date.is_(None))
