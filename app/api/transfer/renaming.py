"""Names that pass from one category to another within an import.

A line may give its category a name that another one has until a later line renames that one. So
where a name is taken, all lines of categories are looked at before it is refused, and the
categories that give up such a name get their last lines at once, in one transaction: no name is
ever missing, and none is made up. A name stays taken if its category is not in the file, or cannot
have the name that the file gives it.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from app.api.transfer import rows
from app.api.transfer.schemas import CategoryLine
from app.db.run import in_transaction
from app.db.scope import writing
from app.db.sending import Row, Transaction

MOST_CATEGORIES: Final = 10_000
"""Of a file, whose last lines are looked at: more than an account of a person has."""

KEYS: Final = ("place", "id", "name")

AFTER_ALL: Final = 2**31 - 1
"""A place: what is found for lines comes in the order of theirs."""

Line = Mapping[str, Any]


class Name(NamedTuple):
    """What a category is called after the last line about it."""

    place: int
    key: str
    """What the name is compared by."""


class Plan(NamedTuple):
    """Which names the categories of a file have in the end, as far as these are not taken."""

    names: Mapping[str, Name]
    """By the ids of the categories."""
    renamed: frozenset[str] = frozenset()
    """The categories whose last lines have been written before their turn."""

    def gives_up(self, row_id: str, key: str, place: int) -> bool:
        """Whether a line after this place gives the category another name than this one."""
        last = self.names.get(row_id)
        return last is not None and last.key != key and last.place > place


NO_PLAN: Final = Plan({})
"""By which every name that is taken stays taken."""


def last_lines(categories: Iterable[tuple[int, CategoryLine]]) -> list[dict[str, Any]]:
    """The last line about each category, with its place; of the first MOST_CATEGORIES."""
    last: dict[str, dict[str, Any]] = {}
    for place, line in categories:
        values = line.data.all()
        if values["id"] in last or len(last) < MOST_CATEGORIES:
            last[values["id"]] = {"place": place, **values}
    return sorted(last.values(), key=lambda line: line["place"])


def make_room(user_id: str, line: Line, last: Sequence[Line]) -> Plan:
    """The plan of the last lines; those that have to be written before this line are written.

    They are that of the category which has this line's name, those of categories whose names
    earlier lines give to others, and those of all whose names these get. Raises NoRoom, also where
    there is no account, Problem 503, or psycopg2.Error for what the database refused.
    """
    given = [{name: each[name] for name in KEYS} for each in last]
    given.append({**{name: line[name] for name in KEYS}, "place": AFTER_ALL})

    def work(transaction: Transaction) -> Plan:
        *found, asked = transaction.send((rows.FOUND["category"], rows.bound(user_id, given)))
        plan = planned(last, found, asked.holder)
        if plan.renamed:
            moved = [each for each in last if each["id"] in plan.renamed]
            aside = {"user_id": user_id, "ids": [*plan.renamed]}
            sent = (rows.ASIDE, aside), (rows.IMPORTS["category"], rows.bound(user_id, moved))
            rows.require_written(transaction.send(*sent))
        return plan

    return in_transaction(writing(user_id, once=True), work)


def planned(last: Sequence[Line], found: Sequence[Row], asked: str | None) -> Plan:
    """Who has which name in the end: who has it now keeps it, else the first line gets it."""
    now = {row.id: row.row_key for row in found if row.id}
    pairs = zip(last, found, strict=True)
    names = {line["id"]: Name(line["place"], row.key) for line, row in pairs}
    holders = {row.key: row.holder for row in found}
    owners = {name.key: row_id for row_id, name in names.items() if now.get(row_id) == name.key}
    for row_id, name in names.items():
        owners.setdefault(name.key, row_id)
    for row_id in without_name(names, owners, now, holders):
        del names[row_id]
    return Plan(names, frozenset(making_room(names, holders, asked)))


def making_room(
    names: Mapping[str, Name], holders: Mapping[str, str | None], asked: str | None
) -> set[str]:
    """The categories that give their names up before their turn."""
    waiting = [asked] if asked and asked in names else []
    holding = [(holders[name.key], name.place) for name in names.values()]
    waiting += [row_id for row_id, place in holding if row_id and names[row_id].place > place]
    found: set[str] = set()
    while waiting:
        row_id = waiting.pop()
        holder = holders[names[row_id].key]
        if row_id not in found and holder != row_id:
            found.add(row_id)
            waiting += [holder] if holder else []
    return found


def without_name(
    names: Mapping[str, Name],
    owners: Mapping[str, str],
    now: Mapping[str, str],
    holders: Mapping[str, str | None],
) -> set[str]:
    """The categories that cannot have their names.

    Each keeps the name that it has now, which so is taken for whoever was to have it.
    """
    waiting = [
        row_id
        for row_id, name in names.items()
        if owners[name.key] != row_id or (holders[name.key] or row_id) not in names
    ]
    found: set[str] = set()
    while waiting:
        row_id = waiting.pop()
        if row_id not in found:
            found.add(row_id)
            owner = owners.get(now.get(row_id, ""), row_id)
            if owner != row_id:
                waiting.append(owner)
    return found
