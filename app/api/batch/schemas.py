"""What a batch consists of, and what it answers."""

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    Field,
    GetJsonSchemaHandler,
    TypeAdapter,
    create_model,
)
from pydantic_core import CoreSchema, PydanticCustomError
from pydantic_core.core_schema import union_schema

from app.api.categories import schemas as categories
from app.api.kinds import KINDS, Item, KindName
from app.api.tasks import schemas as tasks
from app.web.fields.identifiers import Id
from app.web.fields.inputs import Body, examples
from app.web.fields.strings import Matching

MOST: Final = 100
MOST_MEMBERS: Final = 10
"""Of an operation, which has five; more would be an error each, in each of a hundred operations."""

EXAMPLE: Final[dict[str, Any]] = {
    "operations": [
        {
            "op": "create",
            "type": "category",
            "id": "01981d2c-7f3a-7d40-8a3e-2f6b9c1d0e51",
            "body": {"name": "Groceries"},
        },
        {
            "op": "replace",
            "type": "task",
            "id": "01981d2c-7f3a-7d40-8a3e-2f6b9c1d0e50",
            "body": {
                "title": "Buy milk",
                "category_id": "01981d2c-7f3a-7d40-8a3e-2f6b9c1d0e51",
            },
        },
        {
            "op": "update",
            "type": "task",
            "id": "01981d2c-7f3a-7d40-8a3e-2f6b9c1d0e50",
            "body": {"complete": True},
        },
    ]
}

IN_CATEGORY: Final[dict[str, Any]] = {
    **tasks.EXAMPLE,
    "description": None,
    "priority": "none",
    "due_date": None,
    "category_id": categories.EXAMPLE["id"],
}
COMPLETION: Final = {
    name: tasks.COMPLETED[name] for name in ("complete", "completed_at", "version", "updated_at")
}
ANSWER: Final[dict[str, Any]] = {
    "results": [
        {"status": 201, "etag": '"3"', "body": {**categories.EXAMPLE, "color": None}},
        {"status": 201, "etag": '"7"', "body": IN_CATEGORY},
        {"status": 200, "etag": '"8"', "body": IN_CATEGORY | COMPLETION},
    ]
}

BODIES: Final[dict[tuple[str, str], type[Body]]] = {
    (op, kind.name): body
    for kind in KINDS.values()
    for op, body in (
        ("create", kind.replace),
        ("replace", kind.replace),
        ("update", kind.patch),
        *((op, action.body) for op, action in kind.actions.items()),
    )
}

if TYPE_CHECKING:
    OperationName = str
else:
    OperationName = Literal[tuple(dict.fromkeys([*(op for op, _ in BODIES), "delete"]))]

EntityTag = Annotated[
    str, Matching(r'^"[1-9][0-9]{0,17}"$', "entity_tag", 'must be an entity tag such as "7"', 20)
]


def form(op: str, kind: str | None, body: type[Body] | None) -> type[Body]:
    """The model of the operations that do this, which has no member that does not go with it."""
    members: dict[str, Any] = {
        "op": Literal[op],
        "type": Literal[kind] if kind else KindName,
        "id": Id,
    }
    if op != "create":
        members["if_match"] = (EntityTag | None, None)
    if body:
        members["body"] = body
    return create_model(
        f"{op.title()}{(kind or '').title()}Operation",
        __base__=Body,
        __doc__=f"{op.title()} a {kind or ' or '.join(KINDS)}.",
        **members,
    )


class Operation(Body):
    """One write: what PUT with `If-None-Match: *`, PATCH, PUT, DELETE or a POST would do alone."""

    absent: ClassVar = {"if_match": None, "body": None}

    op: OperationName
    type: KindName
    id: Id
    if_match: EntityTag | None = None
    body: dict[str, Any] | None = None

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """The choice between the forms.

        Forms do not validate: null is accepted for a member that does not go with an operation, and
        no body is validated before all operations are.
        """
        forms = [form(op, kind, body) for (op, kind), body in BODIES.items()]
        forms.append(form("delete", None, None))
        choice = handler(union_schema([TypeAdapter(each).core_schema for each in forms]))
        return {"title": cls.__name__, "description": cls.__doc__, "oneOf": choice["anyOf"]}


def _of_few_members(value: object) -> object:
    """Refuse in one error what would otherwise be an error for each of very many members."""
    if isinstance(value, dict) and len(value) > MOST_MEMBERS:
        detail = "must not have more than {most} members"
        raise PydanticCustomError("too_many_members", detail, {"most": MOST_MEMBERS})
    return value


class Batch(Body):
    """Writes that are done in their order, all of them or none."""

    model_config = examples(EXAMPLE)

    operations: list[Annotated[Operation, BeforeValidator(_of_few_members)]] = Field(
        min_length=1, max_length=MOST
    )


class BatchResult(BaseModel):
    """The response that the operation would get as a single request."""

    status: Literal[200, 201, 204]
    etag: str | None
    body: Item | None


class BatchResults(BaseModel):
    """The results in the order of the operations."""

    model_config = examples(ANSWER)

    results: list[BatchResult]
