"""The statements that write the rows of an import: many of one table, each with its own version.

As those of statements.py, each checks, counts, writes and answers in one: a row for each line, in
their order, with what was found and whether it was written. A line that is as the row already is
leaves it alone.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson
from sqlalchemy import (
    CTE,
    ColumnElement,
    Integer,
    Select,
    Table,
    Text,
    Uuid,
    and_,
    any_,
    bindparam,
    case,
    cast,
    column,
    exists,
    func,
    literal_column,
    null,
    or_,
    select,
    true,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSON, insert

from app.api.categories.models import Category
from app.api.tasks.models import Task
from app.api.transfer.schemas import CATEGORY_FIELDS, TASK_FIELDS
from app.db.run import execute
from app.db.scope import writing
from app.db.sending import Row
from app.db.statement import Statement
from app.rows.owner import User
from app.rows.quotas import ROW_SIZE, Growth, NoRoom, quota, stored_size, texts_of
from app.rows.statements import USER_ID, count_change

Element = ColumnElement[Any]

UUID_LENGTH: Final = 36


def import_rows(table: Table, names: Sequence[str]) -> Select[Any]:
    """Insert or replace the rows whose columns of these names are bound to `lines` as JSON."""
    clock = select(func.clock_timestamp().label("at")).cte("clock").prefix_with("materialized")
    line = _compared(table, names, clock)
    changed = _numbered(line)
    count = select(func.count()).select_from(changed).scalar_subquery()
    growth = Growth(
        select(func.count()).select_from(changed).where(~changed.c.live).scalar_subquery(),
        select(func.coalesce(func.sum(changed.c.growth), 0)).scalar_subquery(),
    )
    bump = count_change(exists().select_from(changed), step=count, growth=growth)
    after = _written(table, names, changed, bump, count)
    return (
        select(
            line.c.place,
            line.c.live,
            line.c.allowed,
            line.c.differs,
            after.c.id.is_not(None).label("written"),
        )
        .select_from(line.outerjoin(after, after.c.id == line.c.id))
        .order_by(line.c.place)
    )


def _given(table: Table, names: Sequence[str]) -> Any:
    columns = [column(name, table.c[name].type) for name in names]
    lines = func.json_to_recordset(cast(bindparam("lines"), JSON))
    record = lines.table_valued(column("place", Integer), *columns)
    return record.render_derived(name="given", with_types=True)


def _compared(table: Table, names: Sequence[str], clock: CTE) -> CTE:
    """Each line as it is to be written, beside what is there: times that it does not give are kept,
    or those of now. A deleted row counts as none.
    """
    given, row = _given(table, names), table.alias("row")
    live = and_(row.c.id.is_not(None), row.c.deleted_at.is_(None))
    kept = {name: case((live, row.c[name])) for name in names}
    new: dict[str, Element] = {name: given.c[name] for name in names}
    new["created_at"] = func.coalesce(given.c.created_at, kept["created_at"], clock.c.at)
    if "completed_at" in new:
        completed_at = func.coalesce(given.c.completed_at, kept["completed_at"], clock.c.at)
        new["completed_at"] = case((given.c.complete, completed_at))
    differs = [new[name].is_distinct_from(kept[name]) for name in names if name != "updated_at"]
    touched = and_(given.c.updated_at.is_not(None), given.c.updated_at != kept["updated_at"])
    new["updated_at"] = func.coalesce(given.c.updated_at, clock.c.at)
    rows = given.join(clock, true()).outerjoin(
        row, and_(row.c.user_id == USER_ID, row.c.id == given.c.id)
    )
    return (
        select(
            given.c.place,
            *(value.label(name) for name, value in new.items()),
            live.label("live"),
            _growth(table, names, given, row, live).label("growth"),
            _allowed(given, names).label("allowed"),
            func.coalesce(or_(~live, touched, *differs), True).label("differs"),
        )
        .select_from(rows)
        .cte("line")
        .prefix_with("materialized")
    )


def _growth(table: Table, names: Sequence[str], given: Any, row: Any, live: Element) -> Element:
    """How many bytes more are stored with the line: those of a new row, or of longer texts."""
    texts = texts_of(table, names)
    return stored_size(given, texts) - case((live, stored_size(row, texts)), else_=-ROW_SIZE)


def _allowed(given: Any, names: Sequence[str]) -> Element:
    """Whether the category that a line names, if it names one, is one of the user's."""
    if "category_id" not in names:
        return true()
    own = exists().where(
        Category.user_id == USER_ID,
        Category.id == given.c.category_id,
        Category.deleted_at.is_(None),
    )
    return or_(given.c.category_id.is_(None), own)


