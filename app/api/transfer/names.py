"""Looking up rows and names under the owner's lock, for lines that depend on one another."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import (
    Select,
    Table,
    Text,
    Uuid,
    and_,
    any_,
    bindparam,
    cast,
    func,
    literal_column,
    select,
    true,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY

from app.api.categories.models import Category
from app.api.tasks.models import Task
from app.api.transfer.rows import IMPORTS, allowed, bound, given_lines, require_written
from app.api.transfer.schemas import CATEGORY_FIELDS, TASK_FIELDS
from app.db.sending import Row, Transaction
from app.db.statement import Statement
from app.rows.owner import User
from app.rows.shape import USER_ID

UUID_LENGTH: Final = 36

COMPARED: Final = ("place", "id", "name", "category_id")
"""The fields of a line that FOUND needs."""


def found_rows(table: Table, names: Sequence[str]) -> Select[Any]:
    """Select for each line the live row of its id, or nulls, the time, and whether it is allowed.

    Of categories also `key` and `row_key`, by which the names of the line and of the row are
    compared, and `holder`, the id of the live category that has the line's name.
    """
    given, row = (
        given_lines(table, ["id", "name" if "name" in names else "category_id"]),
        table.alias("row"),
    )
    clock = select(func.clock_timestamp().label("at")).cte("clock").prefix_with("materialized")
    rows = given.join(clock, true()).outerjoin(
        row,
        and_(row.c.user_id == USER_ID, row.c.id == given.c.id, row.c.deleted_at.is_(None)),
    )
    columns: list[Any] = [*(row.c[name] for name in names), given.c.place, clock.c.at]
    columns.append(allowed(given, names).label("allowed"))
    if "name" in names:
        holder = table.alias("holder")
        key = func.lower(given.c.name)
        rows = rows.outerjoin(
            holder,
            and_(
                holder.c.user_id == USER_ID,
                func.lower(holder.c.name) == key,
                holder.c.deleted_at.is_(None),
            ),
        )
        columns += [
            key.label("key"),
            func.lower(row.c.name).label("row_key"),
            holder.c.id.label("holder"),
        ]
    return select(*columns).select_from(rows).order_by(given.c.place)


def set_names_aside() -> Any:
    """Give live categories unique names, which the same transaction replaces.

    Counts the bytes of these names, as the next statement counts from them.
    """
    aside = (
        update(Category)
        .where(
            Category.user_id == USER_ID,
            Category.id == any_(cast(bindparam("ids"), ARRAY(Uuid(as_uuid=False)))),
            Category.deleted_at.is_(None),
        )
        .values(name=cast(func.gen_random_uuid(), Text))
        .returning(Category.id)
        .cte("aside")
    )
    count = select(func.count()).select_from(aside).scalar_subquery()
    return (
        update(User)
        .where(User.id == USER_ID)
        .values(used_bytes=User.used_bytes + count * literal_column(str(UUID_LENGTH)))
    )


FOUND: Final = {
    "category": Statement(found_rows(Category.__table__, CATEGORY_FIELDS)),  # type: ignore[arg-type]
    "task": Statement(found_rows(Task.__table__, TASK_FIELDS)),  # type: ignore[arg-type]
}
ASIDE: Final = Statement(set_names_aside())


def look_up(
    transaction: Transaction, user_id: str, kind: str, lines: Sequence[Mapping[str, Any]]
) -> Sequence[Row]:
    """Return what exists for each line, as `found_rows` selects it."""
    compared = [{name: line[name] for name in COMPARED if name in line} for line in lines]
    return transaction.send((FOUND[kind], bound(user_id, compared)))


def write(
    transaction: Transaction,
    user_id: str,
    kind: str,
    lines: Sequence[Mapping[str, Any]],
    renamed: Collection[str],
) -> None:
    """Write lines of different ids, of which these categories pass on their names.

    Raises NoRoom, also without an account.
    """
    sent = [(IMPORTS[kind], bound(user_id, lines))]
    if renamed:
        sent.insert(0, (ASIDE, {"user_id": user_id, "ids": [*renamed]}))
    require_written(transaction.send(*sent))
