"""What a task looks like to clients, and what they may send."""

from datetime import datetime
from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import AfterValidator, BaseModel, Field, ValidationInfo, WithJsonSchema
from pydantic_core import PydanticCustomError
from typing_extensions import TypeAliasType

from app.api.tasks.recurrence import Local, Recurrence, local_text
from app.api.tasks.reminders import Reminder, Reminders, needs_due, needs_due_at, next_of
from app.web.fields.identifiers import Id
from app.web.fields.inputs import Body, Patch, examples
from app.web.fields.scalars import Int64
from app.web.fields.strings import KeptLine, Line, LongText, Matching
from app.web.fields.times import Date, Timestamp

MOST_LABELS: Final = 50

Priority = TypeAliasType(
    "Priority",
    Annotated[
        Literal["none", "low", "medium", "high"],
        Field(title="Priority", description="How much a task matters."),
    ],
)
PRIORITIES: Final = ("none", "low", "medium", "high")
"""In ascending order; the database stores their indexes."""

EXAMPLE: Final[dict[str, Any]] = {
    "id": "01981d2c-7f3a-7d40-8a3e-2f6b9c1d0e50",
    "user_id": "01981d2c-7f3a-7d40-8a3e-2f6b9c1d0e4f",
    "title": "Buy milk",
    "description": "Two litres",
    "complete": False,
    "completed_at": None,
    "priority": "high",
    "due_date": "2027-01-31",
    "due_at": None,
    "category_id": None,
    "position": "8GbRkfJc4",
    "label_ids": [],
    "parent_id": None,
    "recurrence": None,
    "occurrence": None,
    "series_id": None,
    "reminders": [],
    "snoozed_until": None,
    "remind_at": None,
    "version": 7,
    "created_at": "2026-11-21T09:30:00.123456Z",
    "updated_at": "2026-11-21T09:30:00.123456Z",
}
COMPLETED: Final = {
    **EXAMPLE,
    "description": None,
    "complete": True,
    "completed_at": "2026-11-22T17:05:00.654321Z",
    "version": 8,
    "updated_at": "2026-11-22T17:05:00.654321Z",
}
"""The task of EXAMPLE after the change that TaskPatch shows."""
DUE_ONCE: Final[dict[str, Any]] = {
    "not": {
        "properties": {"due_date": {"type": "string"}, "due_at": {"type": "string"}},
        "required": ["due_date", "due_at"],
    }
}

POSITION_LENGTH: Final = 64
POSITION: Final = f"^[0-9A-Za-z]{{1,{POSITION_LENGTH}}}$"

PLACES: Final = """
Where the task is in the order of its user: tasks are compared by this text, code unit by code unit,
and then by id. A new task without one is the last; PUT without one leaves a task where it is.
"""

Position = Annotated[
    str,
    Matching(POSITION, "position", "must be 1 to 64 of 0-9, A-Z, a-z", POSITION_LENGTH),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": POSITION,
            "maxLength": POSITION_LENGTH,
            "description": PLACES.strip().replace("\n", " "),
        }
    ),
]
OCCURRENCE: Final = "The local day or time of the present occurrence; null unless the task repeats."
SERIES: Final = "The repeating task of which this one is a completed occurrence."
SNOOZED: Final = "When the task reminds its user; before that, its `reminders` are silent."
NEEDS_DUE: Final = "needs a task that is due"
REMINDERS_NEED_DUE: Final = "before needs a task with due_at, and days_before one that is due"
REMIND_AT: Final = (
    "When the task reminds its user next; null if it does not. It moves on with time, and then the"
    " task keeps its version and its ETag."
)
PARENT: Final = (
    "The task that this one is a step of. There are at most five levels. A task that is written by"
    " POST or PUT without the member `category_id` gets the category of this one."
)

LabelIds = Annotated[
    list[Id],
    AfterValidator(lambda ids: sorted(set(ids))),
    Field(
        max_length=MOST_LABELS,
        description="The labels of the task. A request may have them in any order, with repeats;"
        " an answer has each once, sorted.",
        json_schema_extra={"uniqueItems": True},
    ),
]
Title = Annotated[str, Line(200)]
Description = Annotated[str, LongText(5000)]


class Task(BaseModel):
    """A task as it is answered: every field is always present."""

    model_config = examples(EXAMPLE)

    id: Id
    user_id: Id
    title: Annotated[str, KeptLine(200)]
    description: Description | None
    complete: bool
    completed_at: Timestamp | None
    priority: Priority
    due_date: Date | None
    due_at: Timestamp | None
    category_id: Id | None
    position: Position
    label_ids: LabelIds
    parent_id: Id | None
    recurrence: Recurrence | None
    occurrence: Annotated[Local | None, Field(description=OCCURRENCE)]
    series_id: Annotated[Id | None, Field(description=SERIES)]
    reminders: Reminders
    snoozed_until: Annotated[Timestamp | None, Field(description=SNOOZED)]
    remind_at: Annotated[Timestamp | None, Field(description=REMIND_AT)]
    version: Int64 = Field(ge=1)
    created_at: Timestamp
    updated_at: Timestamp


