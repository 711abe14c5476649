"""The account of a dry run: as it is in the database, with what lines have changed before.

An import runs with it as with a stored one, in the same chunks. Only what the database itself
refuses is worked out here: names are unique already (in_order), and the rules of rows that refer to
others or are computed are those of `parents` and `recurrences`.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from types import SimpleNamespace
from typing import Any, Final, TypeVar

from sqlalchemy import ARRAY, Uuid, bindparam, cast

from app.api.kinds import KINDS
from app.api.tasks.kind import TASK
from app.api.transfer.account import Line, Rows
from app.api.transfer.dry_run import parents, recurrences
from app.api.transfer.dry_run.changes import Changes
from app.api.transfer.in_order import merged
from app.api.transfer.names import compact, found_rows
from app.api.transfer.rows import Outcome, bound, names_none
from app.db.run import execute
from app.db.scope import reading
from app.db.statement import Statement
from app.rows.kind import Kind

Result = TypeVar("Result")


def verdict(kind: Kind, given: Any) -> list[Any]:
    """Return for each field whether it names a row that neither is there nor was created."""
    return [
        names_none(
            KINDS[name].table,
            given.c[field],
            besides=cast(bindparam(f"made_{field}"), ARRAY(Uuid(as_uuid=False))),
        ).label(f"no_{field}")
        for field, name in kind.references.items()
    ]


FOUND: Final = {kind.name: Statement(found_rows(kind, verdict)) for kind in KINDS.values()}


class DryRun:
    """An account that is read and not written."""

    is_written = False

    def __init__(self, user_id: str) -> None:
        self.user_id = user_id
        self.changes = Changes()
        self.zone: str | None = None
        """The time zone that a line has given the account."""
        self.found: dict[int, Any] = {}
        """What was looked up last, by the places of the lines."""

    def close(self) -> None:
        """Forget what lines have changed."""
        self.changes.close()

    def update(self, before: Line | None, values: dict[str, Any]) -> bool:
        """Return whether these values change the account."""
        self.zone = values["time_zone"]
        return before is None or any(before[name] != value for name, value in values.items())

    def at_once(self, kind: Kind, lines: Sequence[Line]) -> list[Outcome] | None:
        """Return None: lines are worked out in order, which takes one statement as well."""

    def together(self, work: Callable[[Rows], Result]) -> Result:
        """Do the work, which writes once, at its end."""
        return work(self)

    def look_up(self, kind: Kind, lines: Sequence[Line]) -> Sequence[Any]:
        """Return what would exist for each line after those before (names.found_rows)."""
        rows = self._read(kind, lines)
        ids = {line["id"] for line in lines}
        changed = self.changes.rows(kind, ids)
        if kind.unique:
            self._pass_names_on(kind, rows)
        for line, row in zip(lines, rows, strict=True):
            if line["id"] in changed:
                values, key = changed[line["id"]]
                vars(row).update(values, row_key=key)
            row.missing = [name for name in kind.references if getattr(row, f"no_{name}")]
            row.refused = _refusal(kind, line, row, ids)
        self.found = {row.place: row for row in rows}
        return rows

    def write_rows(
        self, kind: Kind, lines: Sequence[Line], renamed: Collection[str]
    ) -> Mapping[int, str]:
        """Note what lines of different ids change, which were looked up before.

        Returns which fields of which places name no row. Raises Violation if the database would
        refuse the lines.
        """
        ids = {line["id"] for line in lines}
        refused: dict[int, str] = {}
        rows: dict[str, dict[str, Any]] = {}
        before: dict[str, dict[str, Any]] = {}
        for line in lines:
            row = self.found[line["place"]]
            if field := _refusal(kind, line, row, ids):
                refused[line["place"]] = field
                continue
            if row.id is not None:
                before[line["id"]] = {name: getattr(row, name) for name in kind.exported}
            rows[line["id"]] = merged(kind, line, before.get(line["id"]), row.at)
        if kind is TASK:
            recurrences.settle(self.user_id, self.zone, rows, before)
            parents.require_levels(self.user_id, self.changes, rows, before)
        keys = {line["id"]: getattr(self.found[line["place"]], "key", None) for line in lines}
        self.changes.put(kind, ((row, keys[row_id]) for row_id, row in rows.items()))
        return refused

    def _read(self, kind: Kind, lines: Sequence[Line]) -> list[Any]:
        """Return what exists for each line in the database, and which fields name nothing."""
        made = {
            f"made_{field}": [*self.changes.keys(KINDS[name], _named(lines, field))]
            for field, name in kind.references.items()
        }
        parameters = {**bound(self.user_id, compact(kind, lines)), **made}
        rows = execute(reading(self.user_id), FOUND[kind.name], **parameters)
        return [SimpleNamespace(**row._asdict()) for row in rows]

    def _pass_names_on(self, kind: Kind, rows: Sequence[Any]) -> None:
        """Give names the holders that they have after the lines before."""
        taken = self.changes.holders(kind, {row.key for row in rows})
        changed = self.changes.keys(kind, {row.holder for row in rows if row.holder})
        for row in rows:
            row.holder = taken.get(row.key) or (None if row.holder in changed else row.holder)


def _named(lines: Sequence[Line], field: str) -> set[str]:
    """Return the ids that a field of the lines names."""
    named: set[str] = set()
    for line in lines:
        value = line[field]
        named.update(value if isinstance(value, list) else [value] if value else [])
    return named


def _refusal(kind: Kind, line: Line, row: Any, ids: Collection[str]) -> str | None:
    """Return the field that names no row; lines of one statement may name each other."""
    for field in row.missing:
        if kind.references[field] != kind.name or line[field] not in ids:
            return str(field)
    return None
