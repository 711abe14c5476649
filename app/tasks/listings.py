"""The statements of listings: every order, filter and search, from wherever a page begins."""

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Select,
    Text,
    Uuid,
    and_,
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
from sqlalchemy.dialects.postgresql import TIMESTAMP

from app.statements import USER_ID
from app.tasks.models import DUE_OR_FIRST, DUE_OR_LAST, INDEXED_AFTER, Task
from app.tasks.schemas import FIELDS
from app.users.models import User

MOST: Final = 2000
"""How many tasks a search may find by the index of texts."""

INSTANT: Final = TIMESTAMP(timezone=True)
ASCENDING: Final[dict[str, ColumnElement[Any]]] = {
    "created_at": Task.created_at.expression,
    "updated_at": Task.updated_at.expression,
    "due": literal_column(DUE_OR_LAST, INSTANT),
    "priority": Task.priority.expression,
    "title": Task.title_key.expression,
}
DESCENDING: Final = ASCENDING | {"due": literal_column(DUE_OR_FIRST, INSTANT)}

# A range of due times is told of the column, which the index of every order holds, and of the
# expression that the order by due time begins with.
FILTERS: Final[dict[str, Callable[[ColumnElement[Any]], ColumnElement[bool]]]] = {
    "complete": lambda value: Task.complete.is_(value),
    "priority": lambda value: Task.priority == value,
    "category_id": lambda value: Task.category_id == value,
    "uncategorised": lambda _: Task.category_id.is_(None),
    "due_before": lambda value: and_(Task.due < value, ASCENDING["due"] < value),
    "due_after": lambda value: and_(Task.due > value, DESCENDING["due"] > value),
    "updated_after": lambda value: Task.updated_at > value,
}

ID: Final[ColumnElement[str]] = Task.id.expression
ROWS: Final[ColumnElement[int]] = bindparam("rows")
SOUGHT: Final[ColumnElement[str]] = bindparam("q")
TEXTS: Final = (Task.title, Task.description)
PUBLIC: Final = [Task.__table__.c[name] for name in FIELDS]
LIVE: Final = select(*PUBLIC).where(Task.user_id == USER_ID, Task.deleted_at.is_(None))


class Order(NamedTuple):
    """What a listing is sorted by, ties broken by id."""

    key: ColumnElement[Any]
    descending: bool

    def of(self, key: ColumnElement[Any], task_id: ColumnElement[Any]) -> list[ColumnElement[Any]]:
        """This order of rows that have the key and the id in these columns."""
        return [column.desc() if self.descending else column.asc() for column in (key, task_id)]

    def after(self) -> ColumnElement[bool]:
        """Whether a row follows the one that the page before ended with."""
        row = tuple_(self.key, ID)
        last = tuple_(
            cast(bindparam("after_key"), self.key.type),
            cast(bindparam("after_id"), Uuid(as_uuid=False)),
        )
        return row < last if self.descending else row > last


def listing(sort: str, names: frozenset[str], first_page: bool) -> Select[Any]:
    """The rows of a page, with their `sort_key`; `names` are the filters that are set."""
    descending = sort.startswith("-")
    order = Order((DESCENDING if descending else ASCENDING)[sort.removeprefix("-")], descending)
    conditions = [FILTERS[name](bindparam(name)) for name in sorted(names - {"q"})]
    if not first_page:
        conditions.append(order.after())
    rows = LIVE.where(*conditions)
    if "q" in names:
        return _search(rows, order)
    rows = rows.add_columns(cast(order.key, Text).label("sort_key"))
    return rows.order_by(*order.of(order.key, ID)).limit(ROWS)


def _search(rows: Select[Any], order: Order) -> Select[Any]:
    """Those of the rows that contain a text: of the tasks that the index of texts finds, or, where
    the user has few or the index would find many, one after the other until the page is full.
    """
    search = func.search_tasks(SOUGHT, SOUGHT, MOST)  # the second is what the release before gave
    found = (
        select(case((User.change_seq > INDEXED_AFTER, search)).label("ids"))
        .where(User.id == USER_ID)
        .cte("found")
        .prefix_with("materialized")
    )
    ids = select(found.c.ids).scalar_subquery()
    rows = rows.add_columns(order.key.label("place")).order_by(*order.of(order.key, ID)).limit(ROWS)
    by_index = rows.where(any_(cast(ids, ARRAY(Uuid(as_uuid=False)))) == ID)
    contains = or_(*(func.contains_text(text, func.lower(SOUGHT)) for text in TEXTS))
    one_by_one = rows.where(ids.is_(None), contains)
    page = union_all(by_index.subquery().select(), one_by_one.subquery().select()).subquery("page")
    columns = [page.c[column.name] for column in PUBLIC]
    return (
        select(*columns, cast(page.c.place, Text).label("sort_key"))
        .order_by(*order.of(page.c.place, page.c.id))
        .limit(ROWS)
    )
