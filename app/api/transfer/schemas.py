"""The lines of an export, the choice of its format, and the report of an import."""

from datetime import datetime
from typing import Annotated, Any, Final, Literal

import orjson
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationInfo
from pydantic_core import PydanticCustomError
from typing_extensions import TypeAliasType

from app.api.categories import schemas as categories
from app.api.tasks import schemas as tasks
from app.web.fields.identifiers import Email, Id
from app.web.fields.inputs import Body, Query
from app.web.fields.strings import Line
from app.web.fields.times import Timestamp, TimeZone

CATEGORY_FIELDS: Final = ("id", "name", "color", "created_at", "updated_at")
TASK_FIELDS: Final = (
    "id",
    "title",
    "description",
    "complete",
    "completed_at",
    "priority",
    "due_date",
    "due_at",
    "category_id",
    "created_at",
    "updated_at",
)
"""The exported fields: not the versions, which the importing service counts itself."""

EXAMPLE_LINES: Final[list[dict[str, Any]]] = [
    {
        "type": "account",
        "data": {"email": "alice@example.com", "name": "Alice", "time_zone": "Europe/Oslo"},
    },
    {"type": "category", "data": {name: categories.EXAMPLE[name] for name in CATEGORY_FIELDS}},
    {"type": "task", "data": {name: tasks.EXAMPLE[name] for name in TASK_FIELDS}},
    {"type": "end", "data": {"categories": 1, "tasks": 1}},
]
EXAMPLE: Final = b"".join(
    orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE) for line in EXAMPLE_LINES
).decode()


ExportFormat = TypeAliasType(
    "ExportFormat",
    Annotated[
        Literal["jsonl", "csv", "ics"],
        Field(title="ExportFormat", description="In which form an account is exported."),
    ],
)


class ExportQuery(Query):
    """In which form: all there is as JSON lines, or tasks for a spreadsheet or a calendar."""

    format: Annotated[ExportFormat, Field(description="In which form the account is exported.")] = (
        "jsonl"
    )


def completed(completed_at: datetime | None, info: ValidationInfo) -> datetime | None:
    """Accept a time of completion only of a complete task."""
    if completed_at is not None and not info.data.get("complete", True):
        raise PydanticCustomError("completed_at", "must be null unless the task is complete")
    return completed_at


class AccountData(Body):
    """What an account has of its own; the address stays that of the account it comes to."""

    email: Email | None = None
    name: Annotated[str, Line(100)] | None = None
    time_zone: TimeZone = "UTC"


class CategoryData(categories.CategoryReplace):
    """A category; a time that is absent stays as it is, or is now."""

    id: Id
    created_at: Timestamp | None = None
    updated_at: Timestamp | None = None


class TaskData(tasks.TaskReplace):
    """A task; a time that is absent stays as it is, or is now."""

    id: Id
    completed_at: Annotated[Timestamp | None, AfterValidator(completed)] = None
    created_at: Timestamp | None = None
    updated_at: Timestamp | None = None


class Counts(Body):
    """How many lines there are of each kind."""

    categories: int = Field(0, ge=0)
    tasks: int = Field(0, ge=0)


class AccountLine(Body):
    """The first line."""

    type: Literal["account"]
    data: AccountData


class CategoryLine(Body):
    """A category; all come before the tasks."""

    type: Literal["category"]
    data: CategoryData


class TaskLine(Body):
    """A task."""

    type: Literal["task"]
    data: TaskData


class EndLine(Body):
    """The last line, without which an export is not whole."""

    type: Literal["end"]
    data: Counts


AnyLine = AccountLine | CategoryLine | TaskLine | EndLine
LINE: Final[TypeAdapter[AnyLine]] = TypeAdapter(Annotated[AnyLine, Field(discriminator="type")])


class ImportDefect(BaseModel):
    """One value that was not accepted; `pointer` is a place in the line (RFC 6901)."""

    pointer: str
    code: str
    detail: str


class ImportRefusal(BaseModel):
    """A line that was not imported, and why."""

    line: int = Field(ge=1)
    errors: list[ImportDefect]


class ImportReport(BaseModel):
    """What became of the lines; of the refused ones, the first hundred are told of.

    `complete` says that the end of an export came, with as many categories and tasks as it counts.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "required": ["created", "updated", "unchanged", "refused", "complete", "refusals"],
            "examples": [
                {
                    "created": 2,
                    "updated": 0,
                    "unchanged": 1,
                    "refused": 1,
                    "complete": True,
                    "refusals": [
                        {
                            "line": 3,
                            "errors": [
                                {
                                    "pointer": "/data/title",
                                    "code": "string_too_long",
                                    "detail": "String should have at most 200 characters",
                                }
                            ],
                        }
                    ],
                }
            ],
        }
    )

    created: int = 0
    updated: int = 0
    unchanged: int = 0
    refused: int = 0
    complete: bool = False
    refusals: list[ImportRefusal] = []
