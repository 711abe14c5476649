"""The statements that write the rows of an import: many rows of one table, each with its version.

Like those of `app.rows.statements`, each one checks, counts, writes and answers. The answer has a
row for each line, in their order: what existed and whether it was written. A line that equals the
existing row does not change it.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import orjson
import psycopg2
from sqlalchemy import (
    ARRAY,
    CTE,
    ColumnElement,
    FromClause,
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
    literal,
    null,
    or_,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import JSON, insert

from app.api.kinds import KINDS
from app.db.constraints import violated
from app.db.run import execute
from app.db.scope import writing
from app.db.sending import Row
from app.db.statement import Statement
from app.rows.kind import Kind
from app.rows.owner import OWNER, beside_owner
from app.rows.quotas import ROW_SIZE, Growth, NoRoom, quota, stored_size, texts_of
from app.rows.shape import is_own
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
    """Why it was refused: the name of a constraint, or of a field that names no row."""


class Violation(Exception):
    """Lines of a dry run that the database would refuse; the text is the name of a constraint."""


def refusing(error: psycopg2.IntegrityError | Violation) -> str:
    """The name of the constraint that lines violate, or would violate; empty if it is none."""
    return str(error) if isinstance(error, Violation) else violated(error)


def matched(kind: Kind, names: Sequence[str]) -> tuple[Any, Any, CTE, Any]:
    """Match lines with the live rows of their ids: the lines, the rows, the time, and their join.

    `lines` is bound to an array of JSON with these fields and `place`.
    """
    columns = [column(name, kind.table.c[name].type) for name in names]
    lines = func.json_to_recordset(cast(bindparam("lines"), JSON))
    record = lines.table_valued(column("place", Integer), *columns)
    given = record.render_derived(name="given", with_types=True)
    row = kind.table.alias("row")
    clock = select(func.clock_timestamp().label("at")).cte("clock").prefix_with("materialized")
    joined = given.join(clock, true()).outerjoin(row, is_own(row, given.c.id))
    return given, row, clock, joined


def refused(kind: Kind, given: Any) -> Element:
    """Return the field of a line that names no live row of the user's; null if there is none."""
    cases = []
    for field, name in kind.references.items():
        unknown = names_none(KINDS[name].table, given.c[field])
        if name == kind.name:  # lines of one statement may name each other
            columns = (column("id", Uuid),)
            lines = func.json_to_recordset(cast(bindparam("lines"), JSON)).table_valued(*columns)
            other = lines.render_derived(name="other", with_types=True)
            unknown = and_(unknown, ~exists().where(other.c.id == given.c[field]))
        cases.append((unknown, literal(field)))
    return case(*cases) if cases else cast(null(), Text)


def names_none(other: Table, field: Element, besides: Element | None = None) -> Element:
    """Whether the field names a row that is not there; null and an empty list name none.

    `besides` is an array of ids that count as rows that are there.
    """
    if not isinstance(field.type, ARRAY):
        return and_(field.is_not(None), ~_exists(other, field, besides))
    each = func.unnest(field).table_valued(column("id", Uuid)).render_derived(name="each")
    return exists(select(each.c.id).where(~_exists(other, each.c.id, besides)))


def _exists(other: Table, row_id: Element, besides: Element | None) -> Element:
    own: Element = exists().where(is_own(other, row_id))
    return own if besides is None else or_(own, row_id == any_(besides))


def import_rows(kind: Kind) -> Select[Any]:
    """Insert or replace the rows of the lines."""
    line = _compared(kind)
    rank = func.row_number().over(order_by=line.c.place).label("rank")
    changed = select(line, rank).where(line.c.refused.is_(None), line.c.differs).cte("changed")
    count = select(func.count()).select_from(changed).scalar_subquery()
    growth = Growth(
        select(func.count()).select_from(changed).where(~changed.c.live).scalar_subquery(),
        select(func.coalesce(func.sum(changed.c.growth), 0)).scalar_subquery(),
    )
    bump = count_change(exists().select_from(changed), step=count, growth=growth)
    after = _written(kind, changed, bump, bump.c.version - count + changed.c.rank)
    written = after.c.id.is_not(None).label("written")
    return (
        select(line.c.place, line.c.live, line.c.refused, line.c.differs, written)
        .select_from(line.outerjoin(after, after.c.id == line.c.id))
        .order_by(line.c.place)
    )


