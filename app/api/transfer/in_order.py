"""Lines of an import in which an id comes again or a name is taken: each is worked out in its turn,
and what they come to is written at once.

The owner's row is locked meanwhile, so nothing else changes what the lines are compared with. It
takes as many statements for two hundred such lines as for one.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from app.api.transfer import rows
from app.api.transfer.renaming import Plan
from app.api.transfer.schemas import CATEGORY_FIELDS, TASK_FIELDS
from app.db.run import in_transaction
from app.db.scope import writing
from app.db.sending import Row, Transaction

FIELDS: Final = {"category": CATEGORY_FIELDS, "task": TASK_FIELDS}
KEYS: Final = ("place", "id", "name", "category_id")
"""What has to be known of a line to compare it with what is there."""

TIMES: Final = ("created_at", "completed_at")

NAME_TAKEN: Final = "uq_categories_name"

Line = Mapping[str, Any]
Values = dict[str, Any]


class Outcome(NamedTuple):
    """What became of one line."""

    place: int
    live: bool
    """Whether there was a row of its id."""
    differs: bool
    """Whether the line changed it."""
    refusal: str | None = None
    """Why it was not accepted: the name of a constraint, or a field."""


class Names:
    """Which category has which name, as lines give and take them."""

    def __init__(self, found: Sequence[Row]) -> None:
        self.holders = {row.key: row.holder for row in found if row.holder}
        self.keys = {row.id: row.row_key for row in found if row.id}
        self.before = dict(self.keys)

    def take(self, row_id: str, key: str) -> bool:
        """Give the category this name, unless another one has it; whether it is so now."""
        if self.holders.get(key, row_id) != row_id:
            return False
        if (old := self.keys.get(row_id)) != key:
            self.holders.pop(old, None)
        self.holders[key] = row_id
        self.keys[row_id] = key
        return True

    def moved(self) -> list[str]:
        """The categories that had another name before."""
        return [row_id for row_id, key in self.before.items() if self.keys[row_id] != key]


def write(
    user_id: str, kind: str, lines: Sequence[Line], plan: Plan | None = None
) -> list[Outcome]:
    """What became of the lines, in their order.

    It ends before a line whose name is another category's, if that one gives it up later by the
    plan, or if there is no plan. Raises NoRoom, also where there is no account, Problem 503, or
    psycopg2.Error for what the database refused.
    """

    def work(transaction: Transaction) -> list[Outcome]:
        keys = [{name: line[name] for name in KEYS if name in line} for line in lines]
        found = transaction.send((rows.FOUND[kind], rows.bound(user_id, keys)))
        names = Names(found) if kind == "category" else None
        outcomes, final = work_out(FIELDS[kind], lines, found, names, plan)
        if final:
            sent = [(rows.IMPORTS[kind], rows.bound(user_id, final))]
            if names and (moved := names.moved()):
                sent.insert(0, (rows.ASIDE, {"user_id": user_id, "ids": moved}))
            rows.require_written(transaction.send(*sent))
        return outcomes

    return in_transaction(writing(user_id, once=True), work)


def work_out(
    fields: Sequence[str],
    lines: Sequence[Line],
    found: Sequence[Row],
    names: Names | None,
    plan: Plan | None,
) -> tuple[list[Outcome], list[Values]]:
    """What becomes of each line, and the rows that have to be written in the end."""
    rows_now = {row.id: {name: getattr(row, name) for name in fields} for row in found if row.id}
    outcomes: list[Outcome] = []
    changed: dict[str, Values] = {}
    for line, row in zip(lines, found, strict=True):
        row_id, place = line["id"], line["place"]
        before = rows_now.get(row_id)
        if refusal := refused(row_id, row, names):
            if refusal == NAME_TAKEN and may_come_free(names, row.key, place, plan):
                break
            outcomes.append(Outcome(place, before is not None, False, refusal))
            continue
        after = merged(fields, line, before, row.at)
        differs = before is None or is_other(line, before, after)
        outcomes.append(Outcome(place, before is not None, differs))
        if differs:
            rows_now[row_id] = after
            changed.pop(row_id, None)
            changed[row_id] = {"place": place, **after}
    return outcomes, [*changed.values()]


def refused(row_id: str, row: Row, names: Names | None) -> str | None:
    """Why a line is not accepted, if it is not."""
    if not row.allowed:
        return "category_id"
    if names and not names.take(row_id, row.key):
        return NAME_TAKEN
    return None


def may_come_free(names: Names | None, key: str, place: int, plan: Plan | None) -> bool:
    """Whether the category that has the name gives it up after this place, as far as is known."""
    return plan is None or (names is not None and plan.gives_up(names.holders[key], key, place))


def merged(fields: Sequence[str], line: Line, before: Values | None, now: Any) -> Values:
    """The row as the line has it: times that it does not give are kept, or are now."""
    after = {name: line[name] for name in fields}
    for name in TIMES:
        if name in after and after[name] is None:
            after[name] = (before and before[name]) or now
    if not after.get("complete", True):
        after["completed_at"] = None
    after["updated_at"] = line["updated_at"] or now
    return after


def is_other(line: Line, before: Values, after: Values) -> bool:
    """Whether the row is another than before; a time of change counts if the line gives it."""
    given = line["updated_at"] is not None
    return any(after[name] != before[name] for name in after if name != "updated_at" or given)
