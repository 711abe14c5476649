"""A flight to the database, as OpenTelemetry is told of it: which tables it is about, no values."""

import re
from functools import cache, lru_cache
from typing import Any, Final

import psycopg2
from opentelemetry.trace import Span, SpanKind, StatusCode, Tracer

from app.database import Base
from app.exchange import current
from app.trace_context import TraceContext
from app.tracing import Cursor

VERBS: Final = {
    "from": "SELECT",
    "join": "SELECT",
    "insert into": "INSERT",
    "update": "UPDATE",
    "delete from": "DELETE",
}

LONGEST_SUMMARY: Final = 255


class RecordedCursor(Cursor):
    """A cursor whose flights have spans of their own, which the server is told of."""

    def __init__(self, cursor: Any, tracer: Tracer, database: dict[str, Any]) -> None:
        super().__init__(cursor, current().trace)
        self.tracer = tracer
        self.database = database

    def execute(self, text: str | bytes, parameters: Any = None) -> None:
        """As ever; an error is told by its class and its SQLSTATE."""
        said = summary(text)
        attributes = {"db.query.summary": said, "db.operation.name": said.split(" ")[0]}
        with self.tracer.start_as_current_span(
            said,
            kind=SpanKind.CLIENT,
            attributes=self.database | attributes,
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            self.trace = place_of(span)
            try:
                super().execute(text, parameters)
            except psycopg2.Error as error:
                span.set_attribute("error.type", name_of(error))
                if error.pgcode:
                    span.set_attribute("db.response.status_code", error.pgcode)
                span.set_status(StatusCode.ERROR)
                raise


def place_of(span: Span) -> TraceContext:
    """The place of a span in its trace."""
    place = span.get_span_context()
    return TraceContext(f"{place.trace_id:032x}", f"{place.span_id:016x}", place.trace_flags)


def name_of(error: BaseException) -> str:
    """The full name of the class of an error."""
    return f"{type(error).__module__}.{type(error).__qualname__}"


def summary(text: str | bytes) -> str:
    """What is done to which tables, in the order of the text: `UPDATE users INSERT tasks`.

    Of several statements in one text, which is bytes with values in it, only that it is a batch.
    """
    if isinstance(text, bytes):
        return "COMMIT" if text == b"commit" else "BATCH"
    return _summary(text.rpartition("; ")[2])  # before it stands what each request has of its own


@lru_cache(maxsize=512)
def _summary(statement: str) -> str:
    steps = (f"{VERBS[verb.lower()]} {table}" for verb, table in _steps().findall(statement))
    said = " ".join(dict.fromkeys(steps))
    return said[:LONGEST_SUMMARY] or statement.split(" ", 1)[0].upper()


@cache
def _steps() -> re.Pattern[str]:
    tables = "|".join(Base.metadata.tables)
    verbs = "|".join(reversed(VERBS))
    return re.compile(rf"\b({verbs}) ({tables})\b", re.IGNORECASE)
