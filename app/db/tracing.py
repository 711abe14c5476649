"""Traces in the database: the comment before each statement of a sampled request, and its summary.

The comment names the statement's span, so that what PostgreSQL logs, explains or shows in
pg_stat_activity can be found by its trace. It comes first, because pg_stat_activity cuts a text off
after a kilobyte. Source: OpenTelemetry, "sqlcommenter".
"""

import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from contextvars import ContextVar
from functools import cache, lru_cache
from typing import Any, Final

from sqlalchemy import PoolProxiedConnection

from app.db.base import Base

Recording = Callable[[Any, str | bytes], AbstractContextManager[str]]
"""Records one statement, given its cursor and its text; yields the `traceparent` of its span."""

RECORDING: Final[ContextVar[Recording | None]] = ContextVar("recording", default=None)
"""How the statements of the current request are recorded; None if it is not sampled."""

OPERATIONS: Final = {
    "delete from": "DELETE",
    "update": "UPDATE",
    "insert into": "INSERT",
    "join": "SELECT",
    "from": "SELECT",
}

LONGEST_SUMMARY: Final = 255


class Cursor:
    """A database cursor that puts a comment with the `traceparent` before each statement."""

    def __init__(self, cursor: Any, recording: Recording) -> None:
        self.cursor = cursor
        self.recording = recording

    def execute(self, text: str | bytes, parameters: Any = None) -> None:
        """Execute the statement. The comment holds hexadecimal digits and hyphens only."""
        with self.recording(self.cursor, text) as traceparent:
            comment = f"/*traceparent='{traceparent}'*/ "
            whole = comment.encode() + text if isinstance(text, bytes) else comment + text
            self.cursor.execute(whole, parameters)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.cursor, name)


def cursor(connection: PoolProxiedConnection) -> Any:
    """A cursor of the connection for the statements of the current request."""
    plain = connection.cursor()
    recording = RECORDING.get()
    return Cursor(plain, recording) if recording else plain


def summary(text: str | bytes) -> str:
    """The operations and tables of a statement, in the order of its text, without any value.

    For example `UPDATE users INSERT tasks`. Bytes hold several statements with their values, and
    are summed up as `BATCH`.
    """
    if isinstance(text, bytes):
        return "COMMIT" if text == b"commit" else "BATCH"
    return _summary(text.rpartition("; ")[2])  # without the settings, which hold the user's id


@lru_cache(maxsize=512)
def _summary(statement: str) -> str:
    steps = (f"{OPERATIONS[verb.lower()]} {table}" for verb, table in _steps().findall(statement))
    said = " ".join(dict.fromkeys(steps))
    return said[:LONGEST_SUMMARY] or statement.split(" ", 1)[0].upper()


@cache
def _steps() -> re.Pattern[str]:
    tables = "|".join(Base.metadata.tables)
    return re.compile(rf"\b({'|'.join(OPERATIONS)}) ({tables})\b", re.IGNORECASE)
