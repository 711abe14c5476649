"""Erasing: what is in the trash loses its content for good.

Its row stays until `flask purge` takes it, as the feed of changes has to tell of the deletion; the
database holds it to being empty (`ck_tasks_erased`, `ck_categories_erased`).
"""

from typing import Any, Final

import psycopg2
from sqlalchemy import (
    CTE,
    Select,
    Table,
    any_,
    bindparam,
    cast,
    false,
    func,
    literal,
    literal_column,
    null,
    select,
    union_all,
    update,
)
from sqlalchemy.dialects.postgresql import TIMESTAMP

from app import deadline
from app.execution import Row, Statement, execute
from app.kinds import REPRESENT, TABLES
from app.problems import PRECONDITION_FAILED, UNFINISHED, Problem, not_found
from app.restoring import in_trash
from app.scope import writing
from app.statements import ID, USER_ID, Element, is_expected
from app.trash.queries import items_of
from app.versioned import Preconditions

CHUNK: Final = 500
"""How many rows of a table one statement erases: other writes of the user wait for as long."""

SPARE_SECONDS: Final = 1.0
"""What the last chunk of a request has to leave of its time."""

BLANK: Final[dict[str, dict[str, Element]]] = {
    "task": {
        "title": literal("-"),
        "description": null(),
        "complete": false(),
        "completed_at": null(),
        "priority": literal(0),
        "due_date": null(),
        "due_at": null(),
        "category_id": null(),
    },
    "category": {"name": literal("-"), "color": null()},
}
"""What is left of each field."""


def erase() -> Select[Any]:
    """Erase what is in the trash under an id; the rows as they were."""
    found = union_all(*(items_of(kind).where(TABLES[kind].c.id == ID) for kind in TABLES))
    erased = [
        _erased(kind, table.c.id == ID, in_trash(table), is_expected(table))
        for kind, table in TABLES.items()
    ]
    return select(found.cte("found")).add_cte(*erased)


def erase_chunk() -> Select[Any]:
    """Erase some of what was deleted up to an instant, or up to now: the instant, and `most`, how
    many rows of the table that had more.
    """
    given = cast(bindparam("until"), TIMESTAMP(timezone=True))
    until = select(func.coalesce(given, func.now()).label("instant")).cte("until")
    counts = []
    for kind, table in TABLES.items():
        # In the order of the index, and rows by their place: whatever the statistics say of this
        # user, a chunk does not read the whole trash. The owner's row is held, so none moves.
        some = (
            select(_place(table).label("place"))
            .where(table.c.user_id == USER_ID, in_trash(table))
            .where(table.c.deleted_at <= select(until.c.instant).scalar_subquery())
            .order_by(table.c.deleted_at)
            .limit(bindparam("chunk"))
            .cte(f"{kind}_chunk")
        )
        places = func.array(select(some.c.place).scalar_subquery())
        erased = _erased(kind, _place(table) == any_(places))
        counts.append(select(func.count()).select_from(erased).scalar_subquery())
    return select(until.c.instant, func.greatest(*counts).label("most"))


def _place(table: Table) -> Element:
    return literal_column(f"{table.name}.ctid")


def _erased(kind: str, *which: Element) -> CTE:
    table = TABLES[kind]
    return (
        update(table)
        .where(table.c.user_id == USER_ID, *which)
        .values(**BLANK[kind], erased_version=table.c.version)
        .returning(table.c.id)
        .cte(f"{kind}_erased")
    )


ERASE: Final = Statement(erase())
ERASE_CHUNK: Final = Statement(erase_chunk())


def erase_item(user_id: str, item_id: str, conditions: Preconditions) -> None:
    """Erase one item, or both where a task and a category have this id.

    Raises Problem 404, 412.
    """
    versions = conditions.versions
    rows = execute(writing(user_id), ERASE, user_id=user_id, id=item_id, versions=versions)
    if not rows:
        raise not_found()
    if versions is not None and not any(row.version in versions for row in rows):
        raise Problem(PRECONDITION_FAILED, current=REPRESENT[rows[0].type](rows[0]))


def empty_trash(user_id: str) -> None:
    """Erase all that is in the trash when this begins, in chunks, each its own transaction.

    Raises Problem 503 `unfinished` if there is no time for all of it.
    """
    chunk = _erase_chunk(user_id, None)
    while chunk.most == CHUNK:
        if deadline.left() < SPARE_SECONDS:
            raise Problem(UNFINISHED)
        try:
            chunk = _erase_chunk(user_id, chunk.instant)
        except (psycopg2.Error, Problem) as error:  # they would say that nothing was changed
            raise Problem(UNFINISHED) from error


def _erase_chunk(user_id: str, until: object) -> Row:
    [row] = execute(writing(user_id), ERASE_CHUNK, user_id=user_id, until=until, chunk=CHUNK)
    return row
