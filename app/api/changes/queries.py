"""The feed of a user's changes: one statement, read off an index of versions.

A write holds its user's row until it is committed, so that versions become visible in their order:
a client that has seen one has seen all before it (statements.py).
"""

from typing import Any, Final, NamedTuple

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    FromClause,
    Select,
    bindparam,
    func,
    or_,
    select,
    union_all,
)

from app.api.changes.position import Position
from app.api.kinds import KINDS, TEXTS, columns_of
from app.core.problem_kinds import CHANGES_GONE
from app.core.problems import Problem
from app.db.run import execute
from app.db.scope import reading
from app.db.sending import Row
from app.db.statement import Statement
from app.rows.kind import Kind
from app.rows.owner import User
from app.rows.quotas import stored_size
from app.rows.shape import USER_ID

AFTER: Final[ColumnElement[int]] = bindparam("after", type_=BigInteger)
COPIED_TO: Final[ColumnElement[int]] = bindparam("copied_to", type_=BigInteger)
ROWS: Final[ColumnElement[int]] = bindparam("rows")
PAGE_BYTES: Final = 1024 * 1024
"""A page ends with the row whose texts take it past so many bytes."""


class Feed(NamedTuple):
    """Some changes, and the position after them."""

    rows: list[Row]
    position: Position
    has_more: bool


def feed() -> Select[Any]:
    """One row for each change, or one with nulls, each with the counters of the user's row."""
    head = (
        select(User.change_seq, User.purged_version)
        .where(User.id == USER_ID)
        .cte("head")
        .prefix_with("materialized")
    )
    both = union_all(
        *(_changes(kind, head).subquery().select() for kind in KINDS.values())
    ).subquery()
    found = both.select().order_by(both.c.version).limit(ROWS).subquery("found")
    size = stored_size(found, TEXTS)
    before = func.coalesce(func.sum(size).over(order_by=found.c.version, rows=(None, -1)), 0)
    page = select(*found.c, before.label("before"), func.count().over().label("in_all")).subquery()
    return (
        select(*page.c, head.c.change_seq, head.c.purged_version)
        .select_from(head.outerjoin(page, page.c.before < PAGE_BYTES))
        .order_by(page.c.version)
    )


def _changes(kind: Kind, head: FromClause) -> Select[Any]:
    """Those of one table; a copy is not told what was deleted before it began."""
    table = kind.table
    copied_to = select(func.coalesce(COPIED_TO, head.c.change_seq)).scalar_subquery()
    return (
        select(*columns_of(kind), table.c.deleted_at.is_not(None).label("deleted"))
        .where(
            table.c.user_id == USER_ID,
            table.c.version > AFTER,
            or_(table.c.deleted_at.is_(None), table.c.version > copied_to),
        )
        .order_by(table.c.version)
        .limit(ROWS)
    )


FEED: Final = Statement(feed())


def changes(user_id: str, since: Position | None, limit: int) -> Feed:
    """What was changed after the position, or all there is; raises Problem 410.

    There are fewer than `limit` where their texts are long, and at least one.
    """
    after, copied_to = since or (0, None)
    rows = execute(
        reading(user_id), FEED, user_id=user_id, after=after, copied_to=copied_to, rows=limit + 1
    )
    if not rows:  # another issuer's user who never wrote
        return Feed([], since or Position(0, 0), has_more=False)
    last, purged = rows[0].change_seq, rows[0].purged_version
    if since and not purged <= max(since) <= last:
        raise Problem(CHANGES_GONE)
    copied_to = last if copied_to is None else copied_to
    page = [row for row in rows[:limit] if row.id]
    if page and rows[0].in_all > len(page):
        return Feed(page, Position(page[-1].version, copied_to), has_more=True)
    return Feed(page, Position(last, 0), has_more=False)
