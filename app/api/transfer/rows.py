"""The statements that write the rows of an import: many rows of one table, each with its version.

Like those of `app.rows.statements`, each one checks, counts, writes and answers. The answer has a
row for each line, in their order: what existed and whether it was written. A line that equals the
existing row does not change it.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import orjson
from sqlalchemy import (
    CTE,
    ColumnElement,
    Integer,
    Select,
    Table,
    and_,
    bindparam,
    case,
    cast,
    column,
    exists,
    func,
    null,
    or_,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import JSON, insert

from app.api.categories.models import Category
from app.api.tasks.models import Task
from app.api.transfer.schemas import CATEGORY_FIELDS, TASK_FIELDS
from app.db.run import execute
from app.db.scope import writing
from app.db.sending import Row
from app.db.statement import Statement
from app.rows.quotas import ROW_SIZE, Growth, NoRoom, quota, stored_size, texts_of
from app.rows.shape import USER_ID
from app.rows.statements import count_change

Element = ColumnElement[Any]


class Outcome(NamedTuple):
    """What a line did."""

    place: int
    live: bool
    """Whether there was a live row of its id."""
    differs: bool
    """Whether the line changed it."""
    refusal: str | None = None
    """Why it was refused: the name of a constraint, or `category_id`."""


def import_rows(table: Table, names: Sequence[str]) -> Select[Any]:
    """Insert or replace rows; `lines` is bound to a JSON array with these columns and `place`."""
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


def given_lines(table: Table, names: Sequence[str]) -> Any:
    """Return the lines bound to `lines` as rows with these columns of the table, and `place`."""
    columns = [column(name, table.c[name].type) for name in names]
    lines = func.json_to_recordset(cast(bindparam("lines"), JSON))
    record = lines.table_valued(column("place", Integer), *columns)
    return record.render_derived(name="given", with_types=True)


def _compared(table: Table, names: Sequence[str], clock: CTE) -> CTE:
    """Return each line as it is to be written, compared with the row that exists.

    Absent times are those of the row, or now. A deleted row counts as none.
    """
    given, row = given_lines(table, names), table.alias("row")
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
            allowed(given, names).label("allowed"),
            func.coalesce(or_(~live, touched, *differs), True).label("differs"),
        )
        .select_from(rows)
        .cte("line")
        .prefix_with("materialized")
    )


def _growth(table: Table, names: Sequence[str], given: Any, row: Any, live: Element) -> Element:
    """Return by how many bytes the line makes the user's texts and rows grow."""
    texts = texts_of(table, names)
    return stored_size(given, texts) - case((live, stored_size(row, texts)), else_=-ROW_SIZE)


def allowed(given: Any, names: Sequence[str]) -> Element:
    """Return whether the line's category, if any, is one of the user's."""
    if "category_id" not in names:
        return true()
    own = exists().where(
        Category.user_id == USER_ID,
        Category.id == given.c.category_id,
        Category.deleted_at.is_(None),
    )
    return or_(given.c.category_id.is_(None), own)


def _numbered(line: CTE) -> CTE:
    """Return the lines that change something, with their ranks."""
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


IMPORTS: Final = {
    "category": Statement(import_rows(Category.__table__, CATEGORY_FIELDS)),  # type: ignore[arg-type]
    "task": Statement(import_rows(Task.__table__, TASK_FIELDS)),  # type: ignore[arg-type]
}


def write(user_id: str, kind: str, lines: Sequence[Mapping[str, Any]]) -> list[Outcome]:
    """Write lines of different ids in one statement, and return their outcomes.

    Writing them twice is harmless, so it is retried. Raises NoRoom, also without an account.
    """
    scope = writing(user_id, once=True)
    found = execute(scope, IMPORTS[kind], **bound(user_id, lines))
    require_written(found)
    return [
        Outcome(row.place, row.live, row.differs, None if row.allowed else "category_id")
        for row in found
    ]


def require_written(found: Sequence[Row]) -> None:
    """Raise NoRoom, also without an account, unless every line that differs was written."""
    unwritten = [row for row in found if row.allowed and row.differs and not row.written]
    if unwritten:
        raise NoRoom(rows=sum(not row.live for row in unwritten))


def bound(user_id: str, lines: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the parameters of a statement on these lines."""
    return {"user_id": user_id, "lines": orjson.dumps(lines).decode(), **quota()}
