"""What else is done to a task: the bodies of the requests, and examples of the answers."""

from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, Field, model_validator
from pydantic_core import PydanticCustomError
from typing_extensions import TypeAliasType

from app.api.tasks.recurrence import Local
from app.api.tasks.schemas import COMPLETED, EXAMPLE, Task
from app.web.fields.identifiers import Id
from app.web.fields.inputs import Body, Patch, Query, examples
from app.web.fields.scalars import WholeNumber
from app.web.fields.times import Date, Timestamp

MOST_OCCURRENCES: Final = 100

DONE: Final[dict[str, Any]] = {**COMPLETED, "description": EXAMPLE["description"]}
"""The task of EXAMPLE once it was completed."""
LABELLED: Final[dict[str, Any]] = {
    **EXAMPLE,
    "label_ids": ["01981d2c-7f3a-7d40-8a3e-2f6b9c1d0e52"],
    "version": 8,
    "updated_at": COMPLETED["updated_at"],
}
"""The task of EXAMPLE with a label."""


WEEKLY: Final[dict[str, Any]] = {
    "rule": "FREQ=WEEKLY;COUNT=2",
    "start": "2027-01-31",
    "time_zone": "Europe/Oslo",
    "overflow": "skip",
    "after": "schedule",
}
SKIPPED: Final[dict[str, Any]] = {
    **EXAMPLE,
    "due_date": "2027-02-07",
    "recurrence": WEEKLY,
    "occurrence": "2027-02-07",
    "version": 8,
    "updated_at": COMPLETED["updated_at"],
}
"""The task of EXAMPLE, if it repeats every week, once an occurrence was skipped."""
SNOOZED: Final[dict[str, Any]] = {
    **EXAMPLE,
    "snoozed_until": "2027-01-31T08:30:00Z",
    "remind_at": "2027-01-31T08:30:00Z",
    "version": 8,
    "updated_at": COMPLETED["updated_at"],
}
"""The task of EXAMPLE, snoozed."""


Missed = TypeAliasType(
    "Missed",
    Annotated[
        Literal["skip", "keep"],
        Field(
            title="Missed",
            description="`skip`: on to the first that is not past; `keep`: to the very next.",
        ),
    ],
)


class Step(Body):
    """Which occurrence of a repeating task is meant, and what becomes of those that are past."""

    model_config = examples({"occurrence": "2027-01-31"})

    occurrence: Annotated[
        Local | None,
        Field(description="The occurrence that is meant; by default the present one."),
    ] = None
    missed: Missed = "skip"

    @property
    def parameters(self) -> dict[str, Any]:
        """What the statement is bound to."""
        keeps = self.missed == "keep"
        return {"asked": self.occurrence, "keeps_missed": keeps, "copies": False, "subtasks": False}


class Snooze(Body):
    """Until when a task does not remind its user; then it does."""

    model_config = examples({"until": "2027-01-31T08:30:00Z"})

    until: Timestamp

    @property
    def parameters(self) -> dict[str, Any]:
        """What the statement is bound to."""
        return {"snoozed_until": self.until}


class Complete(Step):
    """Which occurrence is meant, and what becomes of the open subtasks of a completed task."""

    model_config = examples({"subtasks": "complete"})

    subtasks: Annotated[
        Literal["keep", "complete"],
        Field(description="`keep`: they stay open; `complete`: they are completed too."),
    ] = "keep"

    @property
    def parameters(self) -> dict[str, Any]:
        """What the statement is bound to."""
        return {**super().parameters, "copies": True, "subtasks": self.subtasks == "complete"}


class Completion(BaseModel):
    """A task that was completed or went on to its next occurrence.

    `completed` is the copy of the occurrence that was completed; null where none was left.
    """

    model_config = examples({"task": DONE, "completed": None})

    task: Task
    completed: Task | None


class OccurrencesQuery(Query):
    """How many occurrences to preview."""

    limit: Annotated[
        int,
        WholeNumber(1, MOST_OCCURRENCES),
        Field(description="The maximum number of occurrences."),
    ] = 10


class Occurrence(BaseModel):
    """An occurrence, and when the task is due then."""

    occurrence: Local
    due_date: Date | None
    due_at: Timestamp | None


class Occurrences(BaseModel):
    """The next occurrences."""

    model_config = examples(
        {"items": [{"occurrence": "2027-02-07", "due_date": "2027-02-07", "due_at": None}]}
    )

    items: list[Occurrence]


class Move(Patch):
    """Where a task goes: exactly one of the three."""

    model_config = examples({"to": "start"}, minProperties=1, maxProperties=1)

    after: Annotated[Id, Field(description="Directly behind this task.")] = ""
    before: Annotated[Id, Field(description="Directly before this task.")] = ""
    to: Annotated[
        Literal["start", "end"], Field(description="Before or behind all other tasks.")
    ] = "end"

    @model_validator(mode="after")
    def one_place(self) -> Self:
        """Accept exactly one member."""
        if len(self.model_fields_set) != 1:
            raise PydanticCustomError("one_place", "must be exactly one of after, before and to")
        return self

    @property
    def parameters(self) -> dict[str, Any]:
        """The side and the neighbour, as the statement is bound to them."""
        [(name, value)] = self.given().items()
        if name == "to":
            return {"side": value, "neighbour": None}
        return {"side": name, "neighbour": value}
