"""The account that tasks of another app come to: each chunk of them is looked at, written and noted
in one transaction.

So what the user changes or deletes while the import runs stays as well, and an import that breaks
off leaves no task without its note. A task that the database refuses for its rule or its place in a
tree is written without that.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeVar

from psycopg2.errors import IntegrityError

from app.api.tasks.kind import TASK
from app.api.transfer import in_order
from app.api.transfer.account import Line, Rows, StoredAccount
from app.api.transfer.dry_run import recurrences
from app.api.transfer.dry_run.account import DryRun
from app.api.transfer.moving import known
from app.api.transfer.moving.conversion import Moved
from app.api.transfer.moving.fitting import with_rule
from app.api.transfer.moving.found import Loss, quoted
from app.api.transfer.rows import IMPORTS, Outcome, Violation, bound, outcomes, refusing
from app.db.run import perform
from app.db.scope import writing
from app.db.sending import Row
from app.db.transactions import Transaction
from app.rows.kind import Kind

RULES: Final = {"ck_tasks_recurrence_rule", "ck_tasks_recurrence_age", "ck_tasks_recurrence_start"}
PLACES: Final = {"ck_tasks_cycle", "ck_tasks_depth"}

NO_OCCURRENCE: Final = "{} has no occurrence from the due time on; it is in the description."
NOT_HERE: Final = "Its parent is not here, or was deleted;"
NO_LEVEL: Final = "As tasks were moved here, it cannot be below its parent;"
STAYS_THERE: Final = "it stays where it is."
NO_PARENT: Final = "it has none."

Result = TypeVar("Result")


class Sorted(NamedTuple):
    """The tasks of a chunk: those to write, what became of the others, and what is lost."""

    lines: list[Line]
    left: list[Outcome]
    losses: list[Loss]


class Arrivals:
    """An account, stored or of a dry run, into which a file of another app is imported."""

    def __init__(self, to: StoredAccount | DryRun, moved: Moved) -> None:
        self.to = to
        self.user_id = to.user_id
        self.is_written = to.is_written
        self.moved = moved
        self.losses: list[Loss] = []
        self.without_rule: set[int] = set()
        """The places of tasks whose rules the database refuses."""
        self.not_below: set[int] = set()
        """The places of tasks for which there is no level below their parents."""

    def update(self, before: Line | None, values: dict[str, Any]) -> bool:
        """Give the account these values, which no file of another app has."""
        return self.to.update(before, values)

    def together(self, work: Callable[[Rows], Result]) -> Result:
        """Do the work on categories or labels whose names are taken."""
        return self.to.together(work)

    def at_once(self, kind: Kind, lines: Sequence[Line]) -> list[Outcome] | None:
        """Write lines of different ids. Raises IntegrityError or Violation for tasks alone."""
        if kind is not TASK:
            return self.to.at_once(kind, lines)
        while True:
            try:
                written, losses = self._write(lines)
            except (IntegrityError, Violation) as error:
                if not self._mend(lines, error):
                    raise
            else:
                self.losses += losses
                return written

    def report(self) -> None:
        """Add what was lost on the way to the losses of the file, in its order."""
        for loss in sorted(self.losses):
            self.moved.losses.append(loss)

    def _mend(self, lines: Sequence[Line], error: IntegrityError | Violation) -> bool:
        """Note which tasks are to be written otherwise; return whether there are such."""
        name = refusing(error)
        if name in RULES:
            left = [line for line in lines if line["place"] not in self.without_rule]
            refused = recurrences.violations(self.user_id, left)
            places = {line["place"] for line in left if line["id"] in refused}
            self.without_rule |= places
            return bool(places)
        if name in PLACES and len(lines) == 1 and lines[0]["place"] not in self.not_below:
            self.not_below.add(lines[0]["place"])
            return True
        return False

    def _write(self, lines: Sequence[Line]) -> tuple[list[Outcome], list[Loss]]:
        if isinstance(self.to, DryRun):
            return self._try(self.to, lines)
        scope = writing(self.user_id, once=True)
        return perform(scope, Transaction, lambda sending: self._write_within(sending, lines))

    def _write_within(
        self, transaction: Transaction, lines: Sequence[Line]
    ) -> tuple[list[Outcome], list[Loss]]:
        """Write the tasks that nobody has touched, and note them, under the owner's lock."""
        parameters = {"user_id": self.user_id, "ids": _ids(lines)}
        rows = {row.id: row for row in transaction.send((known.MOVED, parameters))}
        todo = self._sorted(lines, rows, {row_id for row_id, row in rows.items() if row.live})
        if not todo.lines:
            return todo.left, todo.losses
        statement = (IMPORTS[TASK.name], bound(self.user_id, todo.lines))
        written = outcomes(transaction.send(statement))
        refused = {each.place for each in written if each.refusal}
        ids = [line["id"] for line in todo.lines if line["place"] not in refused]
        digests = [self.moved.fingerprints[row_id] for row_id in ids]
        note = {"user_id": self.user_id, "ids": ids, "fingerprints": digests}
        transaction.last = (known.REMEMBER, note)
        return written + todo.left, todo.losses

    def _try(self, to: DryRun, lines: Sequence[Line]) -> tuple[list[Outcome], list[Loss]]:
        """Work out the same by reading."""
        rows = known.moved_before(self.user_id, _ids(lines))
        here = {row_id for row_id, row in rows.items() if row.live}
        here |= to.changes.keys(TASK, _ids(lines)).keys()
        todo = self._sorted(lines, rows, here)
        written = in_order.write(to, TASK, todo.lines) if todo.lines else []
        return written + todo.left, todo.losses

    def _sorted(
        self, lines: Sequence[Line], rows: Mapping[str, Row], here: Collection[str]
    ) -> Sorted:
        """Sort out the tasks; `here` are those of them and of their parents that exist."""
        todo = Sorted([], [], [])
        for line in lines:
            row_id, number = line["id"], self.moved.line_of(line["place"])
            reason = known.reason_to_leave(rows.get(row_id), self.moved.fingerprints[row_id])
            if reason is None:
                todo.lines.append(line)
                continue
            todo.left.append(Outcome(line["place"], live=True, differs=False))
            if reason:
                todo.losses.append(Loss(number, "", reason))
        there = {line["id"] for line in todo.lines}.union(here)
        for at, line in enumerate(todo.lines):
            todo.lines[at] = self._changed(line, rows.get(line["id"]), there, todo.losses)
        return todo

    def _changed(
        self, line: Line, row: Row | None, there: Collection[str], losses: list[Loss]
    ) -> Line:
        """Return the line as it can be written; add what it loses."""
        number = self.moved.line_of(line["place"])
        if line["place"] in self.without_rule:
            rule = line["recurrence"]["rule"]
            losses.append(Loss(number, "rule", NO_OCCURRENCE.format(quoted(rule))))
            line = {**line, **with_rule(line["description"], rule), "recurrence": None}
        absent = line["parent_id"] is not None and line["parent_id"] not in there
        if absent or line["place"] in self.not_below:
            parent = row.parent_id if row else None
            detail = f"{NOT_HERE if absent else NO_LEVEL} {STAYS_THERE if row else NO_PARENT}"
            losses.append(Loss(number, "parent", detail))
            line = {**line, "parent_id": parent}
        return line


def _ids(lines: Sequence[Line]) -> list[str]:
    """Return the ids of tasks and of their parents."""
    ids = {line["id"] for line in lines}
    return [*ids.union(line["parent_id"] for line in lines if line["parent_id"])]
