"""The import of an account: read line by line, written in chunks, with constant memory.

Each chunk is a transaction: what is written stays when a later chunk fails, and sending the same
body again changes nothing that is there already.
"""

from array import array
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import IO, Any, Final

import psycopg2

from app.api.kinds import KINDS
from app.api.transfer.account import Account, StoredAccount
from app.api.transfer.chunks import Line, Writer
from app.api.transfer.dry_run.account import DryRun
from app.api.transfer.progress import Budget, Report
from app.api.transfer.reading import Defects, defect, lines, lines_at
from app.api.transfer.schemas import AccountLine, AnyLine, EndLine, RowLine
from app.api.users import queries as users
from app.core import deadline
from app.core.problem_kinds import IMPORT_INTERRUPTED
from app.core.problems import Problem
from app.rows.quotas import NoRoom
from app.web.errors import BUSY, UNABLE

CHUNK_LINES: Final = 200
"""Lines of one kind in a chunk."""

CHUNK_CHARACTERS: Final = 256 * 1024
"""Characters of texts in a chunk."""

STAYS: Final = "The user has reached the storage quota; what was imported before stays."


def import_lines(user_id: str, file: IO[bytes], *, dry_run: bool) -> dict[str, Any]:
    """Import the lines, or only work out what that would do; return the report.

    Raises NoRoom, Problem 401, 503.
    """
    with account_of(user_id, dry_run=dry_run) as account:
        return Import(account, file).run()


@contextmanager
def account_of(user_id: str, *, dry_run: bool) -> Iterator[StoredAccount | DryRun]:
    """Yield the account to import into, or one that only works out what that would do."""
    if not dry_run:
        yield StoredAccount(user_id)
        return
    with closing(DryRun(user_id)) as account:
        yield account


class Import:
    """One user's import of a file.

    Lines wait in a chunk of their kind. When one is full, all are written, first those that others
    refer to. So the number of statements depends on the number of lines, not on their order.
    """

    def __init__(self, account: Account, file: IO[bytes]) -> None:
        self.to = account
        self.file = file
        self.report = Report()
        self.budget = Budget(account.user_id, writes=account.is_written)
        self.writer = Writer(account, file, self.report, self.budget)
        self.waiting: defaultdict[str, list[Line]] = defaultdict(list)
        self.characters = 0
        self.rows = 0
        self.has_account = False

    def run(self) -> dict[str, Any]:
        """Import the lines and return the report. Raises NoRoom, Problem 401, 503."""
        try:
            self.take_all()
            self.take_orphans()
            deadline.renew()
        except psycopg2.Error as error:
            if not self.budget.begun or not (error.pgcode or "").startswith((*BUSY, *UNABLE)):
                raise
            raise self.budget.interrupted() from error
        except NoRoom as full:
            full.detail, full.members["line"] = STAYS, self.writer.last_line()
            raise
        except Problem as problem:
            interrupted = problem.kind is IMPORT_INTERRUPTED
            if interrupted or not self.budget.begun or problem.kind.status != 503:
                raise
            raise self.budget.interrupted() from problem
        return self.report.members()

    def take_all(self) -> None:
        """Deal with all lines, or with those up to the one at which too many are refused."""
        number = 0
        for number, line in self.budget.in_time(lines(self.file)):
            self.budget.count_chunks(number // CHUNK_LINES)
            if line is not None:
                self.take(number, line)
            if self.report.is_full():
                self.flush(number)
                self.report.end_at(number)
                return
        self.flush(number)

    def take_orphans(self) -> None:
        """Deal with the lines that name a row of their kind which came later in the file."""
        writer, last = self.writer, self.budget.last_line
        while places := writer.orphans:
            writer.orphans = array("L")
            for number, line in self.budget.in_time(lines_at(places, self.file)):
                self.add(number, line)
            self.flush(last)
            writer.may_come_later = len(writer.orphans) < len(places)

    def take(self, number: int, line: AnyLine | Defects) -> None:
        """Deal with a line, or put it into the chunk of its kind."""
        if isinstance(line, AccountLine) and self.has_account:
            again = defect("account_again", "must be the only line of its type")
            self.report.refuse(number, again)
        elif isinstance(line, AccountLine):
            self.account(number, line)
        elif isinstance(line, EndLine):
            self.report.complete = self.rows == sum(count for _, count in line.data)
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
        values = {"name": line.data.name, "time_zone": line.data.time_zone}
        deadline.renew()
        before = users.get_user(self.to.user_id)
        changed = self.budget.run(lambda: self.to.update(before, values))
        self.report.accept(number, existed=True, changed=changed)
        self.budget.finish_chunk(number)

    def add(self, number: int, line: RowLine) -> None:
        """Put a row into the chunk of its kind, after writing all chunks if that is full."""
        if len(self.waiting[line.type]) >= CHUNK_LINES or self.characters > CHUNK_CHARACTERS:
            self.flush(number - 1)
        kind = KINDS[line.type]
        values = kind.columns(line.data.all())
        self.characters += sum(len(values[name] or "") for name in kind.writes.texts)
        self.waiting[line.type].append({"place": number, **values})

    def flush(self, number: int) -> None:
        """Write the waiting lines, all up to this number. Raises NoRoom, Problem 503."""
        chunks, self.waiting, self.characters = self.waiting, defaultdict(list), 0
        if chunks:
            self.writer.write_chunks(chunks)
            self.budget.finish_chunk(number)
