"""What clients see of changes, and how they ask for them."""

from typing import Annotated, Any, Final

from pydantic import BaseModel, Field

from app.api import kinds
from app.api.categories import schemas as categories
from app.api.tasks import schemas as tasks
from app.web.fields.identifiers import Id
from app.web.fields.inputs import Query, examples
from app.web.fields.scalars import Int64, WholeNumber

DEFAULT_LIMIT: Final = 200
MAX_LIMIT: Final = 1000
LONGEST_WAIT: Final = 25

EXAMPLE: Final[dict[str, Any]] = {
    "items": [
        {
            "type": "task",
            "id": tasks.EXAMPLE["id"],
            "version": tasks.EXAMPLE["version"],
            "deleted": False,
            "data": tasks.EXAMPLE,
        },
        {
            "type": "category",
            "id": categories.EXAMPLE["id"],
            "version": 8,
            "deleted": True,
            "data": None,
        },
    ],
    "next_token": "VhH0rXyHbqCvMw0uFQk5nTgtMA",
    "has_more": False,
}
FIRST: Final = {**EXAMPLE, "items": [EXAMPLE["items"][0]]}
EXAMPLES: Final = {
    "first": {"summary": "Without since: all that exists", "value": FIRST},
    "next": {"summary": "With since: what was changed or deleted", "value": EXAMPLE},
}


class Change(BaseModel):
    """An item as it now is, or the news that it was deleted."""

    type: kinds.AnsweredKind
    id: Id
    version: Int64 = Field(ge=1)
    deleted: bool
    data: kinds.Item | None


class Changes(BaseModel):
    """Changes in the order of their versions, and where the next ones begin."""

    model_config = examples(EXAMPLE)

    items: list[Change]
    next_token: str
    has_more: bool


class ChangesQuery(Query):
    """From where on, how many at a time, and for how many seconds to wait for one."""

    since: Annotated[
        Annotated[str, Field(max_length=200)] | None,
        Field(description="`next_token` of the previous response; without it, from the beginning."),
    ] = None
    limit: Annotated[
        int, WholeNumber(1, MAX_LIMIT), Field(description="The maximum number of changes.")
    ] = DEFAULT_LIMIT
    wait: Annotated[
        int,
        WholeNumber(0, LONGEST_WAIT),
        Field(description="The seconds to wait for a change if there is none yet."),
    ] = 0


def represent(row: Any) -> dict[str, Any]:
    """A row of the feed as the change that clients see."""
    return {
        "type": row.type,
        "id": row.id,
        "version": row.version,
        "deleted": row.deleted,
        "data": None if row.deleted else kinds.represent(row),
    }
