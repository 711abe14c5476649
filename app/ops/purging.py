"""Removing old tombstones and expired records, in chunks of one short transaction each.

Tombstones are found across all users without locks, and then removed user by user, behind the lock
that the user's own writes take: a cluster locks rows of one user at a time (docs/decisions/0073).
"""

from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Table, text

from app.api.kinds import IN_ORDER
from app.api.tasks.models import Task, TaskReminder
from app.auth.models import Mail, MailToken, PersonalAccessToken, RefreshToken
from app.db.base import Base
from app.db.run import execute, first
from app.db.scope import Role, Scope
from app.db.sending import Rows
from app.db.statement import Statement
from app.rows.idempotency import IdempotencyKey
from app.rows.owner import User
from app.rows.quotas import ROW_BYTES, stored_size, texts_of

MAINTENANCE: Final = Scope(Role.MAINTENANCE)

CHUNK: Final = 1000
"""Rows that one transaction removes."""

PAGE: Final = 10_000
"""Tombstones that are looked up at a time, in the order in which they were deleted."""

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
    """Remove what was deleted `days` ago and what has expired; yield each table and its count.

    Passes over users who are writing right now, so that neither waits for the other; the next purge
    removes their rows.
    """
    # One instant for all tables, and those first that refer to others: a category must not go
    # before the tasks that were in it.
    [(at,)] = execute(MAINTENANCE, Statement(text("select now()")))
    purging = Purge(at, days)
    for kind in reversed(IN_ORDER):
        yield kind.table.name, purging.remove(kind.table)
    for expiring, condition in EXPIRED.items():
        table = Base.metadata.tables[expiring.__tablename__]
        yield table.name, _expire(table, condition, at)


class Purge:
    """Removes the tombstones of each table that were `days` old at an instant."""

    def __init__(self, at: datetime, days: int) -> None:
        self.age = {"at": at, "days": days}
        self.writing: set[str] = set()
        """Users that were passed over: what refers to rows of theirs is still there."""

    def remove(self, table: Table) -> int:
        """Remove a table's old tombstones, and return how many that were."""
        find, remove = Statement(text(_find(table))), Statement(text(_remove(table)))
        count, last = 0, NO_ROW
        while rows := execute(MAINTENANCE, find, **self.age, **last, page=PAGE):
            last = rows[-1]._asdict()
            for user_id, ids in _by_user(rows).items():
                for start in range(0, len(ids), CHUNK):
                    count += self._remove(remove, user_id, ids[start : start + CHUNK])
        return count

    def _remove(self, statement: Statement, user_id: str, ids: list[str]) -> int:
        if user_id in self.writing:
            return 0
        whose = {"user_id": user_id, "ids": ids}
        removed = first(execute(MAINTENANCE, statement, **self.age, **whose))
        if removed is None:
            self.writing.add(user_id)
            return 0
        return int(removed.rows)


def _by_user(rows: Rows) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        found[row.user_id].append(row.id)
    return found


FIRST_ID: Final = "00000000-0000-0000-0000-000000000000"
NO_ROW: Final[dict[str, Any]] = {"deleted_at": "-infinity", "user_id": FIRST_ID, "id": FIRST_ID}
"""What comes before all tombstones."""


def _old(table: Table) -> str:
    return f"{table}.deleted_at <= cast(:at as timestamptz) - make_interval(days => :days)"


def _find(table: Table) -> str:
    """Select the next old tombstones, in an order that has each of them once."""
    key = "(deleted_at, user_id, id)"
    last = "(cast(:deleted_at as timestamptz), cast(:user_id as uuid), cast(:id as uuid))"
    return f"""
select user_id, id, deleted_at from {table}
    where {_old(table)} and deleted_at >= :deleted_at and {key} > {last}
    order by deleted_at, user_id, id limit :page
"""  # noqa: S608 names of ours


def _remove(table: Table) -> str:
    """Delete old tombstones of a user and update the user's `purged_version` and usage.

    Locks the user first, as their own writes do. Returns no row if the user is writing right now.
    """
    texts = stored_size(table, texts_of(table, table.c.keys()))
    parents = "" if table is not Task.__table__ else FREED
    return f"""
with owner as (
    select id from users where id = :user_id for no key update skip locked
), {parents}removed as (
    delete from {table} using owner
        where {table}.user_id = :user_id and {table}.user_id = owner.id
            and {table}.id = any (cast(:ids as uuid[])) and {_old(table)}
        returning {table}.version, {texts} + {ROW_BYTES} as size
), gone as (
    select max(version) as version, count(*) as rows, sum(size) as size from removed
), noted as (
    update users
        set purged_version = greatest(purged_version, gone.version),
            used_rows = greatest(used_rows - gone.rows, 0),
            used_bytes = greatest(used_bytes - gone.size, 0)
        from gone where users.id = :user_id and gone.rows > 0
)
select gone.rows from owner, gone
"""  # noqa: S608 names of ours


FREED: Final = """freed as (
    update tasks set parent_id = null from owner
        where tasks.user_id = :user_id and tasks.user_id = owner.id
            and parent_id = any (cast(:ids as uuid[])) and tasks.id <> all (cast(:ids as uuid[]))
), """
"""Takes the parent away from subtasks that stay longer, as no foreign key does on a cluster.

They are tombstones as well: what is live has a live parent, or none.
"""


def _expire(table: Table, condition: str, at: datetime) -> int:
    """Delete what has expired, and return how much that was."""
    keys = ", ".join(table.primary_key.columns.keys())
    chunk = f"select {keys} from {table} where {condition} limit :chunk"  # noqa: S608
    sql = f"delete from {table} where ({keys}) in ({chunk}) returning 1 as removed"  # noqa: S608
    statement, count = Statement(text(sql)), 0
    while removed := execute(MAINTENANCE, statement, at=at, chunk=CHUNK):
        count += len(removed)
    return count
