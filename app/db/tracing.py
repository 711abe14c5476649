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

from app.db.base import Base

Recording = Callable[[Any, str], AbstractContextManager[str]]
"""Records one statement, given psycopg2's ConnectionInfo and a text without values; yields the
`traceparent` of its span."""

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


@lru_cache(maxsize=512)
def summary(sql: str) -> str:
    """The operations and tables of a statement, in the order of its text, without any value.

    For example `UPDATE users INSERT tasks`; of a text without tables its first word.
    """
    steps = (f"{OPERATIONS[verb.lower()]} {table}" for verb, table in _steps().findall(sql))
    said = " ".join(dict.fromkeys(steps))
    return said[:LONGEST_SUMMARY] or sql.split(" ", 1)[0].upper()


@cache
def _steps() -> re.Pattern[str]:
    tables = "|".join(Base.metadata.tables)
    return re.compile(rf"\b({'|'.join(OPERATIONS)}) ({tables})\b", re.IGNORECASE)
