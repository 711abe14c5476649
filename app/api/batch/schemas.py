"""What a batch consists of, and what it answers."""

from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, GetJsonSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError

from app.api.categories import schemas as categories
from app.api.tasks import schemas as tasks
from app.web.fields import Body, Id, Matching

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

ANSWER: Final[dict[str, Any]] = {
    "results": [
        {"status": 200, "etag": '"7"', "body": tasks.EXAMPLE},
        {"status": 204, "etag": None, "body": None},
    ]
}

BODIES: Final[dict[tuple[str, str], type[Body]]] = {
    ("create", "task"): tasks.TaskReplace,
    ("replace", "task"): tasks.TaskReplace,
    ("update", "task"): tasks.TaskPatch,
    ("create", "category"): categories.CategoryReplace,
    ("replace", "category"): categories.CategoryReplace,
    ("update", "category"): categories.CategoryPatch,
}

LEFT_OUT: Final = {"create": ("if_match",), "delete": ("body",)}
"""Members that do not go with an operation."""

Kind = Literal["task", "category"]
EntityTag = Annotated[
    str, Matching(r'^"[1-9][0-9]{0,17}"$', "entity_tag", 'must be an entity tag such as "7"', 20)
]


class Operation(Body):
    """One write: what PUT with `If-None-Match: *`, PATCH, PUT or DELETE would do alone."""

    absent: ClassVar = {"if_match": None, "body": None}

    op: Literal["create", "update", "replace", "delete"]
    type: Kind
    id: Id
    if_match: EntityTag | None = None
    body: dict[str, Any] | None = Field(
        None, description="What the body of the request alone would be; none for delete."
    )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """The schema, with the forms of an operation, each with the members that go with it.

        What does not go with a form is not among its members. Null is taken there too, but a member
        whose only type is null is one that generators of clients cannot make anything of.
        """
        document = handler.resolve_ref_schema(handler(schema))
        members = document["properties"]
        document["oneOf"] = [
            {
                "properties": {
                    **{name: members[name] for name in members if name not in LEFT_OUT.get(op, ())},
                    "op": {"type": "string", "const": op},
                    "type": {"type": "string", "const": kind},
                    "body": model.model_json_schema(),
                },
                "required": ["body"],
            }
            for (op, kind), model in BODIES.items()
        ]
        deletion = {name: members[name] for name in members if name not in LEFT_OUT["delete"]}
        document["oneOf"].append(
            {"properties": {**deletion, "op": {"type": "string", "const": "delete"}}}
        )
        return document


def _of_few_members(value: object) -> object:
    """Refuse in one error what would otherwise be an error for each of very many members."""
    if isinstance(value, dict) and len(value) > MOST_MEMBERS:
        detail = "must not have more than {most} members"
        raise PydanticCustomError("too_many_members", detail, {"most": MOST_MEMBERS})
    return value


class Batch(Body):
    """Writes that are done in their order, all of them or none."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE]})

    operations: list[Annotated[Operation, BeforeValidator(_of_few_members)]] = Field(
        min_length=1, max_length=MOST
    )


class Result(BaseModel):
    """What the operation would have been answered alone."""

    status: Literal[200, 201, 204]
    etag: str | None
    body: tasks.Task | categories.Category | None


class Results(BaseModel):
    """The results in the order of the operations."""

    model_config = ConfigDict(json_schema_extra={"examples": [ANSWER]})

    results: list[Result]
