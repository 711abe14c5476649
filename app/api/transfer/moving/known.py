"""What a user has already of what a file brings: categories and labels by name, and rows by id,
with what was moved in before.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Final

from sqlalchemy import Table, Text, Uuid, any_, bindparam, cast, func, select, text
from sqlalchemy.dialects.postgresql import ARRAY

from app.api.kinds import KINDS
from app.api.transfer.moving.models import MovedTask
from app.db.run import execute
from app.db.scope import reading, writing
from app.db.sending import Row
from app.db.statement import Statement
from app.rows.shape import USER_ID

CHUNK: Final = 1000

NAMES: Final = cast(bindparam("names"), ARRAY(Text))
IDS: Final = cast(bindparam("ids"), ARRAY(Uuid(as_uuid=False)))


def _named(table: Table) -> Statement:
    """The rows that exist under these names, which are in lower case."""
    name = func.lower(table.c.name)
    own = (table.c.user_id == USER_ID, table.c.deleted_at.is_(None), name == any_(NAMES))
    return Statement(select(table.c.id, table.c.name).where(*own))


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
# The join leaves out what was refused.
REMEMBER: Final = Statement(
    text("""
insert into moved_tasks (user_id, task_id, fingerprint, version)
    select tasks.user_id, tasks.id, moved.fingerprint, tasks.version
        from unnest(cast(:ids as uuid[]), cast(:fingerprints as bytea[]))
            as moved (id, fingerprint)
        join tasks on tasks.user_id = :user_id and tasks.id = moved.id
    on conflict (user_id, task_id)
        do update set fingerprint = excluded.fingerprint, version = excluded.version
    returning task_id
""")
)


def ids_of_names(user_id: str, kind: str, names: Collection[str]) -> dict[str, str]:
    """Return the id of each existing row of a kind by its name in lower case."""
    found: dict[str, str] = {}
    for some in _chunks(sorted({name.lower() for name in names})):
        rows = execute(reading(user_id), NAMED[kind], user_id=user_id, names=some)
        found |= {row.name.lower(): row.id for row in rows}
    return found


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


def remember(user_id: str, fingerprints: Mapping[str, bytes]) -> None:
    """Note what came of these tasks, with the versions that they have now."""
    for some in _chunks(list(fingerprints)):
        digests = [fingerprints[row_id] for row_id in some]
        scope = writing(user_id, once=True)
        execute(scope, REMEMBER, user_id=user_id, ids=some, fingerprints=digests)


def _chunks(items: list[str]) -> Iterator[list[str]]:
    for at in range(0, len(items), CHUNK):
        yield items[at : at + CHUNK]
