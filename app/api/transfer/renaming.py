"""Names that pass from one row to another within an import, where those of a kind are unique.

A line may give its row a name that another one has until a later line renames that one. So before a
taken name is refused, the last lines of all rows of the kind in the file are compared. Those of the
rows that have to give up a name are written early, all in one transaction, so that no other client
sees a row without its name. A name stays taken if its row is not in the file, or cannot have the
name that the file gives it.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from typing import IO, Any, Final, NamedTuple

from psycopg2.errors import QueryCanceled

from app.api.transfer.account import Account, Rows
from app.api.transfer.progress import Budget
from app.api.transfer.reading import lines_of
from app.db.sending import Row
from app.rows.kind import Kind

MOST_ROWS: Final = 10_000
"""Rows of a file to compare: more than a person's account has categories."""

MOST_PLANS: Final = 20
"""Plans of an import. One is enough unless lines repeat a row."""

AFTER_ALL: Final = 2**31 - 1
"""A place after all others: rows are found in the order of the lines' places."""

Line = Mapping[str, Any]


class Name(NamedTuple):
    """What the last line of a row calls it."""

    place: int
    key: str
    """The form in which names are compared."""


class Plan(NamedTuple):
    """Which names the rows of a file have in the end, without those that stay taken."""

    names: Mapping[str, Name]
    """By the row's id."""
    renamed: frozenset[str] = frozenset()
    """Rows whose last lines were written early."""

    def gives_up(self, row_id: str, key: str, place: int) -> bool:
        """Return whether a line after this place gives the row another name."""
        last = self.names.get(row_id)
        return last is not None and last.key != key and last.place > place


NO_PLAN: Final = Plan({})
"""With which every name that is taken stays taken."""


class Renaming:
    """The names of one kind's rows during an import from this file."""

    def __init__(self, account: Account, kind: Kind, file: IO[bytes], budget: Budget) -> None:
        self.account = account
        self.kind = kind
        self.file = file
        self.budget = budget
        self.plan: Plan | None = None
        """Which names rows have in the end; None until a name is taken."""
        self.plans = 0
        self.early: dict[str, int] = {}
        """Rows whose last lines were written early, and the places of these lines."""

    def make_room_for(self, line: Line) -> None:
        """Write early the last lines of the rows whose names this line and others wait for.

        All names stay taken if that takes the database too long or was done too often. Raises
        NoRoom, Problem 503, or psycopg2.Error for what the database refused.
        """
        last = self.last_lines
        self.plans += 1
        self.plan, self.budget.begun = NO_PLAN, self.account.is_written
        if self.plans > MOST_PLANS:
            return
        with suppress(QueryCanceled):
            self.plan = self.budget.run(lambda: self._planned_for(last, line))
        self.early |= {row_id: self.plan.names[row_id].place for row_id in self.plan.renamed}

    @cached_property
    def last_lines(self) -> list[Line]:
        """Return the last line of each of the first MOST_ROWS rows, by place."""
        last: dict[str, Line] = {}
        for place, line in self.budget.in_time(lines_of(self.kind.name, self.file)):
            values = self.kind.columns(line.data.all())
            if values["id"] in last or len(last) < MOST_ROWS:
                last[values["id"]] = {"place": place, **values}
        return sorted(last.values(), key=lambda line: line["place"])

    def _planned_for(self, last: Sequence[Line], line: Line) -> Plan:
        """Plan for the last lines, and write those that have to come before this line."""
        asked = {**line, "place": AFTER_ALL}

        def work(rows: Rows) -> Plan:
            *found, taken = rows.look_up(self.kind, [*last, asked])
            plan = planned(last, found, taken.holder)
            if plan.renamed:
                lines = [each for each in last if each["id"] in plan.renamed]
                rows.write_rows(self.kind, lines, plan.renamed)
            return plan

        return self.account.together(work)


def planned(last: Sequence[Line], found: Sequence[Row], asked: str | None) -> Plan:
    """Return the plan for lines and the rows found for them; `asked` has to give up its name.

    A name that several lines give belongs to the row that has it now, else to the first. A row that
    cannot have its name keeps the one it has, which nobody else can have then.
    """
    now = {row.id: row.row_key for row in found if row.id}
    holders = {row.key: row.holder for row in found}
    final = {
        line["id"]: Name(line["place"], row.key) for line, row in zip(last, found, strict=True)
    }
    owners = {name.key: row_id for row_id, name in final.items() if now.get(row_id) == name.key}
    for row_id, name in final.items():
        owners.setdefault(name.key, row_id)
    losing = [
        row_id
        for row_id, name in final.items()
        if owners[name.key] != row_id or (holders[name.key] or row_id) not in final
    ]
    for row_id in linked(losing, lambda row_id: owners.get(now.get(row_id, ""))):
        del final[row_id]
    return Plan(final, early(final, holders, asked))


def early(
    final: Mapping[str, Name], holders: Mapping[str, str | None], asked: str | None
) -> frozenset[str]:
    """Return the rows whose last lines have to be written before their turn.

    They are the one that is asked, those whose names earlier lines give to others, and those whose
    names these get.
    """
    holding = [(holders[name.key], name.place) for name in final.values()]
    waiting = [row_id for row_id, place in holding if row_id and final[row_id].place > place]
    if asked and asked in final:
        waiting.append(asked)
    found = linked(waiting, lambda row_id: holders[final[row_id].key])
    return frozenset(row_id for row_id in found if holders[final[row_id].key] != row_id)


def linked(start: Iterable[str], following: Callable[[str], str | None]) -> set[str]:
    """Return these ids, those that follow them, and so on."""
    found: set[str] = set()
    for first in start:
        row_id: str | None = first
        while row_id is not None and row_id not in found:
            found.add(row_id)
            row_id = following(row_id)
    return found
