"""Plans for names that pass from one category to another within an import.

A line may give its category a name that another one has until a later line renames that one. So
before a taken name is refused, the last lines of all categories in the file are compared. Those of
the categories that have to give up a name are written early, all in one transaction, so that no
other client sees a category without its name. A name stays taken if its category is not in the
file, or cannot have the name that the file gives it.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from app.api.transfer import names
from app.api.transfer.schemas import CategoryLine
from app.db.run import in_transaction
from app.db.scope import writing
from app.db.sending import Row, Transaction

MOST_CATEGORIES: Final = 10_000
"""Categories of a file to compare: more than a person's account has."""

AFTER_ALL: Final = 2**31 - 1
"""A place after all others: rows are found in the order of the lines' places."""

Line = Mapping[str, Any]


class Name(NamedTuple):
    """What the last line of a category calls it."""

    place: int
    key: str
    """The form in which names are compared."""


class Plan(NamedTuple):
    """Which names the categories of a file have in the end, without those that stay taken."""

    names: Mapping[str, Name]
    """By category id."""
    renamed: frozenset[str] = frozenset()
    """Categories whose last lines were written early."""

    def gives_up(self, row_id: str, key: str, place: int) -> bool:
        """Return whether a line after this place gives the category another name."""
        last = self.names.get(row_id)
        return last is not None and last.key != key and last.place > place


NO_PLAN: Final = Plan({})
"""With which every name that is taken stays taken."""


def last_lines(categories: Iterable[tuple[int, CategoryLine]]) -> list[dict[str, Any]]:
    """Return the last line of each of the first MOST_CATEGORIES categories, by place."""
    last: dict[str, dict[str, Any]] = {}
    for place, line in categories:
        values = line.data.all()
        if values["id"] in last or len(last) < MOST_CATEGORIES:
            last[values["id"]] = {"place": place, **values}
    return sorted(last.values(), key=lambda line: line["place"])


def make_room(user_id: str, line: Line, last: Sequence[Line]) -> Plan:
    """Plan for the last lines, and write those that have to come before this line.

    Raises NoRoom, also without an account, Problem 503, or psycopg2.Error for what the database
    refused.
    """

    def work(transaction: Transaction) -> Plan:
        asked = {**line, "place": AFTER_ALL}
        *found, taken = names.look_up(transaction, user_id, "category", [*last, asked])
        plan = planned(last, found, taken.holder)
        if plan.renamed:
            early = [each for each in last if each["id"] in plan.renamed]
            names.write(transaction, user_id, "category", early, plan.renamed)
        return plan

    return in_transaction(writing(user_id, once=True), work)


def planned(last: Sequence[Line], found: Sequence[Row], asked: str | None) -> Plan:
    """Return the plan for lines and the rows found for them; `asked` has to give up its name.

    A name that several lines give belongs to the category that has it now, else to the first. A
    category that cannot have its name keeps the one it has, which nobody else can have then.
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
    """Return the categories whose last lines have to be written before their turn.

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
