"""The action that takes a row out of the trash: live again, with a new version.

In the trash are tombstones that nobody has erased. Erasing (trash/erasing.py) empties a tombstone
and notes its version in `erased_version`: whatever is written to the row later counts its version
up, and so ends the mark by itself.
"""

from typing import Any, Final

from sqlalchemy import ColumnElement, FromClause, Select, and_, null, select

from app.rows.actions import Action
from app.rows.shape import ID, USER_ID, Shape

KEPT_DAYS: Final = 30
"""Days for which a deleted row can be restored, unless the operator purges with another figure."""


def is_kept(table: FromClause) -> ColumnElement[bool]:
    """Whether the row, live or not, has not been erased."""
    return table.c.erased_version.is_distinct_from(table.c.version)


def in_trash(table: FromClause) -> ColumnElement[bool]:
    """Whether the row was deleted and can still be restored."""
    return and_(table.c.deleted_at.is_not(None), is_kept(table))


def kept(shape: Shape) -> Select[Any]:
    """The row as it stands, live or in the trash, with all columns."""
    table = shape.table
    return select(*table.c).where(table.c.user_id == USER_ID, table.c.id == ID, is_kept(table))


def restoring(shape: Shape) -> Action:
    """Make the tombstone a live row, unless it is one already."""
    before = kept(shape).cte("before")
    return Action(shape, before, before.c.deleted_at.is_not(None), lambda _: {"deleted_at": null()})
