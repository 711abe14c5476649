"""What else is done to a task: the bodies of the requests, and examples of the answers."""

from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, Field, model_validator
from pydantic_core import PydanticCustomError

from app.api.tasks.schemas import COMPLETED, EXAMPLE, Task
from app.web.fields.identifiers import Id
from app.web.fields.inputs import Body, Patch, examples

DONE: Final[dict[str, Any]] = {**COMPLETED, "description": EXAMPLE["description"]}
"""The task of EXAMPLE once it was completed."""
LABELLED: Final[dict[str, Any]] = {
    **EXAMPLE,
    "label_ids": ["01981d2c-7f3a-7d40-8a3e-2f6b9c1d0e52"],
    "version": 8,
    "updated_at": COMPLETED["updated_at"],
}
"""The task of EXAMPLE with a label."""


class Complete(Body):
    """What becomes of the open subtasks of a task that is completed."""

    model_config = examples({"subtasks": "complete"})

    subtasks: Annotated[
        Literal["keep", "complete"],
        Field(description="`keep`: they stay open; `complete`: they are completed too."),
    ] = "keep"

    @property
    def parameters(self) -> dict[str, Any]:
        """Whether they are completed, as the statement is bound to it."""
        return {"subtasks": self.subtasks == "complete"}


class Completion(BaseModel):
    """A task that was completed; `completed` is for tasks that repeat, and null so far."""

    model_config = examples({"task": DONE, "completed": None})

    task: Task
    completed: Task | None


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
