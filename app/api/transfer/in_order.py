"""Lines that repeat an id or give a name that is taken: worked out one by one, written at once.

The owner's row is locked meanwhile, so that what the lines are compared with cannot change. A chunk
takes two round trips, whatever the number of such lines.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from app.api.transfer.account import Account, Rows
from app.api.transfer.renaming import Plan
from app.api.transfer.rows import Outcome
from app.db.sending import Row
from app.rows.kind import Kind

Line = Mapping[str, Any]
Values = dict[str, Any]


class Holders:
    """Which row has which name, as lines give and take them."""

    def __init__(self, found: Sequence[Row]) -> None:
        self.holders = {row.key: row.holder for row in found if row.holder}
        self.keys = {row.id: row.row_key for row in found if row.id}
        self.before = dict(self.keys)

    def take(self, row_id: str, key: str) -> bool:
        """Give the row this name unless another one has it; return whether it has it now."""
        if self.holders.get(key, row_id) != row_id:
            return False
        if (old := self.keys.get(row_id)) != key:
            self.holders.pop(old, None)
        self.holders[key] = row_id
        self.keys[row_id] = key
        return True

    def renamed(self) -> list[str]:
        """Return the rows that existed under another name."""
        return [row_id for row_id, key in self.before.items() if self.keys[row_id] != key]


def write(
    account: Account, kind: Kind, lines: Sequence[Line], plan: Plan | None = None
) -> list[Outcome]:
    """Write the lines and return their outcomes, in their order.

    Stops before a line whose name another row gives up later by the plan, or could give up if there
    is no plan yet. Raises NoRoom, also without an account, Problem 503, or psycopg2.Error for what
    the database refused; Violation for what it would refuse.
    """

    def work(rows: Rows) -> list[Outcome]:
        found = rows.look_up(kind, lines)
        holders = Holders(found) if kind.unique else None
        outcomes, changed = work_out(kind, lines, found, holders, plan)
        if changed:
            renamed = holders.renamed() if holders else []
            refused = rows.write_rows(kind, changed, renamed)
            return [
                each._replace(refusal=refused.get(each.place, each.refusal)) for each in outcomes
            ]
        return outcomes

    return account.together(work)


def work_out(
    kind: Kind,
    lines: Sequence[Line],
    found: Sequence[Row],
    holders: Holders | None,
    plan: Plan | None,
) -> tuple[list[Outcome], list[Values]]:
    """Return the outcomes of the lines, and the last line of each row that they change."""
    current = {row.id: {name: getattr(row, name) for name in kind.exported} for row in found}
    outcomes: list[Outcome] = []
    changed: dict[str, Values] = {}
    for line, row in zip(lines, found, strict=True):
        row_id, place = line["id"], line["place"]
        before = current.get(row_id)
        existed = before is not None
        if row.refused:
            outcomes.append(Outcome(place, existed, False, row.refused))
        elif holders and not holders.take(row_id, row.key):
            if plan is None or plan.gives_up(holders.holders[row.key], row.key, place):
                break
            name_taken = f"uq_{kind.plural}_{kind.unique}"
            outcomes.append(Outcome(place, existed, False, name_taken))
        else:
            after = merged(kind, line, before, row.at)
            differs = before is None or is_other(line, before, after)
            outcomes.append(Outcome(place, existed, differs))
            if differs:
                current[row_id] = after
                changed.pop(row_id, None)  # the last change comes last
                changed[row_id] = {"place": place, **after}
    return outcomes, [*changed.values()]


def merged(kind: Kind, line: Line, before: Values | None, now: Any) -> Values:
    """Return the row that the line makes. Absent times are those of the row, or now.

    What the table derives from a field is a time that is null unless the field is true.
    """
    derived = kind.writes.shape.derived
    after = {name: line[name] for name in kind.exported}
    for name in kind.writes.shape.made:
        after[name] = after[name] or (before and before[name])
    for name in ("created_at", *derived):
        after[name] = after[name] or (before and before[name]) or now
    after |= {name: None for name, rule in derived.items() if not after[rule.field]}
    after["updated_at"] = line["updated_at"] or now
    return after


def is_other(line: Line, before: Values, after: Values) -> bool:
    """Return whether the row changes. `updated_at` counts only if the line gives it."""
    given = line["updated_at"] is not None
    return any(after[name] != before[name] for name in after if name != "updated_at" or given)
