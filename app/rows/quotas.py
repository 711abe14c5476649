"""Quotas: how many rows and bytes a user may store.

The owner's row holds an upper bound of both. Each write raises it in the statement that counts the
change, and lowers it where a text becomes shorter; a purge lowers it by what it removes. The bounds
become too high as rows are purged, texts are erased and kept answers expire, so a census counts
again what a user has when the bounds reach a quota.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple, TypeVar

from flask import Flask, current_app
from sqlalchemy import (
    ARRAY,
    CTE,
    BigInteger,
    FromClause,
    Select,
    Table,
    Text,
    and_,
    bindparam,
    case,
    exists,
    func,
    literal_column,
    or_,
    select,
    text,
    union_all,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB

from app.core.config import Settings
from app.core.problem_kinds import QUOTA_EXCEEDED, UNAUTHENTICATED
from app.core.problems import Problem
from app.db.run import execute, first
from app.db.scope import writing
from app.db.statement import Statement
from app.rows.idempotency import IdempotencyKey
from app.rows.owner import User
from app.rows.shape import ONE, USER_ID, Element

ROW_BYTES: Final = 1000
"""Bytes that a row counts beside its texts, for its other columns and index entries."""

ELEMENT_BYTES: Final = 100
"""Bytes that an element of an array counts, which has a row of its own in an index."""

OBJECT_BYTES: Final = 300
"""The same of an array of objects."""

NO_QUOTA: Final = 2**62
"""More than anybody can store."""

SETTING: Final = "QUOTA"
CENSUS: Final = "census"

INTERVAL: Final = text("interval '10 seconds'")
"""The shortest time between two counts of a user."""

MOST_COUNTED: Final = 1_000_000
"""Rows to count where there is no quota."""

SIGN_IN_ROUTES: Final = "/v1/auth/%"
"""Records of these routes are bounded by auth/refresh_token_statements.py."""

SIZE: Final[Element] = bindparam("size", type_=BigInteger)
ROWS_LIMIT: Final[Element] = bindparam("quota_rows", type_=BigInteger)
BYTES_LIMIT: Final[Element] = bindparam("quota_bytes", type_=BigInteger)
ZERO: Final[Element] = literal_column("0", BigInteger)
ROW_SIZE: Final[Element] = literal_column(str(ROW_BYTES), BigInteger)
ELEMENT_SIZE: Final[Element] = literal_column(str(ELEMENT_BYTES), BigInteger)
OBJECT_SIZE: Final[Element] = literal_column(str(OBJECT_BYTES), BigInteger)

Result = TypeVar("Result")


class Growth(NamedTuple):
    """How much a write adds to its user's usage; `rows` is None for none, bytes may be negative."""

    rows: Element | None
    size: Element

    def is_admitted(self) -> Element:
        """Whether the owner's row has room for it. One that was never counted has to be first.

        What does not grow is admitted past the quota too.
        """
        room = [self.size <= func.greatest(BYTES_LIMIT - User.used_bytes, ZERO)]
        if self.rows is not None:
            room.append(self.rows <= func.greatest(ROWS_LIMIT - User.used_rows, ZERO))
        return and_(User.counted_at.is_not(None), *room)

    def values(self) -> dict[str, Element]:
        """The new bounds, to be set in the owner's row."""
        rows = {} if self.rows is None else {"used_rows": User.used_rows + self.rows}
        return {**rows, "used_bytes": func.greatest(User.used_bytes + self.size, ZERO)}


class Usage(NamedTuple):
    """The bounds of what a user stores."""

    rows: int
    bytes: int


class NoRoom(Problem):
    """A write that was refused because it would exceed a quota."""

    def __init__(self, rows: int) -> None:
        super().__init__(QUOTA_EXCEEDED)
        self.rows = rows
        self.operation: int | None = None
        """The index of the operation in a batch."""

    def settle(self, usage: Usage) -> None:
        """Report which quota is full, after a census has corrected the bounds."""
        limits = quota()
        full = "rows" if usage.rows + self.rows > limits["quota_rows"] else "bytes"
        used = usage.rows if full == "rows" else usage.bytes
        self.members = {"quota": full, "limit": limits[f"quota_{full}"], "used": used}


class NoAccount(Problem):
    """A write of a user without a row: erased, or another issuer's user who never wrote."""

    def __init__(self) -> None:
        super().__init__(UNAUTHENTICATED, "This account does not exist.")


def quota() -> dict[str, int]:
    """The quotas of this application, as parameters of statements."""
    limits: dict[str, int] = current_app.config[SETTING]
    return limits


def limit(name: str) -> int | None:
    """One quota by its name, or None if it is not set."""
    value = quota()[f"quota_{name}"]
    return None if value == NO_QUOTA else value


def size_of(values: Mapping[str, Any], texts: Iterable[str]) -> int:
    """The UTF-8 bytes of the named texts, and what the elements of arrays count."""
    size = 0
    for name in texts:
        if value := values.get(name):
            if isinstance(value, str):
                size += len(value.encode())
            else:
                size += len(value) * (OBJECT_BYTES if isinstance(value[0], dict) else ELEMENT_BYTES)
    return size


def texts_of(table: Table, fields: Iterable[str]) -> list[str]:
    """Those fields that are texts or arrays and not made by the database: their length counts."""
    columns = [table.c[name] for name in fields]
    return [
        column.name
        for column in columns
        if isinstance(column.type, Text | ARRAY) and column.server_onupdate is None
    ]


def stored_size(row: FromClause, texts: Iterable[str]) -> Element:
    """SQL for the bytes of a row's texts, and what the elements of its arrays count."""
    size: Element = ZERO
    for column in (row.c[name] for name in texts):
        if isinstance(column.type, ARRAY):
            each = OBJECT_SIZE if isinstance(column.type.item_type, JSONB) else ELEMENT_SIZE
            length: Element = func.cardinality(column) * each
        else:
            length = func.octet_length(column)
        size += func.coalesce(length, ZERO)
    return size


def growth_of_one(existed: Element, change: Element) -> Growth:
    """That of a row which may be new; `change` is how much longer its texts become."""
    return Growth(case((existed, ZERO), else_=ONE), change + case((existed, ZERO), else_=ROW_SIZE))


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


def init_app(app: Flask, settings: Settings, tables: Iterable[Table]) -> None:
    """Take the quotas from the settings, and build the census of these tables."""
    app.config[SETTING] = {
        "quota_rows": settings.quota_rows or NO_QUOTA,
        "quota_bytes": settings.quota_bytes or NO_QUOTA,
    }
    app.extensions[CENSUS] = Statement(census(tables))
