"""Erasing: what is in the trash loses its content for good.

Its row stays until `flask purge` takes it, because the feed of changes reports the deletion; the
database holds it to being empty (`ck_<table>_erased`).
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final

from sqlalchemy import (
    CTE,
    Select,
    bindparam,
    cast,
    exists,
    func,
    literal,
    or_,
    select,
    union_all,
    update,
)
from sqlalchemy.dialects.postgresql import TIMESTAMP

from app.api import kinds
from app.api.kinds import KINDS
from app.api.trash.queries import items_of
from app.core.problems import not_found, precondition_failed
from app.db.chunks import run_each
from app.db.run import execute
from app.db.scope import reading, writing
from app.db.statement import Statement
from app.rows.kind import Kind
from app.rows.restoring import in_trash
from app.rows.shape import ID, USER_ID, Element, Preconditions
from app.rows.statements import is_expected

CHUNK: Final = 500
"""How many rows one statement erases: other writes of the user wait for as long."""


def erase() -> Select[Any]:
    """Erase what is in the trash under an id; the rows as they were.

    What is erased has been found first, also where the parts of a statement run one by one.
    """
    items = union_all(*(items_of(kind).where(kind.table.c.id == ID) for kind in KINDS.values()))
    found = items.cte("found")
    statement = select(found)
    for kind in KINDS.values():
        this = (kind.table.c.id == ID, in_trash(kind.table), is_expected(kind.table))
        is_found = exists(select(found.c.type).where(found.c.type == kind.name))
        statement = statement.add_cte(_erased(kind, *this, is_found))
    return statement


def bounds() -> Select[Any]:
    """Where each chunk of the trash ends: its type, and the instant of its last deletion."""
    both = union_all(*(_bounds_of(kind) for kind in KINDS.values())).subquery("both")
    return both.select().order_by(both.c.type, both.c.until)


def _bounds_of(kind: Kind) -> Select[Any]:
    table = kind.table
    ranked = (
        select(
            table.c.deleted_at.label("until"),
            func.row_number().over(order_by=table.c.deleted_at).label("place"),
            func.count().over().label("total"),
        )
        .where(table.c.user_id == USER_ID, in_trash(table))
        .subquery()
    )
    last = or_(ranked.c.place % CHUNK == 0, ranked.c.place == ranked.c.total)
    return select(literal(kind.name).label("type"), ranked.c.until).where(last)


def erase_chunk(kind: Kind) -> Select[Any]:
    """Erase what was deleted after one instant and up to another."""
    deleted_at = kind.table.c.deleted_at
    after, until = (cast(bindparam(name), TIMESTAMP(timezone=True)) for name in ("after", "until"))
    erased = _erased(kind, in_trash(kind.table), deleted_at > after, deleted_at <= until)
    return select(func.count()).select_from(erased)


def _erased(kind: Kind, *which: Element) -> CTE:
    table = kind.table
    return (
        update(table)
        .where(table.c.user_id == USER_ID, *which)
        .values(**kind.blank, erased_version=table.c.version)
        .returning(table.c.id)
        .cte(f"{kind.name}_erased")
    )


ERASE: Final = Statement(erase())
BOUNDS: Final = Statement(bounds())
ERASE_CHUNK: Final = {name: Statement(erase_chunk(kind)) for name, kind in KINDS.items()}


def erase_item(user_id: str, item_id: str, conditions: Preconditions) -> None:
    """Erase one item, or several where those of other kinds have this id.

    Raises Problem 404, 412.
    """
    rows = execute(writing(user_id), ERASE, user_id=user_id, id=item_id, **conditions._asdict())
    if not rows:
        raise not_found()
    if not any(conditions.admit(row.version) for row in rows):
        raise precondition_failed(kinds.represent(rows[0]))


def empty_trash(user_id: str) -> None:
    """Erase all that is in the trash when this begins, in chunks.

    Raises Problem 503 `unfinished` if there is no time for all of it.
    """
    run_each(_chunks(user_id))


def _chunks(user_id: str) -> Iterator[Callable[[], object]]:
    after: dict[str, object] = dict.fromkeys(KINDS, "-infinity")
    for bound in execute(reading(user_id), BOUNDS, user_id=user_id):
        kind, until = bound.type, bound.until
        yield partial(_erase_chunk, user_id, kind, after[kind], until)
        after[kind] = until


def _erase_chunk(user_id: str, kind: str, after: object, until: object) -> None:
    execute(writing(user_id), ERASE_CHUNK[kind], user_id=user_id, after=after, until=until)
