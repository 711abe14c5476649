"""The account that an import writes into, or one that a dry run works with in its place."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from psycopg2.errors import IntegrityError

from app.api.transfer import rows
from app.api.transfer.names import LockedRows
from app.api.transfer.rows import Outcome
from app.api.users import queries as users
from app.db.run import perform
from app.db.scope import writing
from app.db.transactions import Transaction
from app.rows.kind import Kind
from app.rows.shape import Preconditions

Line = Mapping[str, Any]
Result = TypeVar("Result")


class Rows(Protocol):
    """The rows that lines are compared with, and that their results are written into."""

    def look_up(self, kind: Kind, lines: Sequence[Line]) -> Sequence[Any]:
        """Return what exists for each line, in their order (names.found_rows)."""

    def write_rows(
        self, kind: Kind, lines: Sequence[Line], renamed: Collection[str]
    ) -> Mapping[int, str]:
        """Write lines that were looked up; return which fields of which places are refused."""


class Account(Protocol):
    """One user's account."""

    user_id: str
    is_written: bool

    def update(self, before: Line | None, values: dict[str, Any]) -> bool:
        """Give the account these values; return whether it is another one than before."""

    def at_once(self, kind: Kind, lines: Sequence[Line]) -> list[Outcome] | None:
        """Write lines of different ids in one statement; None if they have to go in order."""

    def together(self, work: Callable[[Rows], Result]) -> Result:
        """Return what the work returns; all that it writes is written then, or nothing of it."""


class StoredAccount:
    """An account in the database."""

    is_written = True

    def __init__(self, user_id: str) -> None:
        self.user_id = user_id

    def update(self, before: Line | None, values: dict[str, Any]) -> bool:
        """Give the account these values; return whether it is another one. Raises NoAccount."""
        after = users.update_user(self.user_id, values, Preconditions())
        return before is None or before["version"] != after["version"]

    def at_once(self, kind: Kind, lines: Sequence[Line]) -> list[Outcome] | None:
        """Write lines of different ids in one statement; None if the database refuses one."""
        try:
            return rows.write(self.user_id, kind, lines)
        except IntegrityError:
            return None

    def together(self, work: Callable[[Rows], Result]) -> Result:
        """Do the work in a transaction, which locks the owner's row."""
        user_id = self.user_id
        scope = writing(user_id, once=True)
        return perform(scope, Transaction, lambda sending: work(LockedRows(sending, user_id)))
