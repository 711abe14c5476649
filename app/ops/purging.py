"""Removing old tombstones and expired records, in chunks of one short transaction each.

Tombstones are found across all users without locks, and then removed behind the locks that their
users' own writes take: of many users at once, or on a cluster, which locks rows of one user at a
time, user by user (docs/decisions/0073).
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Table, text

from app.api.kinds import IN_ORDER
from app.api.tasks.models import Task, TaskReminder
from app.auth.models import Mail, MailToken, PersonalAccessToken, RefreshToken
from app.db.base import Base, gate
from app.db.run import execute
from app.db.scope import Role, Scope
from app.db.sending import Row, Rows
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
        together = gate().topology.nodes.locks_across_users
        find, remove = Statement(text(_find(table))), Statement(text(_remove(table, together)))
        count, last = 0, NO_ROW
        while rows := execute(MAINTENANCE, find, **self.age, **last, page=PAGE):
            last = rows[-1]._asdict()
            for found in [rows] if together else _by_user(rows):
                for start in range(0, len(found), CHUNK):
                    count += self._remove(remove, found[start : start + CHUNK])
        return count

    def _remove(self, statement: Statement, found: Rows) -> int:
        found = [row for row in found if row.user_id not in self.writing]
        if not found:
            return 0
        users, ids = [row.user_id for row in found], [row.id for row in found]
        which = {"users": users, "ids": ids, "user_id": users[0]}
        removed = execute(MAINTENANCE, statement, **self.age, **which)
        self.writing |= {*users} - {row.user_id for row in removed}
        return sum(row.rows for row in removed)


def _by_user(rows: Rows) -> Iterable[Rows]:
    found: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        found[row.user_id].append(row)
    return found.values()


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


def _remove(table: Table, together: bool) -> str:
    """Delete old tombstones and update their users' `purged_version` and usage: of several users
    together, or of one.

    Locks the users first, as their own writes do. Returns how many rows of each went, but nothing
    of those who are writing right now.
    """
    texts = stored_size(table, texts_of(table, table.c.keys()))
    parents = FREED if table is Task.__table__ and not together else ""

    def of(column: str) -> str:
        return "" if together else f"{column} = :user_id and "

    return f"""
with owner as (
    select id from users where {of("id")}id in (select unnest(cast(:users as uuid[])))
        for no key update skip locked
), {parents}removed as (
    delete from {table}
        using owner, unnest(cast(:users as uuid[]), cast(:ids as uuid[])) as found (user_id, id)
        where {of(f"{table}.user_id")}{table}.user_id = owner.id
            and {table}.user_id = found.user_id and {table}.id = found.id and {_old(table)}
        returning {table}.user_id, {table}.version, {texts} + {ROW_BYTES} as size
), gone as (
    select user_id, max(version) as version, count(*) as rows, sum(size) as size
        from removed group by user_id
), noted as (
    update users
        set purged_version = greatest(purged_version, gone.version),
            used_rows = greatest(used_rows - gone.rows, 0),
            used_bytes = greatest(used_bytes - gone.size, 0)
        from gone where {of("users.id")}users.id = gone.user_id
)
select owner.id as user_id, coalesce(gone.rows, 0) as rows
    from owner left join gone on gone.user_id = owner.id
"""  # noqa: S608 names of ours


FREED: Final = """freed as (
    update tasks set parent_id = null from owner
        where tasks.user_id = :user_id and tasks.user_id = owner.id
            and parent_id = any (cast(:ids as uuid[])) and tasks.id <> all (cast(:ids as uuid[]))
), """
"""Takes the parent away from subtasks that stay longer: one server's foreign key does, which a
cluster does not have.

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
