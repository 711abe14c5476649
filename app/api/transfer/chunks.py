"""Writing the chunks of an import: as few statements as possible, fewer lines where that fails."""

from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from typing import Any, Final, TypeVar

import psycopg2
from psycopg2.errors import IntegrityError, QueryCanceled

from app.api.transfer import in_order, renaming, rows
from app.api.transfer.budget import Budget
from app.api.transfer.report import Report
from app.api.transfer.rows import Outcome
from app.api.transfer.schemas import CategoryLine
from app.auth.policies import with_account
from app.core.problems import Problem
from app.rows.quotas import NoRoom, within_quota
from app.web.errors import CONSTRAINTS

MOST_PLANS: Final = 20
"""Plans of an import for names that pass on. One is enough unless lines repeat a category."""

Line = dict[str, Any]
Result = TypeVar("Result")


class Writer:
    """Writes the chunks of one import and reports the outcome of each line."""

    def __init__(
        self,
        user_id: str,
        categories: Callable[[], Iterable[tuple[int, CategoryLine]]],
        report: Report,
        budget: Budget,
    ) -> None:
        self.user_id = user_id
        self.categories = categories
        self.report = report
        self.budget = budget
        self.unwritten: set[int] = set()
        """Places of the lines of this chunk without an outcome."""
        self.made: dict[str, int] = {}
        """Categories that this chunk created, and the places of their lines."""
        self.plan: renaming.Plan | None = None
        """Which names categories have in the end; None until a name is taken."""
        self.plans = 0
        self.last_lines: list[Line] = []
        """The last line of each category in the file, once there is a plan."""
        self.early: dict[str, int] = {}
        """Categories whose last lines were written early, and the places of these lines."""

    def write_chunks(self, categories: list[Line], tasks: list[Line]) -> None:
        """Write a chunk of each kind. Raises NoRoom, Problem 503, or psycopg2.Error."""
        self.unwritten = {line["place"] for line in (*categories, *tasks)}
        self.made = {}
        self._write_all("category", categories)
        self._write_all("task", [line for line in tasks if not self._comes_too_early(line)])

    def last_line(self) -> int:
        """Return the last line that has an outcome, as all lines before it have."""
        return min(self.unwritten, default=self.budget.last_line + 1) - 1

    def _comes_too_early(self, task: Line) -> bool:
        """Refuse a task whose category a later line of the same chunk created."""
        if task["place"] > self.made.get(task["category_id"], 0):
            return False
        self.unwritten.discard(task["place"])
        self.report.refuse_reference(task["place"])
        return True

    def _write_all(self, kind: str, chunk: list[Line]) -> None:
        """Write the lines, in smaller chunks if the database refuses or cancels the statement.

        Raises NoRoom for the first line for which there is none.
        """
        while chunk:
            try:
                count = self._write_some(kind, chunk)
            except (IntegrityError, QueryCanceled, NoRoom) as error:
                self._halve(kind, chunk, error)
                return
            chunk = chunk[count:]
            if chunk:
                self._make_room_for(chunk[0])

    def _write_some(self, kind: str, chunk: list[Line]) -> int:
        """Write the lines, or those before one that waits for its name; return how many.

        Lines of different ids are one statement, unless a name is taken: then as in turn.
        """
        if len({line["id"] for line in chunk}) == len(chunk):
            with suppress(IntegrityError):
                return self._write(kind, chunk, rows.write)
        return self._write(kind, chunk, partial(in_order.write, plan=self.plan))

    def _halve(self, kind: str, chunk: list[Line], error: psycopg2.Error | NoRoom) -> None:
        """Write the lines in two parts. Refuse a single line, or raise what is not its fault."""
        if len(chunk) > 1:
            middle = len(chunk) // 2
            self._write_all(kind, chunk[:middle])
            self._write_all(kind, chunk[middle:])
            return
        if not isinstance(error, IntegrityError):
            raise error
        problem = CONSTRAINTS.get(error.diag.constraint_name or "")
        if problem is None:
            raise error
        self._refuse(chunk[0]["place"], problem)

    def _write(
        self, kind: str, chunk: list[Line], how: Callable[[str, str, list[Line]], list[Outcome]]
    ) -> int:
        """Write the lines, the first of them or none, and report their outcomes."""
        self.budget.begin_statement()
        outcomes = self._in_quota(lambda: how(self.user_id, kind, chunk))
        ids = {line["place"]: line["id"] for line in chunk}
        for outcome in outcomes:
            self._note(kind, ids[outcome.place], outcome)
        return len(outcomes)

    def _make_room_for(self, line: Line) -> None:
        """Write early the last lines of the categories whose names this line and others wait for.

        All names stay taken if that takes the database too long or was done too often.
        """
        if not self.plans:
            self.last_lines = renaming.last_lines(self.budget.in_time(self.categories()))
        self.plans += 1
        self.plan, self.budget.begun = renaming.NO_PLAN, True
        if self.plans > MOST_PLANS:
            return
        self.budget.begin_statement()
        with suppress(QueryCanceled):
            self.plan = self._in_quota(
                lambda: renaming.make_room(self.user_id, line, self.last_lines)
            )
        self.early |= {row_id: self.plan.names[row_id].place for row_id in self.plan.renamed}

    def _in_quota(self, write: Callable[[], Result]) -> Result:
        """Return what the write returns, for a user who may have no account yet."""
        return with_account(lambda: within_quota(self.user_id, write))

    def _note(self, kind: str, row_id: str, outcome: Outcome) -> None:
        """Report the outcome of a line."""
        self.unwritten.discard(outcome.place)
        if outcome.refusal == "category_id":
            self.report.refuse_reference(outcome.place)
        elif outcome.refusal:
            self._refuse(outcome.place, CONSTRAINTS[outcome.refusal])
        else:
            early = self.early.get(row_id) == outcome.place
            self.report.accept(existed=outcome.live, changed=outcome.differs or early)
            if kind == "category" and not outcome.live:
                self.made[row_id] = outcome.place

    def _refuse(self, place: int, problem: Problem) -> None:
        self.unwritten.discard(place)
        self.report.refuse_conflict(place, problem)
