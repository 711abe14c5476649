"""Deleting what tasks refer to: they lose it in the same statement, each with a new version."""

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import Select, exists, func, select, update

from app.api.tasks.models import Task
from app.rows import statements
from app.rows.shape import ONE, USER_ID, Element, Shape


def detaching(refers: Element, values: Mapping[str, Any]) -> Callable[[Shape], Select[Any]]:
    """What makes a row a tombstone, and gives the tasks that refer to it these values."""

    def delete(shape: Shape) -> Select[Any]:
        before = statements.live(shape).cte("before")
        orphans = (
            select(Task.id, func.row_number().over(order_by=Task.id.desc()).label("place"))
            .where(Task.user_id == USER_ID, refers)
            .cte("orphans")
        )
        count = select(func.count()).select_from(orphans).scalar_subquery()
        acceptable = exists().where(statements.is_expected(before)).select_from(before)
        bump = statements.count_change(acceptable, step=count + ONE)
        after = statements.changed_row(shape, bump, {"deleted_at": bump.c.at})
        detached = (
            update(Task)
            .where(Task.user_id == USER_ID, Task.id == orphans.c.id)
            .values(**values, version=bump.c.version - orphans.c.place, updated_at=bump.c.at)
            .returning(Task.id)
            .cte("detached")
        )
        return statements.answer([], after, shape.answered, otherwise=before).add_cte(detached)

    return delete
