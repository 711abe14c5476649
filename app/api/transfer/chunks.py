"""Writing the chunks of an import: as few statements as possible, fewer lines where that fails."""

from array import array
from collections.abc import Mapping
from typing import IO, Any

import psycopg2
from psycopg2.errors import IntegrityError, QueryCanceled

from app.api.kinds import IN_ORDER
from app.api.transfer import in_order
from app.api.transfer.account import Account
from app.api.transfer.progress import Budget, Report
from app.api.transfer.renaming import Renaming
from app.api.transfer.rows import Outcome, Violation, refusing
from app.rows.kind import Kind
from app.rows.quotas import NoRoom
from app.web.errors import CONSTRAINTS

Line = dict[str, Any]


class Writer:
    """Writes the chunks of the import of a file and reports the outcome of each line."""

    def __init__(self, account: Account, file: IO[bytes], report: Report, budget: Budget) -> None:
        self.account = account
        self.report = report
        self.budget = budget
        self.renamings = {
            kind.name: Renaming(account, kind, file, budget) for kind in IN_ORDER if kind.unique
        }
        self.made: dict[tuple[str, str], int] = {}
        """Rows that this chunk created, by kind and id, and the places of their lines."""
        self.orphans = array("L")
        """The places of lines that name a row of their own kind which may come later."""
        self.may_come_later = True

    def write_chunks(self, chunks: Mapping[str, list[Line]]) -> None:
        """Write a chunk of each kind. Raises NoRoom, Problem 503, or psycopg2.Error."""
        self.report.unwritten = {line["place"] for chunk in chunks.values() for line in chunk}
        self.made = {}
        for kind in IN_ORDER:
            chunk = chunks.get(kind.name, [])
            self._write_all(kind, [line for line in chunk if not self._comes_too_early(kind, line)])

    def last_line(self) -> int:
        """Return the last line that has an outcome, as all lines before it have."""
        return min(self.report.unwritten, default=self.budget.last_line + 1) - 1

    def _comes_too_early(self, kind: Kind, line: Line) -> bool:
        """Refuse a line that refers to a row which a later line of the same chunk created."""
        for field, other in kind.references.items():
            if other == kind.name:
                continue
            named = line[field] if isinstance(line[field], list) else [line[field]]
            if any(line["place"] < self.made.get((other, row_id), 0) for row_id in named):
                self.report.refuse_reference(line["place"], field)
                return True
        return False

    def _write_all(self, kind: Kind, chunk: list[Line]) -> None:
        """Write the lines, in smaller chunks if the database refuses or cancels the statement.

        Raises NoRoom for the first line for which there is none.
        """
        while chunk:
            try:
                count = self._write_some(kind, chunk)
            except (IntegrityError, Violation, QueryCanceled, NoRoom) as error:
                self._halve(kind, chunk, error)
                return
            chunk = chunk[count:]
            if chunk:
                self.renamings[kind.name].make_room_for(chunk[0])

    def _write_some(self, kind: Kind, chunk: list[Line]) -> int:
        """Write the lines, or those before one that waits for its name, and report their outcomes.

        Returns how many they are. Lines of different ids are one statement, unless a name is taken.
        """
        outcomes = None
        if len({line["id"] for line in chunk}) == len(chunk):
            outcomes = self.budget.run(lambda: self.account.at_once(kind, chunk))
        if outcomes is None:
            plan = self.renamings[kind.name].plan if kind.unique else None
            outcomes = self.budget.run(lambda: in_order.write(self.account, kind, chunk, plan))
        ids = {line["place"]: line["id"] for line in chunk}
        for outcome in outcomes:
            self._note(kind, ids[outcome.place], outcome)
        return len(outcomes)

    def _halve(
        self, kind: Kind, chunk: list[Line], error: psycopg2.Error | Violation | NoRoom
    ) -> None:
        """Write the lines in two parts. Refuse a single line, or raise what is not its fault."""
        if len(chunk) > 1:
            middle = len(chunk) // 2
            self._write_all(kind, chunk[:middle])
            self._write_all(kind, chunk[middle:])
            return
        if not isinstance(error, IntegrityError | Violation):
            raise error
        problem = CONSTRAINTS.get(refusing(error))
        if problem is None:
            raise error
        self.report.refuse_conflict(chunk[0]["place"], problem)

    def _note(self, kind: Kind, row_id: str, outcome: Outcome) -> None:
        """Report the outcome of a line."""
        place, refusal = outcome.place, outcome.refusal
        if refusal and self.may_come_later and kind.references.get(refusal) == kind.name:
            self.orphans.append(place)
        elif refusal and refusal in kind.references:
            self.report.refuse_reference(place, refusal)
        elif refusal:
            self.report.refuse_conflict(place, CONSTRAINTS[refusal])
        else:
            early = bool(kind.unique) and self.renamings[kind.name].early.get(row_id) == place
            self.report.accept(place, existed=outcome.live, changed=outcome.differs or early)
            if not outcome.live:
                self.made[kind.name, row_id] = place
