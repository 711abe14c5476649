"""Removing old tombstones and expired records, in chunks of one short transaction each."""

from collections.abc import Iterator
from typing import Any, Final

from sqlalchemy import (
    ClauseElement,
    Select,
    Table,
    bindparam,
    cast,
    delete,
    func,
    inspect,
    literal,
    select,
    text,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import TIMESTAMP

from app.api.kinds import KINDS
from app.auth.models import PersonalAccessToken, RefreshToken
from app.db.base import Base
from app.db.run import execute
from app.db.scope import Role, Scope
from app.db.statement import Statement
from app.rows.idempotency import IdempotencyKey
from app.rows.owner import User
from app.rows.quotas import ROW_SIZE, ZERO, stored_size, texts_of

MAINTENANCE: Final = Scope(Role.MAINTENANCE)

CHUNK: Final = 1000

EXPIRED: Final[dict[type[Base], str]] = {
    IdempotencyKey: "created_at < cast(:at as timestamptz) - interval '24 hours'",
    RefreshToken: "expires_at < cast(:at as timestamptz)",
    PersonalAccessToken: "expires_at < cast(:at as timestamptz)",
}


def purge(days: int) -> Iterator[tuple[str, int]]:
    """Remove what was deleted `days` ago and what has expired; yield each table and its count."""
    # One instant for all tables: a category must not go before the tasks that were in it.
    [(at,)] = execute(MAINTENANCE, Statement(select(func.now())))
    for kind in KINDS.values():
        yield kind.table.name, _in_chunks(_tombstones(kind.table), at=at, days=days)
    for expiring, condition in EXPIRED.items():
        yield expiring.__tablename__, _in_chunks(_expired(expiring, condition), at=at)


def _in_chunks(query: ClauseElement, **parameters: object) -> int:
    statement, count = Statement(query), 0
    while removed := execute(MAINTENANCE, statement, **parameters, chunk=CHUNK):
        count += len(removed)
    return count


def _tombstones(table: Table) -> Select[Any]:
    """Delete a chunk of old tombstones and update their owners' `purged_version` and usage.

    Locks the owners first, as their own writes do. Skips owners who are writing right now, so that
    neither waits for the other; the next purge removes their rows.
    """
    age = func.make_interval(0, 0, 0, bindparam("days"))
    old = table.c.deleted_at <= cast(bindparam("at"), TIMESTAMP(timezone=True)) - age
    chunk = (
        select(table.c.user_id, table.c.id)
        .join(User, User.id == table.c.user_id)
        .where(old)
        .order_by(table.c.deleted_at)
        .limit(bindparam("chunk"))
        .with_for_update(of=User, key_share=True, skip_locked=True)
        .cte("chunk")
    )
    removed = (
        delete(table)
        .where(table.c.user_id == chunk.c.user_id, table.c.id == chunk.c.id, old)
        .returning(
            table.c.user_id,
            table.c.version,
            (stored_size(table, texts_of(table, table.c.keys())) + ROW_SIZE).label("size"),
        )
        .cte("removed")
    )
    gone = (
        select(
            removed.c.user_id,
            func.max(removed.c.version).label("version"),
            func.count().label("rows"),
            func.sum(removed.c.size).label("size"),
        )
        .group_by(removed.c.user_id)
        .subquery("gone")
    )
    noted = (
        update(User)
        .where(User.id == gone.c.user_id)
        .values(
            purged_version=func.greatest(User.purged_version, gone.c.version),
            used_rows=func.greatest(User.used_rows - gone.c.rows, ZERO),
            used_bytes=func.greatest(User.used_bytes - gone.c.size, ZERO),
        )
        .returning(User.id)
        .cte("noted")
    )
    return select(removed.c.version).add_cte(noted)


def _expired(table: type[Base], condition: str) -> ClauseElement:
    keys = inspect(table).primary_key
    chunk = select(*keys).where(text(condition)).limit(bindparam("chunk"))
    removal = delete(table).where(tuple_(*keys).in_(chunk))
    return removal.returning(literal(1).label("removed"))
