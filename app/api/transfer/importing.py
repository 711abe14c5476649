"""The import of an account: read line by line, written in chunks, with constant memory.

Each chunk is a transaction: what is written stays when a later chunk fails, and sending the same
body again changes nothing that is there already.
"""

from collections.abc import Callable, Iterable
from typing import Any, Final

import psycopg2

from app.api.tasks.schemas import columns
from app.api.transfer.budget import Budget, renew_deadline
from app.api.transfer.chunks import Line, Writer
from app.api.transfer.reading import Defects, defect
from app.api.transfer.report import Report
from app.api.transfer.schemas import AccountLine, AnyLine, CategoryLine, EndLine, TaskLine
from app.api.users import queries as users
from app.auth.policies import with_account
from app.core.problem_kinds import IMPORT_INTERRUPTED
from app.core.problems import Problem
from app.rows.quotas import NoRoom
from app.rows.shape import Preconditions
from app.web.errors import BUSY, UNABLE

CHUNK_LINES: Final = 200
"""Lines of one kind in a chunk."""

CHUNK_CHARACTERS: Final = 256 * 1024
"""Characters of descriptions in a chunk; its other texts are short."""


class Import:
    """One user's import.

    Lines wait in a chunk of their kind. When either is full, both are written, categories first, as
    tasks refer to them. So the number of statements depends on the number of lines, not on their
    order.
    """

    def __init__(
        self, user_id: str, categories: Callable[[], Iterable[tuple[int, CategoryLine]]]
    ) -> None:
        """`categories` reads the category lines of the whole file, with their numbers."""
        self.user_id = user_id
        self.report = Report()
        self.budget = Budget(user_id)
        self.writer = Writer(user_id, categories, self.report, self.budget)
        self.waiting: dict[str, list[Line]] = {"category": [], "task": []}
        self.characters = 0
        self.rows = 0
        self.has_account = False

    def run(self, lines: Iterable[tuple[int, AnyLine | Defects | None]]) -> dict[str, Any]:
        """Import the lines and return the report. Raises NoRoom, Problem 401, 503."""
        try:
            self.take_all(lines)
            renew_deadline()
        except psycopg2.Error as error:
            if not self.budget.begun or not (error.pgcode or "").startswith((*BUSY, *UNABLE)):
                raise
            raise self.budget.interrupted() from error
        except NoRoom as full:
            full.members["line"] = self.writer.last_line()
            raise
        except Problem as problem:
            interrupted = problem.kind is IMPORT_INTERRUPTED
            if interrupted or not self.budget.begun or problem.kind.status != 503:
                raise
            raise self.budget.interrupted() from problem
        return self.report.members()

    def take_all(self, lines: Iterable[tuple[int, AnyLine | Defects | None]]) -> None:
        """Deal with all lines, or with those up to the one at which too many are refused."""
        number = 0
        for number, line in self.budget.in_time(lines):
            self.budget.count_chunks(number // CHUNK_LINES)
            if line is not None:
                self.take(number, line)
            if self.report.is_full():
                self.flush(number)
                self.report.end_at(number)
                return
        self.flush(number)

    def take(self, number: int, line: AnyLine | Defects) -> None:
        """Deal with a line, or put it into the chunk of its kind."""
        if isinstance(line, AccountLine) and self.has_account:
            again = defect("account_again", "must be the only line of its type")
            self.report.refuse(number, again)
        elif isinstance(line, AccountLine):
            self.account(number, line)
        elif isinstance(line, EndLine):
            self.report.complete = self.rows == line.data.categories + line.data.tasks
        else:
            self.rows += 1
            if isinstance(line, list):
                self.report.refuse(number, line)
            else:
                self.add(number, line)

    def account(self, number: int, line: AccountLine) -> None:
        """Write the account's name and time zone, after the lines that came before."""
        self.has_account = True
        self.flush(number - 1)
        self.budget.begin_statement()
        values = {"name": line.data.name, "time_zone": line.data.time_zone}
        before = users.get_user(self.user_id)
        after = with_account(lambda: users.update_user(self.user_id, values, Preconditions()))
        changed = before is None or before["version"] != after["version"]
        self.report.accept(existed=True, changed=changed)
        self.budget.finish_chunk(number)

    def add(self, number: int, line: CategoryLine | TaskLine) -> None:
        """Put a row into the chunk of its kind, after writing both chunks if that is full."""
        if len(self.waiting[line.type]) >= CHUNK_LINES or self.characters > CHUNK_CHARACTERS:
            self.flush(number - 1)
        values = columns(line.data.all())
        self.characters += len(values.get("description") or "")
        self.waiting[line.type].append({"place": number, **values})

    def flush(self, number: int) -> None:
        """Write the waiting lines, all up to this number. Raises NoRoom, Problem 503."""
        chunks, self.waiting = self.waiting, {"category": [], "task": []}
        self.characters = 0
        if any(chunks.values()):
            self.writer.write_chunks(chunks["category"], chunks["task"])
            self.budget.finish_chunk(number)
