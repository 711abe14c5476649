"""The statements that take a row out of the trash: live again, with a new version.

In the trash are tombstones that nobody has erased. Erasing (trash/erasing.py) empties a tombstone
and notes its version in `erased_version`: whatever is written to the row later counts its version
up, and so ends the mark by itself.
"""

from typing import Any, Final

from sqlalchemy import (
    CTE,
    ColumnElement,
    FromClause,
    Select,
    and_,
    case,
    exists,
    func,
    null,
    select,
    text,
    union_all,
)

from app.rows import idempotency
from app.rows.quotas import ROW_SIZE, ZERO, Growth, stored_size, texts_of
from app.rows.shape import ID, ONE, USER_ID, Shape
from app.rows.statements import answer, changed_row, count_change, is_expected, stored_answer

KEPT_DAYS: Final = 30
"""Days for which a deleted row can be restored, unless the operator purges with another figure."""


def is_kept(table: FromClause) -> ColumnElement[bool]:
    """Whether the row, live or not, has not been erased."""
    return table.c.erased_version.is_distinct_from(table.c.version)


def in_trash(table: FromClause) -> ColumnElement[bool]:
    """Whether the row was deleted and can still be restored."""
    return and_(table.c.deleted_at.is_not(None), is_kept(table))


def restore(shape: Shape) -> Select[Any]:
    """Make the tombstone a live row, unless it is one already."""
    before = _before(shape)
    deleted = exists().where(before.c.deleted_at.is_not(None), is_expected(before))
    after = _restored(shape, count_change(deleted))
    return answer([], after, shape.answered, otherwise=before)


def restore_once(shape: Shape) -> Select[Any]:
    """The same, unless its idempotency key was answered before; a row that is live already is
    an answer to keep too.
    """
    before, replayed = _before(shape), idempotency.replayed()
    unanswered = ~exists().select_from(replayed)
    acceptable = exists().where(is_expected(before)).select_from(before)
    # One that is live already is no change, and only its answer takes room.
    deleted = select(case((before.c.deleted_at.is_not(None), ONE), else_=ZERO)).scalar_subquery()
    texts = stored_size(before, texts_of(shape.table, shape.table.c.keys()))
    growth = Growth(ONE, select(texts + ROW_SIZE).scalar_subquery())
    bump = count_change(acceptable, unanswered, step=deleted, growth=growth)
    after = _restored(shape, bump)
    alive = before.select().where(before.c.deleted_at.is_(None), exists().select_from(bump))
    done = union_all(after.select(), alive).cte("done")
    rest = union_all(stored_answer(shape.table, replayed), before.select().where(unanswered)).cte(
        "rest"
    )
    kept = idempotency.kept(func.to_jsonb(text("done")), done)
    fingerprint = select(replayed.c.fingerprint).scalar_subquery().label("fingerprint")
    return answer([], done, shape.answered, otherwise=rest).add_columns(fingerprint).add_cte(kept)


def _before(shape: Shape) -> CTE:
    table = shape.table
    row = select(*table.c).where(table.c.user_id == USER_ID, table.c.id == ID, is_kept(table))
    return row.cte("before")


def _restored(shape: Shape, bump: CTE) -> CTE:
    whole = shape._replace(answered=shape.table.c.keys())
    deleted = shape.table.c.deleted_at.is_not(None)
    return changed_row(whole, bump, {"deleted_at": null()}, deleted)
