"""What a user has already of what a file brings: categories and labels by name, and rows by id."""

from collections.abc import Collection, Iterator
from typing import Final

from sqlalchemy import Table, Text, Uuid, any_, bindparam, cast, func, select
from sqlalchemy.dialects.postgresql import ARRAY

from app.api.kinds import KINDS
from app.db.run import execute
from app.db.scope import reading
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
HAD: Final = {name: _had(kind.table) for name, kind in KINDS.items()}


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


def _chunks(items: list[str]) -> Iterator[list[str]]:
    for at in range(0, len(items), CHUNK):
        yield items[at : at + CHUNK]
