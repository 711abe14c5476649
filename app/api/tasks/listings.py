"""The statements of listings: every order, filter and search, from wherever a page begins."""

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    CompoundSelect,
    Select,
    Text,
    Uuid,
    any_,
    bindparam,
    case,
    cast,
    func,
    literal_column,
    or_,
    select,
    tuple_,
    union_all,
)

from app.api.tasks.by_due import ID, PLACE, PLACED_ID, ROWS, ByDue, every
from app.api.tasks.days import Range, zone_of
from app.api.tasks.models import INDEXED_AFTER, Task
from app.api.tasks.schemas import FIELDS
from app.rows.owner import User
from app.rows.shape import USER_ID

MOST: Final = 2000
"""How many tasks a search may find by the index of texts."""

KEYS: Final[dict[str, ColumnElement[Any]]] = {
    "created_at": Task.created_at.expression,
    "updated_at": Task.updated_at.expression,
    "priority": Task.priority.expression,
    "position": Task.position.expression,
    "title": Task.title_key.expression,
}

LABELS: Final = ARRAY(Uuid(as_uuid=False))

FILTERS: Final[dict[str, Callable[[ColumnElement[Any]], ColumnElement[bool]]]] = {
    "complete": lambda value: Task.complete.is_(value),
    "priority": lambda value: Task.priority == value,
    "category_id": lambda value: Task.category_id == value,
    "uncategorised": lambda _: Task.category_id.is_(None),
    "parent_id": lambda value: Task.parent_id == value,
    "top_level": lambda _: Task.parent_id.is_(None),
    "label_id": lambda value: Task.label_ids.contains(cast(value, LABELS)),
    "unlabelled": lambda _: Task.label_ids == cast("{}", LABELS),
    "updated_after": lambda value: Task.updated_at > value,
}
"""Those that one column tells; those by due time are in app/api/tasks/days.py."""

SOUGHT: Final[ColumnElement[str]] = bindparam("q")
TEXTS: Final = (Task.title, Task.description)
PUBLIC: Final = [Task.__table__.c[name] for name in FIELDS]
LISTED: Final[list[ColumnElement[Any]]] = [
    *map(literal_column, FIELDS),
    cast(PLACE, Text).label("sort_key"),
]
LIVE: Final = select(*PUBLIC).where(Task.user_id == USER_ID, Task.deleted_at.is_(None))


class ByKey(NamedTuple):
    """The order by a column, ties broken by id, within a range of due times."""

    key: ColumnElement[Any]
    within: Range
    descending: bool
    first_page: bool

    def of(self, *columns: ColumnElement[Any]) -> list[ColumnElement[Any]]:
        """This order of rows that have the key and the id in these columns."""
        return [column.desc() if self.descending else column.asc() for column in columns]

    def walk(self, rows: Select[Any]) -> Select[Any]:
        """The first of the rows in this order, each with its `place`."""
        conditions = self.within.on_both()
        if not self.first_page:
            conditions.append(self._after())
        found = rows.where(*conditions).add_columns(self.key.label("place"))
        return found.order_by(*self.of(self.key, ID)).limit(ROWS)

    def pick(self, rows: Select[Any]) -> Select[Any]:
        """The first of rows that are few, each with its `place`."""
        return self.walk(rows)

    def _after(self) -> ColumnElement[bool]:
        """Whether a row follows the one that the page before ended with."""
        row = tuple_(self.key, ID)
        last = tuple_(
            cast(bindparam("after_key"), self.key.type),
            cast(bindparam("after_id"), Uuid(as_uuid=False)),
        )
        return row < last if self.descending else row > last


def listing(
    sort: str, names: frozenset[str], *, first_page: bool, dues_passed: bool = False
) -> Select[Any]:
    """The rows of a page, with their `sort_key`; `names` are the filters that are set.

    `dues_passed` says of a page by due time that it is of tasks that are not due.
    """
    key, descending = sort.removeprefix("-"), sort.startswith("-")
    zone = zone_of(names)
    within = Range(names, zone)
    order: ByKey | ByDue
    if key == "due":
        order = ByDue(zone, within, descending, first_page, dues_passed)
    else:
        order = ByKey(KEYS[key], within, descending, first_page)
    conditions = [FILTERS[name](bindparam(name)) for name in sorted(FILTERS.keys() & names)]
    rows = LIVE.where(*conditions)
    if "time_zone" in names and (key == "due" or within.bounds):
        rows = rows.where(select(zone.c.name).scalar_subquery().is_not(None))  # or it fails
    if "q" in names:
        found: Select[Any] | CompoundSelect[Any] = _search(rows, order)
    elif "label_id" in names:
        found = _labelled(rows, order)
    else:
        found = order.walk(rows)
    listed = select(*LISTED).select_from(found.subquery("page"))
    return listed.order_by(*order.of(PLACE, PLACED_ID)).limit(ROWS)


def _labelled(rows: Select[Any], order: ByKey | ByDue) -> CompoundSelect[Any]:
    """Those of the rows that have the labels: of the tasks of the rarest label, or, where each has
    many, one after the other until the page is full.
    """
    labels = cast(bindparam("label_id"), LABELS)
    ids = func.tasks_of_rarest_label(USER_ID, labels, MOST, type_=LABELS)
    return _few_or_all(rows, order, select(ids.label("ids")))


def _search(rows: Select[Any], order: ByKey | ByDue) -> CompoundSelect[Any]:
    """Those of the rows that contain a text: of the tasks that the index of texts finds, or, where
    the user has few or the index would find many, one after the other until the page is full.
    """
    search = func.search_tasks(SOUGHT, SOUGHT, MOST)  # the second is what the release before gave
    ids = select(case((User.change_seq > INDEXED_AFTER, search)).label("ids"))
    contains = or_(*(func.contains_text(text, func.lower(SOUGHT)) for text in TEXTS))
    return _few_or_all(rows, order, ids.where(User.id == USER_ID), contains)


def _few_or_all(
    rows: Select[Any], order: ByKey | ByDue, few: Select[Any], *conditions: ColumnElement[bool]
) -> CompoundSelect[Any]:
    """The rows that `few` gives the ids of; where that is null, the rows of these conditions."""
    found = few.cte("found").prefix_with("materialized")
    ids = select(found.c.ids).scalar_subquery()
    by_index = order.pick(rows.where(any_(cast(ids, ARRAY(Uuid(as_uuid=False)))) == ID))
    one_by_one = order.walk(rows.where(ids.is_(None), *conditions))
    return union_all(every(by_index.subquery()), every(one_by_one.subquery()))