def _numbered(line: CTE) -> CTE:
    """The lines that change something, with their ranks."""
    rank = func.row_number().over(order_by=line.c.place).label("rank")
    return select(line, rank).where(line.c.allowed, line.c.differs).cte("changed")


def _written(table: Table, names: Sequence[str], changed: CTE, bump: CTE, count: Element) -> CTE:
    row: dict[str, Element] = {
        "user_id": USER_ID,
        **{name: changed.c[name] for name in names},
        "version": bump.c.version - count + changed.c.rank,
    }
    rows = select(*row.values()).select_from(changed.join(bump, true()))
    statement = insert(table).from_select(list(row), rows)
    changes = {name: statement.excluded[name] for name in row if name not in {"user_id", "id"}}
    upserted = statement.on_conflict_do_update(
        index_elements=["user_id", "id"], set_=changes | {"deleted_at": null()}
    )
    return upserted.returning(table.c.id).cte("after")


def found_rows(table: Table, names: Sequence[str]) -> Select[Any]:
    """A row for each line of `lines`: the live row of its id as it is, or nulls, the time, and
    whether the line may be written; of categories also what their names are compared by, and which
    live row has the line's name.
    """
    given, row = _given(table, ["id", *_compared_by(names)]), table.alias("row")
    clock = select(func.clock_timestamp().label("at")).cte("clock").prefix_with("materialized")
    rows = given.join(clock, true()).outerjoin(
        row,
        and_(row.c.user_id == USER_ID, row.c.id == given.c.id, row.c.deleted_at.is_(None)),
    )
    columns: list[Any] = [*(row.c[name] for name in names), given.c.place, clock.c.at]
    columns.append(_allowed(given, names).label("allowed"))
    if "name" in names:
        holder = table.alias("holder")
        key = func.lower(given.c.name)
        rows = rows.outerjoin(
            holder,
            and_(
                holder.c.user_id == USER_ID,
                func.lower(holder.c.name) == key,
                holder.c.deleted_at.is_(None),
            ),
        )
        columns += [
            key.label("key"),
            func.lower(row.c.name).label("row_key"),
            holder.c.id.label("holder"),
        ]
    return select(*columns).select_from(rows).order_by(given.c.place)


def _compared_by(names: Sequence[str]) -> list[str]:
    return [name for name in ("name", "category_id") if name in names]


def set_names_aside() -> Any:
    """Give live categories names that nobody else has, until the same transaction names them.

    Their owner has these bytes counted, as the next name is counted instead of them.
    """
    aside = (
        update(Category)
        .where(
            Category.user_id == USER_ID,
            Category.id == any_(cast(bindparam("ids"), ARRAY(Uuid(as_uuid=False)))),
            Category.deleted_at.is_(None),
        )
        .values(name=cast(func.gen_random_uuid(), Text))
        .returning(Category.id)
        .cte("aside")
    )
    count = select(func.count()).select_from(aside).scalar_subquery()
    return (
        update(User)
        .where(User.id == USER_ID)
        .values(used_bytes=User.used_bytes + count * literal_column(str(UUID_LENGTH)))
    )


IMPORTS: Final = {
    "category": Statement(import_rows(Category.__table__, CATEGORY_FIELDS)),  # type: ignore[arg-type]
    "task": Statement(import_rows(Task.__table__, TASK_FIELDS)),  # type: ignore[arg-type]
}

FOUND: Final = {
    "category": Statement(found_rows(Category.__table__, CATEGORY_FIELDS)),  # type: ignore[arg-type]
    "task": Statement(found_rows(Task.__table__, TASK_FIELDS)),  # type: ignore[arg-type]
}
ASIDE: Final = Statement(set_names_aside())


def write(user_id: str, kind: str, lines: Sequence[Mapping[str, Any]]) -> list[Row]:
    """What became of the lines, each with its `place`; no two have the same id.

    Written twice they are as written once, so that a connection that dies does no harm.
    """
    scope = writing(user_id, once=True)
    return execute(scope, IMPORTS[kind], **bound(user_id, lines))


def require_written(found: Sequence[Row]) -> None:
    """Raise NoRoom, also where there is no account, unless all were written that differ."""
    unwritten = [row for row in found if row.allowed and row.differs and not row.written]
    if unwritten:
        raise NoRoom(rows=sum(not row.live for row in unwritten))


def bound(user_id: str, lines: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The parameters of IMPORTS and FOUND for these lines."""
    return {"user_id": user_id, "lines": orjson.dumps(lines).decode(), **quota()}
