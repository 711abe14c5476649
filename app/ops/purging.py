"""Removing old tombstones and expired records, in chunks of one short transaction each."""

from collections.abc import Iterator
from typing import Final

from sqlalchemy import Table, text

from app.api.kinds import IN_ORDER
from app.api.tasks.models import TaskReminder
from app.auth.models import Mail, MailToken, PersonalAccessToken, RefreshToken
from app.db.base import Base
from app.db.run import execute
from app.db.scope import Role, Scope
from app.db.statement import Statement
from app.rows.idempotency import IdempotencyKey
from app.rows.owner import User
from app.rows.quotas import ROW_BYTES, stored_size, texts_of

MAINTENANCE: Final = Scope(Role.MAINTENANCE)

CHUNK: Final = 1000

EXPIRED: Final[dict[type[Base], str]] = {
    IdempotencyKey: "created_at < cast(:at as timestamptz) - interval '24 hours'",
    RefreshToken: "expires_at < cast(:at as timestamptz)",
    PersonalAccessToken: "expires_at < cast(:at as timestamptz)",
    MailToken: "expires_at < cast(:at as timestamptz)",
    TaskReminder: "at < cast(:at as timestamptz) - interval '7 days'",
    User: "pending_until < cast(:at as timestamptz)",
    Mail: "coalesce(sent_at, given_up_at) < cast(:at as timestamptz) - interval '30 days'",
}


def purge(days: int) -> Iterator[tuple[str, int]]:
    """Remove what was deleted `days` ago and what has expired; yield each table and its count."""
    # One instant for all tables, and those first that refer to others: a category must not go
    # before the tasks that were in it.
    [(at,)] = execute(MAINTENANCE, Statement(text("select now()")))
    for kind in reversed(IN_ORDER):
        yield kind.table.name, _in_chunks(_tombstones(kind.table), at=at, days=days)
    for expiring, condition in EXPIRED.items():
        table = Base.metadata.tables[expiring.__tablename__]
        yield table.name, _in_chunks(_expired(table, condition), at=at)


def _in_chunks(sql: str, **parameters: object) -> int:
    statement, count = Statement(text(sql)), 0
    while removed := execute(MAINTENANCE, statement, **parameters, chunk=CHUNK):
        count += len(removed)
    return count


def _tombstones(table: Table) -> str:
    """Delete a chunk of old tombstones and update their owners' `purged_version` and usage.

    Locks the owners first, as their own writes do. Skips owners who are writing right now, so that
    neither waits for the other; the next purge removes their rows.
    """
    old = f"{table}.deleted_at <= cast(:at as timestamptz) - make_interval(days => :days)"
    texts = stored_size(table, texts_of(table, table.c.keys()))
    return f"""
with chunk as (
    select {table}.user_id, {table}.id from {table} join users on users.id = {table}.user_id
        where {old} order by {table}.deleted_at limit :chunk
        for no key update of users skip locked
), removed as (
    delete from {table} using chunk
        where {table}.user_id = chunk.user_id and {table}.id = chunk.id and {old}
        returning {table}.user_id, {table}.version, {texts} + {ROW_BYTES} as size
), gone as (
    select user_id, max(version) as version, count(*) as rows, sum(size) as size
        from removed group by user_id
), noted as (
    update users
        set purged_version = greatest(purged_version, gone.version),
            used_rows = greatest(used_rows - gone.rows, 0),
            used_bytes = greatest(used_bytes - gone.size, 0)
        from gone where users.id = gone.user_id
)
select version from removed
"""  # noqa: S608 names of ours


def _expired(table: Table, condition: str) -> str:
    """Delete a chunk of what has expired."""
    keys = ", ".join(table.primary_key.columns.keys())
    chunk = f"select {keys} from {table} where {condition} limit :chunk"  # noqa: S608
    return f"delete from {table} where ({keys}) in ({chunk}) returning 1 as removed"  # noqa: S608
