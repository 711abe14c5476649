"""The order that a user gives to tasks: where a new one comes, and how one is moved.

The functions of the database that make positions are those of migration 0011.
"""

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import (
    ARRAY,
    CTE,
    BigInteger,
    Integer,
    Text,
    Uuid,
    bindparam,
    cast,
    column,
    exists,
    func,
    or_,
    select,
    update,
)

from app.api.tasks.models import Task
from app.core.problems import invalid
from app.db.sending import Row
from app.rows.actions import Action
from app.rows.shape import ID, ONE, USER_ID, Element, Shape
from app.rows.statements import whole

NEIGHBOUR: Final[Element] = cast(bindparam("neighbour"), Uuid(as_uuid=False))
SIDE: Final[Element] = cast(bindparam("side"), Text)


def at_end(now: Element, many: Element) -> Element:
    """Positions for so many new tasks, behind all that the user has."""
    last = (
        select(Task.position)
        .where(Task.user_id == USER_ID, Task.deleted_at.is_(None))
        .order_by(Task.position.desc())
        .limit(ONE)
        .scalar_subquery()
    )
    return func.positions_at_end(last, now, cast(many, Integer), type_=ARRAY(Text))


def moving(shape: Shape) -> Action:
    """Move a task beside the one that `neighbour` names, or to an end; others make room for it."""
    found = func.moved_tasks(
        cast(USER_ID, Uuid(as_uuid=False)), cast(ID, Uuid(as_uuid=False)), NEIGHBOUR, SIDE
    ).table_valued(
        column("task_id", Uuid(as_uuid=False)),
        column("new_position", Text),
        column("number", BigInteger),
    )
    plan = select(found).cte("plan").prefix_with("materialized")
    table = shape.table
    before = whole(shape).cte("before")
    count = select(func.count()).select_from(plan).scalar_subquery()
    mine = select(plan.c.new_position).where(plan.c.task_id == ID).scalar_subquery()

    def others(bump: CTE) -> list[CTE]:
        rank = func.row_number().over(order_by=plan.c.number).label("rank")
        aside = select(plan, rank).where(plan.c.task_id != ID).cte("aside")
        written = (
            update(table)
            .where(table.c.user_id == USER_ID, table.c.id == aside.c.task_id)
            .values(
                position=aside.c.new_position,
                version=bump.c.version - count + aside.c.rank,
                updated_at=bump.c.at,
            )
            .returning(table.c.id)
        )
        return [written.cte("written")]

    return Action(
        shape,
        before,
        differs=or_(count > ONE, before.c.position != mine),
        values=lambda _: {"position": mine},
        step=count,
        others=others,
        guards=[("placed", exists().select_from(plan))],
    )


def require_place(row: Row, parameters: Mapping[str, Any]) -> None:
    """Raise Problem 422 for a neighbour that is none of the user's live tasks, or the task."""
    if not row.placed:
        detail = "does not name another one of your tasks"
        raise invalid(detail, "unknown_reference", pointer=f"/{parameters['side']}")
