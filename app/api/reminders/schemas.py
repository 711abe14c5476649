"""Which reminders are listed, and what clients see of them."""

from typing import Annotated, Any, Final

from pydantic import BaseModel, Field

from app.api.tasks import schemas as tasks
from app.web.cursors import PageQuery
from app.web.fields.inputs import examples
from app.web.fields.times import Timestamp

EXAMPLE: Final[dict[str, Any]] = {
    "items": [
        {
            "at": "2027-01-30T17:00:00Z",
            "task": {
                **tasks.EXAMPLE,
                "reminders": [{"at": "2027-01-30T17:00:00Z"}],
                "remind_at": "2027-01-30T17:00:00Z",
            },
        }
    ],
    "next_cursor": None,
}


class RemindersQuery(PageQuery):
    """Until when, and how many at a time."""

    until: Annotated[
        Timestamp | None, Field(description="Only reminders up to this instant, and at it.")
    ] = None


class ComingReminder(BaseModel):
    """An instant at which a task reminds its user, and the task."""

    at: Timestamp
    task: tasks.Task


class ReminderPage(BaseModel):
    """One page of reminders, the next one first; `next_cursor` is null on the last."""

    model_config = examples(EXAMPLE)

    items: list[ComingReminder]
    next_cursor: str | None


def represent(row: Any) -> dict[str, Any]:
    """A row of the listing as clients see it."""
    return {"at": row.at, "task": tasks.represent(row)}