def _compared(kind: Kind) -> CTE:
    """Return each line as it is to be written, compared with the live row.

    Absent times are those of the row, or now.
    """
    names, texts = kind.exported, texts_of(kind.table, kind.exported)
    given, row, clock, joined = matched(kind, names)
    live = row.c.id.is_not(None)
    kept = {name: func.coalesce(given.c[name], row.c[name]) for name in names}
    new: dict[str, Element] = {name: given.c[name] for name in names}
    new |= {name: kept[name] for name in kind.writes.shape.made}
    new["created_at"] = func.coalesce(kept["created_at"], clock.c.at)
    new["updated_at"] = kept["updated_at"]
    new |= kind.writes.shape.derive(names, lambda name: given.c[name], kept.get, clock.c.at)
    differs = or_(~live, *(new[name].is_distinct_from(row.c[name]) for name in names))
    new["updated_at"] = func.coalesce(given.c.updated_at, clock.c.at)
    growth = stored_size(given, texts) - case((live, stored_size(row, texts)), else_=-ROW_SIZE)
    return (
        select(
            given.c.place,
            *(value.label(name) for name, value in new.items()),
            live.label("live"),
            growth.label("growth"),
            refused(kind, given).label("refused"),
            differs.label("differs"),
        )
        .select_from(joined)
        .cte("line")
        .prefix_with("materialized")
    )


def _written(kind: Kind, changed: CTE, bump: CTE, version: Element) -> CTE:
    row: dict[str, Element] = {
        "user_id": OWNER.c.id,
        **{name: changed.c[name] for name in kind.exported},
        "version": version,
    }
    source: FromClause = changed.join(bump, true())
    if fields := kind.writes.shape.made:
        count = select(func.count()).select_from(changed).scalar_subquery()
        arrays = [make(bump.c.at, count).label(name) for name, make in fields.items()]
        made = select(*arrays).select_from(bump).cte("made").prefix_with("materialized")
        source = source.join(made, true())
        row |= {n: func.coalesce(changed.c[n], made.c[n][changed.c.rank]) for n in fields}
    rows = select(*row.values()).select_from(beside_owner(source))
    statement = insert(kind.table).from_select(list(row), rows)
    changes = {name: statement.excluded[name] for name in row if name not in {"user_id", "id"}}
    upserted = statement.on_conflict_do_update(
        index_elements=["user_id", "id"], set_=changes | {"deleted_at": null()}
    )
    return upserted.returning(kind.table.c.id).cte("after")


IMPORTS: Final = {name: Statement(import_rows(kind)) for name, kind in KINDS.items()}


def write(user_id: str, kind: Kind, lines: Sequence[Mapping[str, Any]]) -> list[Outcome]:
    """Write lines of different ids in one statement, and return their outcomes.

    Writing them twice is harmless, so it is retried. Raises NoRoom, also without an account.
    """
    return outcomes(
        execute(writing(user_id, once=True), IMPORTS[kind.name], **bound(user_id, lines))
    )


def outcomes(found: Sequence[Row]) -> list[Outcome]:
    """Return what the lines of a statement did. Raises NoRoom, also without an account."""
    require_written(found)
    return [Outcome(row.place, row.live, row.differs, row.refused) for row in found]


def require_written(found: Sequence[Row]) -> None:
    """Raise NoRoom, also without an account, unless every line that differs was written."""
    unwritten = [row for row in found if not row.refused and row.differs and not row.written]
    if unwritten:
        raise NoRoom(rows=sum(not row.live for row in unwritten))


def bound(user_id: str, lines: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the parameters of a statement on these lines."""
    return {"user_id": user_id, "lines": orjson.dumps(lines).decode(), **quota()}
