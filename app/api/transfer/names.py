"""Looking up rows and names under the owner's lock, for lines that depend on one another."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import (
    Select,
    Text,
    Uuid,
    and_,
    any_,
    bindparam,
    cast,
    func,
    literal_column,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY

from app.api.kinds import KINDS
from app.api.transfer.rows import IMPORTS, bound, matched, refused, require_written
from app.core.ids import new_id
from app.db.sending import Row
from app.db.statement import Statement
from app.db.transactions import Transaction
from app.rows.kind import Kind
from app.rows.owner import User
from app.rows.shape import USER_ID

HASH_LENGTH: Final = 32
"""Characters of the names that rows have meanwhile."""


def compared(kind: Kind) -> list[str]:
    """Return the fields of a line that others may depend on."""
    return ["id", *kind.references, *([kind.unique] if kind.unique else [])]


def found_rows(kind: Kind, verdict: Callable[[Kind, Any], Sequence[Any]]) -> Select[Any]:
    """Select for each line the live row of its id, or nulls, the time, and the verdict on it.

    Where names are unique, also `key` and `row_key`, by which the names of the line and of the row
    are compared, and `holder`, the id of the live row that has the line's name.
    """
    given, row, clock, joined = matched(kind, compared(kind))
    columns: list[Any] = [*(row.c[name] for name in kind.exported), given.c.place, clock.c.at]
    columns += verdict(kind, given)
    if kind.unique:
        holder = kind.table.alias("holder")
        key = func.lower(given.c[kind.unique])
        has_name = and_(
            holder.c.user_id == USER_ID,
            func.lower(holder.c[kind.unique]) == key,
            holder.c.deleted_at.is_(None),
        )
        joined = joined.outerjoin(holder, has_name)
        row_key = func.lower(row.c[kind.unique]).label("row_key")
        columns += [key.label("key"), row_key, holder.c.id.label("holder")]
    return select(*columns).select_from(joined).order_by(given.c.place)


def set_names_aside(kind: Kind, name: str) -> Any:
    """Give live rows unique names, which the same transaction replaces; `aside` is a text that
    nobody can know.

    Counts the bytes of these names, as the next statement counts from them.
    """
    table = kind.table
    aside = (
        update(table)
        .where(
            table.c.user_id == USER_ID,
            table.c.id == any_(cast(bindparam("ids"), ARRAY(Uuid(as_uuid=False)))),
            table.c.deleted_at.is_(None),
        )
        .values({name: func.md5(cast(table.c.id, Text).concat(bindparam("aside", type_=Text)))})
        .returning(table.c.id)
        .cte("aside")
    )
    count = select(func.count()).select_from(aside).scalar_subquery()
    return (
        update(User)
        .where(User.id == USER_ID)
        .values(used_bytes=User.used_bytes + count * literal_column(str(HASH_LENGTH)))
    )


def refusal(kind: Kind, given: Any) -> list[Any]:
    """The verdict of an import: which field of a line names no row."""
    return [refused(kind, given).label("refused")]


FOUND: Final = {kind.name: Statement(found_rows(kind, refusal)) for kind in KINDS.values()}
ASIDE: Final = {
    kind.name: Statement(set_names_aside(kind, kind.unique))
    for kind in KINDS.values()
    if kind.unique
}


def compact(kind: Kind, lines: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return what `found_rows` needs of lines."""
    fields = ("place", *compared(kind))
    return [{name: line[name] for name in fields} for line in lines]


class LockedRows(NamedTuple):
    """A user's rows within a transaction that has locked the owner's."""

    transaction: Transaction
    user_id: str

    def look_up(self, kind: Kind, lines: Sequence[Mapping[str, Any]]) -> Sequence[Row]:
        """Return what exists for each line, as `found_rows` selects it, and what is refused."""
        return self.transaction.send((FOUND[kind.name], bound(self.user_id, compact(kind, lines))))

    def write_rows(
        self, kind: Kind, lines: Sequence[Mapping[str, Any]], renamed: Collection[str]
    ) -> dict[int, str]:
        """Write lines of different ids, of which these rows pass on their names.

        Returns the places of lines that were not written, as another line that was refused would
        have made the row that this field names. Raises NoRoom, also without an account.
        """
        sent = [(IMPORTS[kind.name], bound(self.user_id, lines))]
        if renamed:
            aside = {"user_id": self.user_id, "ids": [*renamed], "aside": new_id()}
            sent.insert(0, (ASIDE[kind.name], aside))
        found = self.transaction.send(*sent)
        require_written(found)
        return {row.place: row.refused for row in found if row.refused}
