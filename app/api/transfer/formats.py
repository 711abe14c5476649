"""The forms of an export, and JSON lines, the form that can be imported."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final, NamedTuple

import orjson
from sqlalchemy import Select, select

from app.api.kinds import IN_ORDER
from app.api.transfer.schemas import EXAMPLE
from app.db.sending import Row
from app.db.statement import Statement
from app.rows.kind import Kind
from app.rows.owner import User
from app.rows.shape import USER_ID

Counts = Mapping[str, int]
OPTIONS: Final = orjson.OPT_UTC_Z | orjson.OPT_APPEND_NEWLINE
UNWRITTEN: Final = {"email": None, "name": None, "time_zone": "UTC"}


class Part(NamedTuple):
    """A statement, and how to write chunks of its rows."""

    statement: Statement
    write: Callable[[list[Row]], bytes]


class Form(NamedTuple):
    """A file format: its beginning, its parts by name, and its end, which gets their counts."""

    media_type: str
    extension: str
    description: str
    example: str
    parts: Mapping[str, Part]
    begin: bytes = b""
    end: Callable[[Counts], bytes] = lambda counts: b""

    def described(self) -> dict[str, Any]:
        """Return what the OpenAPI document says of such a file."""
        schema = {"type": "string", "format": "binary", "description": self.description}
        return {"schema": {**schema, "examples": [self.example]}}


def line(kind: str, data: Any) -> bytes:
    """Write one line of JSON."""
    return orjson.dumps({"type": kind, "data": data}, option=OPTIONS)


def account(rows: list[Row]) -> bytes:
    """Write the account's line; an external user who never wrote has no row yet."""
    return line("account", rows[0]._asdict() if rows else UNWRITTEN)


def lines(kind: Kind, rows: list[Row]) -> bytes:
    """Write a line for each row of this kind."""
    names, items = kind.exported, map(kind.represent, rows)
    return b"".join([line(kind.name, {name: item[name] for name in names}) for item in items])


def end(counts: Counts) -> bytes:
    """Write the last line, which shows a reader that nothing is missing."""
    return line("end", {kind.plural: counts[kind.plural] for kind in IN_ORDER})


def rows_of(kind: Kind) -> Select[Any]:
    """Select the user's live rows of this kind."""
    table = kind.table
    live = select(*kind.writes.shape.columns).where(
        table.c.user_id == USER_ID, table.c.deleted_at.is_(None)
    )
    return live.order_by(table.c.id)


ACCOUNT: Final = Statement(select(User.email, User.name, User.time_zone).where(User.id == USER_ID))
ROWS: Final = {kind.plural: Statement(rows_of(kind)) for kind in IN_ORDER}

JSON_LINES: Final = Form(
    "application/jsonl",
    "jsonl",
    f"JSON lines: account, {', '.join(kind.plural for kind in IN_ORDER)}, and the end with counts.",
    EXAMPLE,
    {
        "account": Part(ACCOUNT, account),
        **{kind.plural: Part(ROWS[kind.plural], partial(lines, kind)) for kind in IN_ORDER},
    },
    end=end,
)
