"""Tasks as a kind of row."""

from typing import Final

from sqlalchemy import false, literal, null

from app.api.tasks.queries import TASKS
from app.api.tasks.schemas import Task, TaskPatch, TaskReplace, columns
from app.rows.kind import Kind

TASK: Final = Kind(
    name="task",
    writes=TASKS,
    model=Task,
    replace=TaskReplace,
    patch=TaskPatch,
    blank={
        "title": literal("-"),
        "description": null(),
        "complete": false(),
        "completed_at": null(),
        "priority": literal(0),
        "due_date": null(),
        "due_at": null(),
        "category_id": null(),
    },
    columns=columns,
)
