"""The census: counts a user's rows and bytes again when their upper bounds reach a quota.

The bounds (quotas.py) are never too low, and become too high as rows are purged, texts are erased
and kept answers expire.
"""

from collections.abc import Callable, Iterable
from typing import Any, Final, TypeVar

from flask import Flask, current_app
from sqlalchemy import (
    CTE,
    BigInteger,
    Select,
    Table,
    bindparam,
    exists,
    func,
    or_,
    select,
    text,
    union_all,
    update,
)

from app.core.problem_kinds import UNAUTHENTICATED
from app.core.problems import Problem
from app.db.run import execute, first
from app.db.scope import writing
from app.db.statement import Statement
from app.rows.idempotency import IdempotencyKey
from app.rows.owner import User
from app.rows.quotas import (
    NO_QUOTA,
    ROW_BYTES,
    ROW_SIZE,
    NoRoom,
    Usage,
    quota,
    stored_size,
    texts_of,
)
from app.rows.shape import USER_ID

CENSUS: Final = "census"

INTERVAL: Final = text("interval '10 seconds'")
"""The shortest time between two counts of a user."""

MOST_COUNTED: Final = 1_000_000
"""Rows to count where there is no quota."""

SIGN_IN_ROUTES: Final = "/v1/auth/%"
"""Records of these routes are bounded by auth/refresh_token_statements.py."""

Result = TypeVar("Result")


class NoAccount(Problem):
    """A write of a user without a row: erased, or another issuer's user who never wrote."""

    def __init__(self) -> None:
        super().__init__(UNAUTHENTICATED, "This account does not exist.")


def within_quota(user_id: str, write: Callable[[], Result]) -> Result:
    """Return what the write returns; if a quota refuses it, count the user's rows and try again.

    Raises NoAccount, NoRoom with what is full, and whatever the write raises.
    """
    try:
        return write()
    except NoRoom:
        usage = take_census(user_id)
    if usage is None:
        raise NoAccount
    try:
        return write()
    except NoRoom as full:
        full.settle(usage)
        raise


def take_census(user_id: str) -> Usage | None:
    """Count the user's rows unless that was done just now; None without an account."""
    statement: Statement = current_app.extensions[CENSUS]
    limits = quota()
    rows = min(limits["quota_rows"], limits["quota_bytes"] // ROW_BYTES)
    most = MOST_COUNTED if rows >= NO_QUOTA // ROW_BYTES else rows + 1
    row = first(execute(writing(user_id, once=True), statement, user_id=user_id, most=most))
    return Usage(row.used_rows, row.used_bytes) if row else None


def census(tables: Iterable[Table]) -> Select[Any]:
    """Count the user's rows and their bytes, no more of them than would pass the quota."""
    overdue = or_(User.counted_at.is_(None), User.counted_at < func.clock_timestamp() - INTERVAL)
    owner = select(User.used_rows, User.used_bytes, overdue.label("overdue"))
    before = owner.where(User.id == USER_ID).cte("before")
    due = exists().where(before.c.overdue).select_from(before)
    sizes = union_all(*(_sizes_of(table).where(due) for table in tables), _kept_sizes(due))
    counted = sizes.limit(bindparam("most", type_=BigInteger)).subquery("counted")
    total = select(
        func.count().label("rows"), func.coalesce(func.sum(counted.c.size), 0).label("bytes")
    ).cte("total")
    after = _noted(total, due)
    used = [func.coalesce(after.c[name], before.c[name]).label(name) for name in after.c.keys()[1:]]
    return select(*used).select_from(before.outerjoin(after, after.c.id.is_not(None)))


def _sizes_of(table: Table) -> Select[Any]:
    texts = stored_size(table, texts_of(table, table.c.keys()))
    return select((texts + ROW_SIZE).label("size")).where(table.c.user_id == USER_ID)


def _kept_sizes(due: Any) -> Select[Any]:
    size = func.pg_column_size(IdempotencyKey.answer) + ROW_SIZE
    own = (IdempotencyKey.user_id == USER_ID, IdempotencyKey.route.not_like(SIGN_IN_ROUTES))
    return select(size.label("size")).where(*own, due)


def _noted(total: CTE, due: Any) -> CTE:
    return (
        update(User)
        .where(User.id == USER_ID, due)
        .values(
            used_rows=total.c.rows,
            used_bytes=total.c.bytes,
            counted_at=func.clock_timestamp(),
        )
        .returning(User.id, User.used_rows, User.used_bytes)
        .cte("after")
    )


def init_app(app: Flask, tables: Iterable[Table]) -> None:
    """Build the census of these tables."""
    app.extensions[CENSUS] = Statement(census(tables))
