"""Tasks with all that is below them: deleted, restored and completed together, in one statement."""

from collections.abc import Callable
from typing import Any, Final

from sqlalchemy import (
    CTE,
    FromClause,
    Select,
    Subquery,
    and_,
    case,
    exists,
    func,
    literal_column,
    null,
    select,
    true,
    union_all,
    update,
)

from app.api.tasks.models import Task
from app.rows import statements
from app.rows.actions import Action
from app.rows.quotas import ZERO
from app.rows.restoring import is_kept, kept
from app.rows.shape import ONE, USER_ID, Element, Shape, is_own

MOST_LEVELS: Final = 5


def below(root: CTE, condition: Callable[[FromClause], Element]) -> Subquery:
    """The tasks below the one of `root` and of this condition: `id`, `complete` and `level`.

    A step for each level rather than a recursion, which a sharded PostgreSQL cannot do. With OFFSET
    0 it looks up the children of one task after the other, however few it expects: a join of all
    tasks with all parents would take a time that grows with the square of their number.
    """
    steps, above = [], root
    for level in range(2, MOST_LEVELS + 1):
        task = Task.__table__.alias(f"task_{level}")
        of_parent = (
            select(task.c.id, task.c.complete, task.c.deleted_at, is_kept(task).label("kept"))
            .where(task.c.user_id == USER_ID, task.c.parent_id == above.c.id)
            .offset(ZERO)
        )
        child = of_parent.lateral(f"child_{level}")
        found = select(child.c.id, child.c.complete).select_from(above.join(child, true()))
        above = found.where(condition(child)).cte(f"level_{level}")
        steps.append(select(*above.c, literal_column(str(level)).label("level")))
    return union_all(*steps).subquery("tree")


def numbered(tree: FromClause, *conditions: Element) -> CTE:
    """The tasks of the tree that meet these, each with its `place`, the deepest first."""
    place = func.row_number().over(order_by=(tree.c.level.desc(), tree.c.id)).label("place")
    return select(tree.c.id, place).where(*conditions).cte("others")


def is_live(table: FromClause) -> Element:
    """Whether the row is not deleted."""
    return table.c.deleted_at.is_(None)


def rewritten(others: CTE, bump: CTE, count: Element, values: dict[str, Any]) -> CTE:
    """Write these values into the others, each with a version before that of the root."""
    return (
        update(Task)
        .where(Task.user_id == USER_ID, Task.id == others.c.id)
        .values(**values, version=bump.c.version - count + others.c.place, updated_at=bump.c.at)
        .returning(Task.id)
        .cte("rewritten")
    )


def count_of(others: CTE) -> Element:
    """How many they are, and the root."""
    return select(func.count() + ONE).select_from(others).scalar_subquery()


def delete(shape: Shape) -> Select[Any]:
    """Make a live task and all below it tombstones of one instant."""
    before = statements.live(shape).cte("before")
    others = numbered(below(before, is_live))
    count = count_of(others)
    acceptable = exists().where(statements.is_expected(before)).select_from(before)
    bump = statements.count_change(acceptable, step=count)
    after = statements.changed_row(shape, bump, {"deleted_at": bump.c.at})
    gone = rewritten(others, bump, count, {"deleted_at": bump.c.at})
    return statements.answer([], after, shape.answered, otherwise=before).add_cte(gone)


def restoring(shape: Shape) -> Action:
    """Make a tombstone live again, with all below it that was deleted in the same instant.

    Where its parent is not live, it has none.
    """
    before, parent = kept(shape).cte("before"), Task.__table__.alias("parent")
    instant = select(before.c.deleted_at).scalar_subquery()
    tree = below(before, lambda child: and_(child.c.deleted_at == instant, child.c.kept))
    others = numbered(tree)
    count = count_of(others)
    has_parent = exists().where(is_own(parent, before.c.parent_id))
    parent_id = select(case((has_parent, before.c.parent_id))).select_from(before)
    return Action(
        shape,
        before,
        differs=before.c.deleted_at.is_not(None),
        values=lambda _: {"deleted_at": null(), "parent_id": parent_id.scalar_subquery()},
        step=count,
        others=lambda bump: [rewritten(others, bump, count, {"deleted_at": null()})],
    )
