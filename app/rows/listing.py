"""A listing in the order of creation, page by page; each page is one statement and one flight."""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import Select, Text, Uuid, bindparam, cast, tuple_
from sqlalchemy.dialects.postgresql import TIMESTAMP

from app.db.run import execute
from app.db.scope import reading
from app.db.sending import Row
from app.db.statement import Statement


class Position(NamedTuple):
    """The row after which a page begins: its sort key, as the database writes it, and its id."""

    key: str
    id: str


class OldestFirst:
    """A user's rows, oldest first, ties broken by id; they are bound to `user_id`."""

    def __init__(self, rows: Select[Any], created_at: Any, row_id: Any) -> None:
        page = rows.add_columns(cast(created_at, Text).label("sort_key"))
        page = page.order_by(created_at, row_id).limit(bindparam("rows"))
        last = tuple_(
            cast(bindparam("after_key"), TIMESTAMP(timezone=True)),
            cast(bindparam("after_id"), Uuid(as_uuid=False)),
        )
        self.first: Final = Statement(page)
        self.next: Final = Statement(page.where(tuple_(created_at, row_id) > last))

    def page(self, user_id: str, limit: int, position: Position | None) -> Sequence[Row]:
        """The rows after the position, and one more row if another page follows."""
        scope, rows = reading(user_id), limit + 1
        if position is None:
            return execute(scope, self.first, user_id=user_id, rows=rows)
        after = {"after_key": position.key, "after_id": position.id}
        return execute(scope, self.next, user_id=user_id, rows=rows, **after)
