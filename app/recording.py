"""What OpenTelemetry is told: a span for each request, and in it one for each flight.

The names are those of its semantic conventions for HTTP and for databases. No query string, no
statement and no value is told.
"""

import re
import traceback
from collections.abc import Callable
from contextvars import Token
from functools import cache, cached_property
from threading import Lock
from typing import Any, Final

import psycopg2
from flask import Flask, current_app
from opentelemetry import context
from opentelemetry.context import Context
from opentelemetry.trace import (
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    StatusCode,
    TraceFlags,
    Tracer,
    TracerProvider,
    TraceState,
    set_span_in_context,
)
from sqlalchemy import make_url

from app.database import Base
from app.exchange import Request, Response, current
from app.http import HEALTH_PATHS
from app.logs import redact
from app.trace_context import TraceContext
from app.tracing import Cursor

METHODS: Final = {"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"}

VERBS: Final = {
    "from": "SELECT",
    "join": "SELECT",
    "insert into": "INSERT",
    "update": "UPDATE",
    "delete from": "DELETE",
}

LONGEST_SUMMARY: Final = 255


class Recorder:
    """Records requests, with a tracer that is made at the first of them: the threads that send
    spans would not survive that gunicorn forks its workers.
    """

    def __init__(self, make: Callable[[], TracerProvider]) -> None:
        self.make = make
        self.made: Tracer | None = None
        self.lock = Lock()

    @property
    def tracer(self) -> Tracer:
        """The tracer of this process."""
        with self.lock:
            self.made = self.made or self.make().get_tracer("app")
            return self.made

    @cached_property
    def target(self) -> dict[str, Any]:
        """Which database it is."""
        url = make_url(current_app.config["SQLALCHEMY_DATABASE_URI"])
        named = {"server.address": url.host, "server.port": url.port, "db.namespace": url.database}
        known = {name: value for name, value in named.items() if value}
        return {"db.system.name": "postgresql", **known}

    def begin(self) -> None:
        """Begin the span of this thread's request. Health is asked for all day, and not told of."""
        incoming = current()
        if incoming.path in HEALTH_PATHS:
            return
        name, attributes = described(incoming)
        parent = remote(incoming.trace) if incoming.trace.given else Context()
        span = self.tracer.start_span(name, parent, SpanKind.SERVER, attributes)
        if span.get_span_context().is_valid:
            incoming.trace = place_of(span)
            incoming.recording = Recording(self, span)

    def finish(self, response: Response) -> Response:
        """Tell what this thread's request is answered with."""
        incoming = current()
        if incoming.recording:
            incoming.recording.finish(response.status_code, incoming.problem)
        return response

    def end(self, _error: BaseException | None) -> None:
        """End the span of this thread's request."""
        if recording := current().recording:
            recording.end()

    def init_app(self, app: Flask) -> None:
        """Record each request of this application."""
        app.before_request(self.begin)
        app.after_request(self.finish)
        app.teardown_request(self.end)


class Recording:
    """One request as it is recorded; its span is the current one meanwhile."""

    def __init__(self, recorder: Recorder, span: Span) -> None:
        self.recorder = recorder
        self.span = span
        self.token: Token[Context] = context.attach(set_span_in_context(span))
        self.error_type: str | None = None

    def cursor(self, plain: Any) -> "RecordedCursor":
        """The cursor, whose flights are recorded as well."""
        return RecordedCursor(plain, self.recorder)

    def note_defect(self, error: Exception) -> None:
        """What nobody foresaw, as the log tells it."""
        self.error_type = name_of(error)
        stack = "".join(traceback.format_exception(error))
        told = {"exception.message": redact(str(error)), "exception.stacktrace": redact(stack)}
        self.span.record_exception(error, told)

    def finish(self, status: int, problem: str | None) -> None:
        """What it was answered with; only what is the server's fault is an error."""
        self.span.set_attribute("http.response.status_code", status)
        if status >= 500:
            self.span.set_attribute("error.type", self.error_type or problem or str(status))
            self.span.set_status(StatusCode.ERROR)

    def end(self) -> None:
        """The request is over."""
        self.span.end()
        context.detach(self.token)


class RecordedCursor(Cursor):
    """A cursor whose flights have spans of their own, which the server is told of."""

    def __init__(self, cursor: Any, recorder: Recorder) -> None:
        super().__init__(cursor, current().trace)
        self.recorder = recorder

    def execute(self, text: str | bytes, parameters: Any = None) -> None:
        """As ever; an error is told by its class and its SQLSTATE."""
        said = summary(text)
        attributes = {"db.query.summary": said, "db.operation.name": said.split(" ")[0]}
        with self.recorder.tracer.start_as_current_span(
            said,
            kind=SpanKind.CLIENT,
            attributes=self.recorder.target | attributes,
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


def described(incoming: Request) -> tuple[str, dict[str, str]]:
    """The name of a request's span, and what is known of it at its beginning."""
    method, rule = incoming.method, incoming.url_rule
    attributes = {
        "http.request.method": method if method in METHODS else "_OTHER",
        "url.scheme": incoming.scheme,
        "url.path": redact(incoming.path),
        "network.protocol.version": incoming.environ["SERVER_PROTOCOL"].rpartition("/")[2],
    }
    name = method if method in METHODS else "HTTP"
    if rule is None:
        return name, attributes
    return f"{name} {rule.rule}", {**attributes, "http.route": rule.rule}


def remote(trace: TraceContext) -> Context:
    """The caller's span as the parent of one."""
    state = TraceState.from_header([trace.state])
    ids = int(trace.trace_id, 16), int(trace.span_id, 16)
    parent = SpanContext(
        *ids, is_remote=True, trace_flags=TraceFlags(trace.flags), trace_state=state
    )
    return set_span_in_context(NonRecordingSpan(parent), Context())


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
    steps = (f"{VERBS[verb.lower()]} {table}" for verb, table in _steps().findall(text))
    said = " ".join(dict.fromkeys(steps))
    return said[:LONGEST_SUMMARY] or text.split(" ", 1)[0].upper()


@cache
def _steps() -> re.Pattern[str]:
    tables = "|".join(Base.metadata.tables)
    # Before a write its owner's row is locked, by a `select from` that reads nothing.
    verbs = "|".join(reversed(VERBS))
    return re.compile(rf"\b(?<!select )({verbs}) ({tables})\b", re.IGNORECASE)
