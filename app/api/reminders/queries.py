"""Reminders of a user that are to come; a page is read off an index of them, in one statement."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Select, Text, Uuid, bindparam, cast, func, select, tuple_

from app.api.tasks.days import INSTANT
from app.api.tasks.models import Task, TaskReminder
from app.api.tasks.schemas import FIELDS
from app.db.run import execute
from app.db.scope import reading
from app.db.sending import Row
from app.db.statement import Statement
from app.rows.listing import Position
from app.rows.shape import USER_ID


def listing(*, first_page: bool) -> Select[Any]:
    """The rows of a page, with their tasks and their `sort_key`."""
    at, task_id = TaskReminder.at, TaskReminder.task_id
    last = tuple_(
        cast(bindparam("after_key"), INSTANT), cast(bindparam("after_id"), Uuid(as_uuid=False))
    )
    until = func.coalesce(cast(bindparam("until"), INSTANT), "infinity")
    page = (
        select(at, task_id)
        .where(TaskReminder.user_id == USER_ID, at > func.now(), at <= until)
        .where(*[] if first_page else [tuple_(at, task_id) > last])
        .order_by(at, task_id)
        .limit(bindparam("rows"))
        .subquery("page")
    )
    fields = [Task.__table__.c[name] for name in FIELDS]
    return (
        select(*fields, page.c.at, cast(page.c.at, Text).label("sort_key"))
        .join_from(page, Task, Task.id == page.c.task_id)
        .where(Task.user_id == USER_ID)
        .order_by(page.c.at, page.c.task_id)
    )


FIRST: Final = Statement(listing(first_page=True))
NEXT: Final = Statement(listing(first_page=False))


def list_reminders(
    user_id: str, until: datetime | None, limit: int, position: Position | None
) -> Sequence[Row]:
    """A page of what is to come, and one more row if another page follows."""
    scope, parameters = reading(user_id), {"user_id": user_id, "until": until, "rows": limit + 1}
    if position is None:
        return execute(scope, FIRST, **parameters)
    return execute(scope, NEXT, **parameters, after_key=position.key, after_id=position.id)
