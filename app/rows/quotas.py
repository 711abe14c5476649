"""Quotas: how many rows and bytes a user may store.

The owner's row holds an upper bound of both. Each write raises it in the statement that counts the
change, and lowers it where a text becomes shorter; a purge lowers it by what it removes, and a
census (census.py) sets it right.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from flask import Flask, current_app
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    FromClause,
    Table,
    Text,
    and_,
    bindparam,
    case,
    func,
    literal_column,
)

from app.core.config import Settings
from app.core.problem_kinds import QUOTA_EXCEEDED
from app.core.problems import Problem
from app.rows.owner import User

Element = ColumnElement[Any]

ROW_BYTES: Final = 1000
"""Bytes that a row counts beside its texts, for its other columns and index entries."""

NO_QUOTA: Final = 2**62
"""More than anybody can store."""

SETTING: Final = "QUOTA"

SIZE: Final[Element] = bindparam("size", type_=BigInteger)
ROWS_LIMIT: Final[Element] = bindparam("quota_rows", type_=BigInteger)
BYTES_LIMIT: Final[Element] = bindparam("quota_bytes", type_=BigInteger)
ZERO: Final[Element] = literal_column("0", BigInteger)
ROW_SIZE: Final[Element] = literal_column(str(ROW_BYTES), BigInteger)


class Growth(NamedTuple):
    """How much a write adds to its user's usage; `rows` is None for none, bytes may be negative."""

    rows: Element | None
    size: Element

    def is_admitted(self) -> Element:
        """Whether the owner's row has room for it. One that was never counted has to be first.

        What does not grow is admitted past the quota too.
        """
        room = [self.size <= func.greatest(BYTES_LIMIT - User.used_bytes, ZERO)]
        if self.rows is not None:
            room.append(self.rows <= func.greatest(ROWS_LIMIT - User.used_rows, ZERO))
        return and_(User.counted_at.is_not(None), *room)

    def values(self) -> dict[str, Element]:
        """The new bounds, to be set in the owner's row."""
        rows = {} if self.rows is None else {"used_rows": User.used_rows + self.rows}
        return {**rows, "used_bytes": func.greatest(User.used_bytes + self.size, ZERO)}


class Usage(NamedTuple):
    """The bounds of what a user stores."""

    rows: int
    bytes: int


class NoRoom(Problem):
    """A write that was refused because it would exceed a quota."""

    def __init__(self, rows: int) -> None:
        super().__init__(QUOTA_EXCEEDED)
        self.rows = rows
        self.operation: int | None = None
        """The index of the operation in a batch."""

    def settle(self, usage: Usage) -> None:
        """Report which quota is full, after a census has corrected the bounds."""
        limits = quota()
        full = "rows" if usage.rows + self.rows > limits["quota_rows"] else "bytes"
        used = usage.rows if full == "rows" else usage.bytes
        self.members = {"quota": full, "limit": limits[f"quota_{full}"], "used": used}


def quota() -> dict[str, int]:
    """The quotas of this application, as parameters of statements."""
    limits: dict[str, int] = current_app.config[SETTING]
    return limits


def limit(name: str) -> int | None:
    """One quota by its name, or None if it is not set."""
    value = quota()[f"quota_{name}"]
    return None if value == NO_QUOTA else value


def size_of(values: Mapping[str, Any], texts: Iterable[str]) -> int:
    """The UTF-8 bytes of the named texts."""
    size = 0
    for name in texts:
        if text := values.get(name):
            size += len(text.encode())
    return size


def texts_of(table: Table, fields: Iterable[str]) -> list[str]:
    """Those fields that are texts, whose length is counted."""
    return [
        name
        for name in fields
        if isinstance(table.c[name].type, Text) and table.c[name].computed is None
    ]


def stored_size(row: FromClause, texts: Iterable[str]) -> Element:
    """SQL for the bytes of a row's texts."""
    size: Element = ZERO
    for name in texts:
        size += func.coalesce(func.octet_length(row.c[name]), ZERO)
    return size


def growth_of_one(existed: Element, change: Element) -> Growth:
    """That of a row which may be new; `change` is how much longer its texts become."""
    one = literal_column("1", BigInteger)
    return Growth(case((existed, ZERO), else_=one), change + case((existed, ZERO), else_=ROW_SIZE))


def init_app(app: Flask, settings: Settings) -> None:
    """Take the quotas from the settings."""
    app.config[SETTING] = {
        "quota_rows": settings.quota_rows or NO_QUOTA,
        "quota_bytes": settings.quota_bytes or NO_QUOTA,
    }
