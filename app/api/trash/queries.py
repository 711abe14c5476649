"""What is asked of the trash; all kinds together, off an index of each."""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Select, Text, Uuid, bindparam, cast, literal, select, tuple_, union_all
from sqlalchemy.dialects.postgresql import TIMESTAMP

from app.api.kinds import KINDS, columns_of
from app.db.run import execute
from app.db.scope import reading
from app.db.sending import Row
from app.db.statement import Statement
from app.rows.kind import Kind
from app.rows.listing import Position
from app.rows.restoring import in_trash
from app.rows.shape import USER_ID


def items_of(kind: Kind) -> Select[Any]:
    """What is in the trash of one kind, with the columns of all kinds."""
    table = kind.table
    return select(*columns_of(kind), table.c.deleted_at).where(
        table.c.user_id == USER_ID, in_trash(table)
    )


def listing(*, first_page: bool) -> Select[Any]:
    """The rows of a page, newest deletion first, with their `sort_key`: type and time."""
    page = union_all(*(_page_of(kind, first_page).subquery().select() for kind in KINDS.values()))
    items = page.subquery("items")
    order = (items.c.deleted_at.desc(), items.c.id.desc(), items.c.type.desc())
    sort_key = items.c.type + " " + cast(items.c.deleted_at, Text)
    return select(*items.c, sort_key.label("sort_key")).order_by(*order).limit(bindparam("rows"))


def _page_of(kind: Kind, first_page: bool) -> Select[Any]:
    table = kind.table
    rows = items_of(kind)
    if not first_page:
        last = tuple_(
            cast(bindparam("after_time"), TIMESTAMP(timezone=True)),
            cast(bindparam("after_id"), Uuid(as_uuid=False)),
            cast(bindparam("after_type"), Text),
        )
        rows = rows.where(tuple_(table.c.deleted_at, table.c.id, literal(kind.name)) < last)
    return rows.order_by(table.c.deleted_at.desc(), table.c.id.desc()).limit(bindparam("rows"))


FIRST: Final = Statement(listing(first_page=True))
NEXT: Final = Statement(listing(first_page=False))


def list_trash(user_id: str, limit: int, position: Position | None) -> Sequence[Row]:
    """A page of the trash and one more row if another page follows."""
    scope, rows = reading(user_id), limit + 1
    if position is None:
        return execute(scope, FIRST, user_id=user_id, rows=rows)
    kind, _, time = position.key.partition(" ")
    after = {"after_type": kind, "after_time": time, "after_id": position.id}
    return execute(scope, NEXT, user_id=user_id, rows=rows, **after)