FIELDS: Final = tuple(Task.model_fields)


class TaskPage(BaseModel):
    """One page of a listing; `next_cursor` is null on the last."""

    model_config = examples({"items": [EXAMPLE], "next_cursor": None})

    items: list[Task]
    next_cursor: str | None


def due_once(due_at: datetime | None, info: ValidationInfo) -> datetime | None:
    """Accept a task that is due on a day or at an instant, never both."""
    if due_at is not None and info.data.get("due_date") is not None:
        raise PydanticCustomError("due_once", "due_date and due_at cannot both be set")
    return due_at


def due_to_repeat(recurrence: Recurrence | None, info: ValidationInfo) -> Recurrence | None:
    """Accept a recurrence only of a task that is due."""
    if recurrence is not None and not _dues(info):
        raise PydanticCustomError("due_required", NEEDS_DUE)
    return recurrence


def due_to_remind(reminders: list[Reminder], info: ValidationInfo) -> list[Reminder]:
    """Accept only reminders for which the task has the due time that they need."""
    dues = _dues(info)
    for reminder in reminders:
        if (needs_due(reminder) and not dues) or (needs_due_at(reminder) and dues == {"due_date"}):
            raise PydanticCustomError("due_required", REMINDERS_NEED_DUE)
    return reminders


def _dues(info: ValidationInfo) -> set[str]:
    """Which due times a task has, those that were refused included."""
    return {name for name in ("due_date", "due_at") if info.data.get(name, "refused") is not None}


class TaskCreate(Body):
    """A new task."""

    model_config = examples(
        {
            "title": "Buy milk",
            "description": "Two litres",
            "priority": "high",
            "due_date": "2027-01-31",
        },
        **DUE_ONCE,
    )

    absent: ClassVar = {
        "description": None,
        "complete": False,
        "priority": "none",
        "due_date": None,
        "due_at": None,
        "category_id": None,
    }

    title: Title
    description: Description | None = None
    complete: bool = False
    priority: Priority = "none"
    due_date: Date | None = None
    due_at: Annotated[Timestamp | None, AfterValidator(due_once)] = None
    category_id: Id | None = None
    position: Position | None = None
    label_ids: LabelIds = Field(default=[])
    parent_id: Annotated[Id | None, Field(description=PARENT)] = None
    recurrence: Annotated[Recurrence | None, AfterValidator(due_to_repeat)] = None
    reminders: Annotated[Reminders, AfterValidator(due_to_remind)] = Field(default=[])

    def whole(self) -> dict[str, Any]:
        """All members; not the category if it is left out, so that it is that of the parent."""
        values = self.all()
        if self.parent_id and "category_id" not in self.model_fields_set:
            del values["category_id"]
        return values


class TaskReplace(TaskCreate):
    """A whole task. A field that is left out gets its default, with two exceptions.

    A task that is there keeps its position, and one with a parent gets the category of that.
    """


class TaskPatch(Patch, TaskCreate):
    """A JSON merge patch (RFC 7396): what is absent stays, null clears."""

    model_config = examples({"description": None, "complete": True}, **DUE_ONCE)

    title: Title = ""
    position: Position = ""
    # The database knows when the task is due that is changed.
    recurrence: Recurrence | None = None
    reminders: Reminders = Field(default=[])


def columns(values: dict[str, Any]) -> dict[str, Any]:
    """Return the values as the table stores them."""
    if "priority" in values:
        values = values | {"priority": PRIORITIES.index(values["priority"])}
    if recurrence := values.get("recurrence"):
        values = values | {"recurrence": recurrence.all()}
    if "reminders" in values:
        values = values | {"reminders": [each.stored() for each in values["reminders"]]}
    if occurrence := values.get("occurrence"):
        values = values | {"occurrence": datetime.fromisoformat(occurrence)}
    return values


def represent(row: Any) -> dict[str, Any]:
    """Return the task that clients see. The row's first columns are FIELDS."""
    task = dict(zip(FIELDS, row, strict=False))
    task["priority"] = PRIORITIES[task["priority"]]
    if stored := task["recurrence"]:
        task["recurrence"] = {name: stored[name] for name in Recurrence.model_fields}
        task["occurrence"] = local_text(task["occurrence"], stored["start"])
    task["reminders"] = [dict(sorted(each.items())) for each in task["reminders"]]
    task["remind_at"] = next_of(task["remind_at"])
    return task
