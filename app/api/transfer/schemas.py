"""The lines of an export, the choice of its format, and the report of an import."""

from typing import Annotated, Any, Final, Literal, Union

import orjson
from pydantic import BaseModel, Field, TypeAdapter, create_model
from typing_extensions import TypeAliasType

from app.api.kinds import IN_ORDER
from app.rows.kind import Kind
from app.web.fields.identifiers import Email, Id
from app.web.fields.inputs import Body, Query, examples
from app.web.fields.scalars import Flag
from app.web.fields.strings import Line, Matching
from app.web.fields.times import Timestamp
from app.web.fields.zones import TimeZone

EXAMPLE_LINES: Final[list[dict[str, Any]]] = [
    {
        "type": "account",
        "data": {"email": "alice@example.com", "name": "Alice", "time_zone": "Europe/Oslo"},
    },
    *(
        {"type": kind.name, "data": {name: kind.example[name] for name in kind.exported}}
        for kind in IN_ORDER
    ),
    {"type": "end", "data": {kind.plural: 1 for kind in IN_ORDER}},
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


IMPORT_FORMATS: Final = ("jsonl", "todoist", "ticktick", "google", "microsoft", "ics")

# Not an enumeration: clients in Go would have some names twice, as ExportFormat has them as well.
ImportFormat = Annotated[
    str,
    Matching(
        f"^({'|'.join(IMPORT_FORMATS)})$",
        "format",
        f"must be one of {', '.join(IMPORT_FORMATS)}",
        20,
    ),
]


class ImportQuery(Query):
    """Which app the file comes from, and what it does not say."""

    format: Annotated[
        ImportFormat,
        Field(description="Which app the file comes from; `jsonl` is an export of this service."),
    ] = "jsonl"
    time_zone: Annotated[
        TimeZone | None,
        Field(
            description="The time zone of times for which the file names none; by default that of"
            " the account. Not for `jsonl`."
        ),
    ] = None
    name: Annotated[
        Annotated[str, Line(100)] | None,
        Field(
            description="The name of the file, without its ending the category of its tasks where"
            " the file names no list. Not for `jsonl`."
        ),
    ] = None
    dry_run: Annotated[
        Flag,
        Field(
            description="Whether only the report is wanted, and nothing written; without a look at"
            " quotas."
        ),
    ] = False


class AccountData(Body):
    """What an account has of its own; the address stays that of the account it comes to."""

    email: Email | None = None
    name: Annotated[str, Line(100)] | None = None
    time_zone: TimeZone = "UTC"


class AccountLine(Body):
    """The first line."""

    type: Literal["account"]
    data: AccountData


class RowLine(Body):
    """A row; those that others refer to come before these. Each kind has a model of its own."""

    type: str
    data: Any


class EndLine(Body):
    """The last line, without which an export is not whole: how many rows there are of each kind."""

    type: Literal["end"]
    data: Any


AnyLine = AccountLine | RowLine | EndLine


def row_line(kind: Kind) -> type[RowLine]:
    """Return the model of a kind's lines. A time that is absent stays as it is, or is now."""
    members: dict[str, Any] = {
        "id": (Id, ...),
        **{name: (type_, None) for name, type_ in kind.imported.items()},
        **dict.fromkeys(("created_at", "updated_at"), (Timestamp | None, None)),
    }
    data = create_model(f"{kind.name.title()}Data", __base__=kind.replace, **members)
    type_: Any = Literal[kind.name]
    return create_model(f"{kind.name.title()}Line", __base__=RowLine, type=type_, data=data)


def end_line() -> type[EndLine]:
    """Return the model of the last line."""
    members: dict[str, Any] = {kind.plural: (int, Field(0, ge=0)) for kind in IN_ORDER}
    return create_model(
        "EndLine", __base__=EndLine, data=create_model("Counts", __base__=Body, **members)
    )


CHOICE: Final[Any] = Union[AccountLine, *map(row_line, IN_ORDER), end_line()]
LINE: Final[TypeAdapter[AnyLine]] = TypeAdapter(Annotated[CHOICE, Field(discriminator="type")])


class ImportDefect(BaseModel):
    """One value that was not accepted; `pointer` is a place in the line (RFC 6901)."""

    pointer: str
    code: str
    detail: str


class ImportRefusal(BaseModel):
    """A line that was not imported, and why."""

    line: int = Field(ge=1)
    errors: list[ImportDefect]


class ImportLoss(BaseModel):
    """Something of another app's file that a task cannot hold, or that could not be read.

    `line` is a line of the file, or the number of the item in it; `field` is the file's own word.
    """

    line: int = Field(ge=1)
    field: str
    detail: str


class ImportReport(BaseModel):
    """The outcome of the lines, with the first hundred of those that were refused.

    `complete` says that the end of an export came, with as many rows as it counts; other apps'
    files have no such end. `lossy` is for these files, and has the first thousand.
    """

    model_config = examples(
        {
            "created": len(IN_ORDER),
            "updated": 1,
            "unchanged": 0,
            "refused": 0,
            "complete": True,
            "refusals": [],
            "lossy": [],
        },
        required=["created", "updated", "unchanged", "refused", "complete", "refusals", "lossy"],
    )

    created: int = 0
    updated: int = 0
    unchanged: int = 0
    refused: int = 0
    complete: bool = False
    refusals: list[ImportRefusal] = []
    lossy: list[ImportLoss] = []
