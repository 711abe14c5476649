"""What a task looks like to clients, and what they may send."""

from datetime import datetime
from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import AfterValidator, BaseModel, Field, ValidationInfo
from pydantic_core import PydanticCustomError
from typing_extensions import TypeAliasType

from app.web.cursors import PageQuery
from app.web.fields.identifiers import UUID_LENGTH, UUID_PATTERN, Id
from app.web.fields.inputs import Body, Patch, examples
from app.web.fields.scalars import Flag, Int64
from app.web.fields.strings import KeptLine, Line, LongText, Matching
from app.web.fields.times import Date, DayOrInstant, Timestamp
from app.web.fields.zones import TimeZone

Priority = TypeAliasType(
    "Priority",
    Annotated[
        Literal["none", "low", "medium", "high"],
        Field(title="Priority", description="How much a task matters."),
    ],
)
PRIORITIES: Final = ("none", "low", "medium", "high")
"""In ascending order; the database stores their indexes."""

SortKey = Literal[
    "created_at",
    "-created_at",
    "updated_at",
    "-updated_at",
    "due",
    "-due",
    "priority",
    "-priority",
    "title",
    "-title",
]
TaskOrder = TypeAliasType(
    "TaskOrder",
    Annotated[
        SortKey,
        Field(
            title="TaskOrder",
            description="What tasks are sorted by; with `-` from the greatest on.",
        ),
    ],
)

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


class TaskReplace(TaskCreate):
    """A whole task; a field that is left out gets its default."""


class TaskPatch(Patch, TaskCreate):
    """A JSON merge patch (RFC 7396): what is absent stays, null clears."""

    model_config = examples({"description": None, "complete": True}, **DUE_ONCE)

    title: Title = ""


CategoryFilter = Annotated[
    str,
    AfterValidator(str.lower),
    Matching(f"^none$|{UUID_PATTERN}", "uuid", "must be a UUID with hyphens, or none", UUID_LENGTH),
]

SORT: Final = """
The field to sort by, then the id; `-` sorts in descending order. With `due`, tasks without a due
date come last in both directions.
"""
DUE_BEFORE: Final = """
Only tasks that are due before this day or instant, for example `2027-03-02` or
`2027-03-02T12:00:00Z`. A day counts as the instant when it begins.
"""
DUE_AFTER: Final = """
Only tasks that are due after this day or instant, for example `2027-03-02` or
`2027-03-02T12:00:00Z`. A day counts as the instant when it begins.
"""
TIME_ZONE: Final = """
The IANA name of the time zone in which days begin, for `sort=due`, `due_before` and `due_after`.
Without it, the account's `time_zone` counts.
"""


class TaskFilters(PageQuery):
    """Which tasks to list, in which order, and how many at a time."""

    sort: Annotated[TaskOrder, Field(description=SORT)] = "-created_at"
    complete: Annotated[
        Flag | None, Field(description="`true`: only complete tasks; `false`: only open ones.")
    ] = None
    priority: Annotated[Priority | None, Field(description="Only tasks with this priority.")] = None
    category_id: Annotated[
        CategoryFilter | None,
        Field(description="Only tasks of this category; `none`: only tasks without a category."),
    ] = None
    due_before: Annotated[DayOrInstant | None, Field(description=DUE_BEFORE)] = None
    due_after: Annotated[DayOrInstant | None, Field(description=DUE_AFTER)] = None
    time_zone: Annotated[TimeZone | None, Field(description=TIME_ZONE)] = None
    updated_after: Annotated[
        Timestamp | None, Field(description="Only tasks that were changed after this instant.")
    ] = None
    q: Annotated[
        Annotated[str, Line(200)] | None,
        Field(
            description="Only tasks with this text in title or description; letter case is ignored."
        ),
    ] = None

    @property
    def by_due(self) -> bool:
        """Whether tasks are sorted by due time."""
        return self.sort.removeprefix("-") == "due"

    @property
    def descending(self) -> bool:
        """Whether the greatest comes first."""
        return self.sort.startswith("-")

    def criteria(self) -> dict[str, Any]:
        """Return what identifies the listing, for the signature of its cursors.

        It has to stay as in the previous release, whose cursors are still in use.
        """
        found = {name: value for name, value in self if name not in {"limit", "cursor"}}
        if self.time_zone is None:
            del found["time_zone"]
        return found | ({"sort": f"{self.sort}, each kind apart"} if self.by_due else {})


def columns(values: dict[str, Any]) -> dict[str, Any]:
    """Return the values as the table stores them."""
    if "priority" in values:
        return values | {"priority": PRIORITIES.index(values["priority"])}
    return values


def represent(row: Any) -> dict[str, Any]:
    """Return the task that clients see. The row's first columns are FIELDS."""
    task = dict(zip(FIELDS, row, strict=False))
    task["priority"] = PRIORITIES[task["priority"]]
    return task
