"""What a user has already of what a file brings: categories and labels by name, and rows by id,
with what was moved in before.
"""

from collections.abc import Collection, Iterator
from typing import Final

from sqlalchemy import Table, Text, Uuid, and_, any_, bindparam, cast, column, func, select, text
from sqlalchemy.dialects.postgresql import ARRAY

from app.api.kinds import KINDS
from app.api.transfer.moving.models import MovedTask
from app.core import deadline
from app.db.run import execute
from app.db.scope import reading
from app.db.sending import Row
from app.db.statement import Statement
from app.rows.shape import USER_ID

CHUNK: Final = 1000

NAMES: Final = cast(bindparam("names"), ARRAY(Text))
IDS: Final = cast(bindparam("ids"), ARRAY(Uuid(as_uuid=False)))

STAYS: Final = "The task was changed or deleted here since, and stays as it is."
WAS_HERE: Final = "The task was here before, and stays as it is."


def _named(table: Table) -> Statement:
    """Each of these names with the form in which names are compared, and the row that has it.

    The form is the database's: its letter case is not that of Python.
    """
    given = func.unnest(NAMES).table_valued(column("name", Text)).render_derived(name="given")
    key = func.lower(given.c.name)
    has_name = and_(
        table.c.user_id == USER_ID, func.lower(table.c.name) == key, table.c.deleted_at.is_(None)
    )
    found = given.outerjoin(table, has_name)
    return Statement(select(given.c.name, key.label("key"), table.c.id).select_from(found))


def _had(table: Table) -> Statement:
    """Those of these ids that the user has, or had: rows in the trash count as well."""
    live = table.c.deleted_at.is_(None).label("live")
    own = (table.c.user_id == USER_ID, table.c.id == any_(IDS))
    return Statement(select(table.c.id, live).where(*own))


NAMED: Final = {name: _named(KINDS[name].table) for name in ("category", "label")}
HAD: Final = {name: _had(KINDS[name].table) for name in NAMED}
TASKS: Final = KINDS["task"].table
MOVED: Final = Statement(
    select(
        TASKS.c.id,
        TASKS.c.parent_id,
        TASKS.c.deleted_at.is_(None).label("live"),
        (TASKS.c.version == MovedTask.version).label("untouched"),
        MovedTask.fingerprint,
    )
    .select_from(TASKS)
    .outerjoin(
        MovedTask, (MovedTask.user_id == TASKS.c.user_id) & (MovedTask.task_id == TASKS.c.id)
    )
    .where(TASKS.c.user_id == USER_ID, TASKS.c.id == any_(IDS))
)
REMEMBER: Final = Statement(
    text("""
insert into moved_tasks (user_id, task_id, fingerprint, version)
    select tasks.user_id, tasks.id, moved.fingerprint, tasks.version
        from unnest(cast(:ids as uuid[]), cast(:fingerprints as bytea[]))
            as moved (id, fingerprint)
        join tasks on tasks.user_id = :user_id and tasks.id = moved.id
    on conflict (user_id, task_id)
        do update set fingerprint = excluded.fingerprint, version = excluded.version
""")
)
"""Notes what came of tasks, with the versions that they have: those of the same transaction."""


def named(user_id: str, kind: str, names: Collection[str]) -> Iterator[Row]:
    """Yield each of the names with its `key`, and the `id` of the row that has it, or null."""
    for some in _chunks(list(names)):
        yield from execute(reading(user_id), NAMED[kind], user_id=user_id, names=some)


def had(user_id: str, kind: str, ids: Collection[str]) -> dict[str, bool]:
    """Return which of these ids are, or were, rows of the user, and whether they still exist."""
    rows = []
    for some in _chunks(list(ids)):
        rows += execute(reading(user_id), HAD[kind], user_id=user_id, ids=some)
    return {row.id: row.live for row in rows}


def moved_before(user_id: str, ids: Collection[str]) -> dict[str, Row]:
    """Return which of these tasks the user has or had: whether each still exists, what came of it
    the last time, and whether nobody has changed it since.
    """
    rows = [
        row
        for some in _chunks(list(ids))
        for row in execute(reading(user_id), MOVED, user_id=user_id, ids=some)
    ]
    return {row.id: row for row in rows}


def reason_to_leave(row: Row | None, fingerprint: bytes) -> str | None:
    """Return why a task is not written: a sentence, or nothing if the same came before.

    None if it is to be written: it is new, or nobody has touched it since it came.
    """
    if row is None:
        return None
    if row.fingerprint is None:
        return WAS_HERE
    if bytes(row.fingerprint) == fingerprint:
        return ""
    return None if row.live and row.untouched else STAYS


def _chunks(items: list[str]) -> Iterator[list[str]]:
    for at in range(0, len(items), CHUNK):
        deadline.renew()
        yield items[at : at + CHUNK]
