"""What has to be known of a whole file of TickTick before its tasks are read."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import IO, Final

from app.api.transfer.moving.found import Loss
from app.api.transfer.moving.ticktick.dates import read_instant
from app.api.transfer.moving.ticktick.rows import Row, quoted, rows

KINDS: Final = {"", "TEXT", "TASK", "CHECKLIST"}
"""Kinds of rows that are tasks."""

MOST_LISTS: Final = 5
"""Lists of a folder to name."""

NEVER: Final = datetime.min.replace(tzinfo=UTC)


@dataclass
class Survey:
    """Read the file once or twice before its tasks are taken over."""

    tasks: dict[str, int] = field(default_factory=dict)
    """By id: the line of the row that is the task, if other rows are its completed occurrences."""
    lists: dict[str, list[str]] = field(default_factory=dict)
    """Lists by the names of their folders, as they come; empty for those without one."""
    shared: set[str] = field(default_factory=set)
    """Lists of the same name in several folders."""
    columns: set[tuple[str, str]] = field(default_factory=set)
    """Columns that were reported, each with its list."""

    def is_occurrence(self, row: Row) -> bool:
        """Whether another row is the task, and this one an occurrence of it."""
        return self.tasks.get(row.task_id, row.line) != row.line

    def losses(self, row: Row) -> list[Loss]:
        """What the first row of a folder, of a list of several folders and of a column reports."""
        losses = []
        folder, of_list = row["Folder Name"], row["List Name"]
        if folder and (names := self.lists.pop(folder, None)):
            detail = f"There are no folders; {quoted(folder)} had these lists, now categories: "
            losses.append(Loss(row.line, "Folder Name", f"{detail}{_named(names)}."))
        if of_list in self.shared:
            self.shared.remove(of_list)
            detail = f"The lists {quoted(of_list)} of several folders are one category."
            losses.append(Loss(row.line, "List Name", detail))
        column = (of_list, row["Column Name"])
        if column[1] and column not in self.columns:
            self.columns.add(column)
            detail = f"There are no columns; {quoted(column[1])} is in the tasks' descriptions."
            losses.append(Loss(row.line, "Column Name", detail))
        return losses


def survey(file: IO[bytes]) -> Survey:
    """Read the whole file, whose rows number at most MOST_ROWS. Raises NotThisFormat."""
    found = Survey()
    seen: set[str] = set()
    several: set[str] = set()
    folders: dict[str, str] = {}
    for row in _task_rows(file):
        (several if row.task_id in seen else seen).add(row.task_id)
        folder, of_list = row["Folder Name"], row["List Name"]
        if folders.setdefault(of_list, folder) != folder:
            found.shared.add(of_list)
        names = found.lists.setdefault(folder, [])
        if len(names) <= MOST_LISTS and of_list not in names:
            names.append(of_list)
    several.discard("")
    if several:
        found.tasks = _of_several(file, several)
    return found


def _of_several(file: IO[bytes], several: set[str]) -> dict[str, int]:
    """The line of the task for each id: of the first open row, or else of the last completed."""
    best: dict[str, tuple[bool, datetime, int]] = {}
    for row in _task_rows(file):
        if (task_id := row.task_id) in several:
            completed = read_instant(row, "Completed Time", UTC) or NEVER
            rank = (False, completed, row.line) if row.is_complete else (True, NEVER, -row.line)
            best[task_id] = max(best.get(task_id, rank), rank)
    return {task_id: abs(line) for task_id, (_, _, line) in best.items()}


def _task_rows(file: IO[bytes]) -> Iterator[Row]:
    return (row for row in rows(file) if isinstance(row, Row) and row.kind in KINDS)


def _named(names: list[str]) -> str:
    more = ", and others" if len(names) > MOST_LISTS else ""
    return ", ".join(map(quoted, names[:MOST_LISTS])) + more
