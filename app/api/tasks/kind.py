"""Tasks as a kind of row."""

from datetime import datetime
from typing import Annotated, Any, Final

from pydantic import AfterValidator, ValidationInfo
from pydantic_core import PydanticCustomError
from sqlalchemy import ARRAY, Boolean, Text, Uuid, cast, false, literal, null
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import TypeEngine

from app.api.tasks.actions import Complete, Move, Snooze, Step
from app.api.tasks.queries import GOING_ON, MOVING, SNOOZING, TASKS
from app.api.tasks.recurrence import Local
from app.api.tasks.schemas import Task, TaskPatch, TaskReplace, columns
from app.rows.kind import Kind, KindAction
from app.web.fields.identifiers import Id
from app.web.fields.times import Timestamp


def completed(completed_at: datetime | None, info: ValidationInfo) -> datetime | None:
    """Accept a time of completion only of a complete task."""
    if completed_at is not None and not info.data.get("complete", True):
        raise PydanticCustomError("completed_at", "must be null unless the task is complete")
    return completed_at


STEPPING: Final[dict[str, TypeEngine[Any]]] = {
    "asked": Text(),
    "keeps_missed": Boolean(),
    "copies": Boolean(),
    "subtasks": Boolean(),
}

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
        "position": literal("V"),
        "parent_id": null(),
        "recurrence": null(),
        "occurrence": null(),
        "series_id": null(),
        "label_ids": cast(literal("{}"), ARRAY(Uuid(as_uuid=False))),
        "reminders": cast(literal("{}"), ARRAY(JSONB)),
        "snoozed_until": null(),
    },
    columns=columns,
    references={"category_id": "category", "label_ids": "label", "parent_id": "task"},
    actions={
        "move": KindAction(
            MOVING,
            Move,
            lambda body: body.parameters,
            {"neighbour": Uuid(as_uuid=False), "side": Text()},
        ),
        "complete": KindAction(GOING_ON, Complete, lambda body: body.parameters, STEPPING),
        "skip": KindAction(GOING_ON, Step, lambda body: body.parameters, STEPPING),
        "snooze": KindAction(SNOOZING, Snooze, lambda body: body.parameters, {}),
    },
    deferred=("check_parent", "check_parent_of_new", "fk_tasks_parents"),
    imported={
        "completed_at": Annotated[Timestamp | None, AfterValidator(completed)],
        "occurrence": Local | None,
        "series_id": Id | None,
        "snoozed_until": Timestamp | None,
    },
)
