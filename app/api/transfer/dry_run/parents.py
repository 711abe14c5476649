"""Whether tasks have a place below their parents, as the trigger `check_parent` decides it.

The database has tasks as they are, and a dry run those that it has changed. So a chain of parents
is followed level by level, through both.
"""

from collections.abc import Collection, Mapping
from typing import Any, Final

from sqlalchemy import Uuid, any_, bindparam, cast, select
from sqlalchemy.dialects.postgresql import ARRAY

from app.api.tasks.kind import TASK
from app.api.tasks.models import Task
from app.api.tasks.subtrees import MOST_LEVELS
from app.api.transfer.dry_run.changes import Changes
from app.api.transfer.rows import Violation
from app.db.run import execute
from app.db.scope import reading
from app.db.statement import Statement
from app.rows.shape import USER_ID

IDS: Final = cast(bindparam("ids"), ARRAY(Uuid(as_uuid=False)))
LIVE: Final = select(Task.id, Task.parent_id).where(
    Task.user_id == USER_ID, Task.deleted_at.is_(None)
)
PARENTS: Final = Statement(LIVE.where(Task.id == any_(IDS)))
CHILDREN: Final = Statement(LIVE.where(Task.parent_id == any_(IDS)))

Rows = Mapping[str, Mapping[str, Any]]


def require_levels(user_id: str, changes: Changes, rows: Rows, before: Rows) -> None:
    """Raise Violation unless all tasks that get a parent have a place there.

    `rows` are tasks as they are to be, and `before` those of them that exist, as they are.
    """
    moved = [
        row_id
        for row_id, row in rows.items()
        if row["parent_id"]
        and (row_id not in before or before[row_id]["parent_id"] != row["parent_id"])
    ]
    if not moved:
        return
    above = _above(user_id, changes, rows)
    levels = {row_id: _level(row_id, above) for row_id in moved}
    # What is below a new task is among the rows, and has got its parent as well.
    level = {row_id: levels[row_id] for row_id in moved if row_id in before}
    while level:
        if max(level.values()) > MOST_LEVELS:
            raise Violation("ck_tasks_depth")
        below = _children(user_id, changes, rows, level)
        level = {row_id: level[of] + 1 for row_id, of in below if row_id not in levels}


def _level(row_id: str, above: Mapping[str, str | None]) -> int:
    """Return the level of a task. Raises Violation if there is none."""
    level, parent = 1, above[row_id]
    while parent:
        level += 1
        if parent == row_id:
            raise Violation("ck_tasks_cycle")
        if level > MOST_LEVELS:
            raise Violation("ck_tasks_depth")
        parent = above[parent]
    return level


def _above(user_id: str, changes: Changes, rows: Rows) -> dict[str, str | None]:
    """Return the parents of the rows, of these parents, and so on, as far as levels go.

    Raises Violation if a parent does not exist.
    """
    above: dict[str, str | None] = {row_id: row["parent_id"] for row_id, row in rows.items()}
    wanted = {parent for parent in above.values() if parent and parent not in above}
    while wanted:
        found = changes.parents(TASK, wanted)
        if unknown := [row_id for row_id in wanted if row_id not in found]:
            stored = execute(reading(user_id), PARENTS, user_id=user_id, ids=unknown)
            found |= {row.id: row.parent_id for row in stored}
        if len(found) < len(wanted):
            raise Violation("fk_tasks_parents")
        above |= found
        wanted = {parent for parent in found.values() if parent and parent not in above}
    return above


def _children(
    user_id: str, changes: Changes, rows: Rows, ids: Collection[str]
) -> list[tuple[str, str]]:
    """Return the tasks right below these, each with its parent."""
    given = [(row_id, row["parent_id"]) for row_id, row in rows.items() if row["parent_id"] in ids]
    changed = [each for each in changes.children(TASK, ids) if each[0] not in rows]
    stored = execute(reading(user_id), CHILDREN, user_id=user_id, ids=[*ids])
    others = changes.keys(TASK, [row.id for row in stored])
    return [
        *given,
        *changed,
        *((row.id, row.parent_id) for row in stored if row.id not in rows and row.id not in others),
    ]
