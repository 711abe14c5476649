"""What a personal access token looks like to clients, and what they may send."""

from typing import Annotated, Any, ClassVar, Final

from pydantic import AfterValidator, BaseModel, Field
from pydantic_core import PydanticCustomError
from typing_extensions import TypeAliasType

from app.core.principal import PERMISSIONS, Permission
from app.web.fields.identifiers import Id
from app.web.fields.inputs import Body, examples
from app.web.fields.scalars import Int64
from app.web.fields.strings import KeptLine, Line
from app.web.fields.times import Timestamp

EXAMPLE: Final[dict[str, Any]] = {
    "id": "01981d2c-7f3a-7d40-8a3e-2f6b9c1d0e52",
    "user_id": "01981d2c-7f3a-7d40-8a3e-2f6b9c1d0e4f",
    "name": "Nightly backup",
    "scopes": ["tasks:read"],
    "last_four": "DfoY",
    "expires_at": None,
    "last_used_at": None,
    "version": 4,
    "created_at": "2026-11-21T09:30:00.123456Z",
}

TOKEN: Final = "tasks_pat_08J8aCtMalKME6jlmDNQFLH9YB8tWxMuLiPR7Zcr79ynL3ji3XXNuJ2rDfoY"  # noqa: S105 an example


def _each_once(scopes: list[Permission]) -> list[Permission]:
    if len(set(scopes)) < len(scopes):
        raise PydanticCustomError("scopes_repeated", "must name each scope once")
    return [scope for scope in PERMISSIONS if scope in scopes]


Name = Annotated[str, Line(100)]
Scope = TypeAliasType(
    "Scope",
    Annotated[
        Permission,
        Field(title="Scope", description="What a personal access token may be used for."),
    ],
)
Scopes = Annotated[
    list[Scope],
    Field(min_length=1, max_length=len(PERMISSIONS), json_schema_extra={"uniqueItems": True}),
    AfterValidator(_each_once),
]


class Token(BaseModel):
    """A token as it is listed: never the token itself."""

    model_config = examples(EXAMPLE)

    id: Id
    user_id: Id
    name: Annotated[str, KeptLine(100)]
    scopes: Scopes
    last_four: str
    expires_at: Timestamp | None
    last_used_at: Timestamp | None
    version: Int64 = Field(ge=1)
    created_at: Timestamp


FIELDS: Final = tuple(Token.model_fields)


class IssuedToken(Token):
    """A token as it is answered once, when it is made."""

    model_config = examples({**EXAMPLE, "token": TOKEN})

    token: str


class TokenPage(BaseModel):
    """One page of the tokens, oldest first; `next_cursor` is null on the last."""

    model_config = examples({"items": [EXAMPLE], "next_cursor": None})

    items: list[Token]
    next_cursor: str | None


class TokenCreate(Body):
    """A new token."""

    model_config = examples({"name": "Nightly backup", "scopes": ["tasks:read"]})

    absent: ClassVar = {"expires_at": None}

    name: Name
    scopes: Scopes
    expires_at: Timestamp | None = None


def represent(row: Any) -> dict[str, Any]:
    """Return the token that clients see. The row's first columns are FIELDS."""
    return dict(zip(FIELDS, row, strict=False))
