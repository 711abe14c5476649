"""A request, as OpenTelemetry is told of it: a span, and in it one for each flight (flights.py).

The names are those of its semantic conventions for HTTP and for databases.
"""

import traceback
from collections.abc import Callable
from contextvars import Token
from functools import cached_property
from threading import Lock
from typing import Any, Final

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

from app.exchange import Request, Response, current
from app.flights import RecordedCursor, name_of, place_of
from app.http import WATCHED_PATHS
from app.logs import redact
from app.trace_context import TraceContext

METHODS: Final = {"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"}


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
    def database(self) -> dict[str, Any]:
        """Which database it is."""
        url = make_url(current_app.config["SQLALCHEMY_DATABASE_URI"])
        named = {"server.address": url.host, "server.port": url.port, "db.namespace": url.database}
        known = {name: value for name, value in named.items() if value}
        return {"db.system.name": "postgresql", **known}

    def begin(self) -> None:
        """Begin the span of this thread's request. What watches is not told of."""
        incoming = current()
        if incoming.path in WATCHED_PATHS:
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

    def cursor(self, plain: Any) -> RecordedCursor:
        """The cursor, whose flights are recorded as well."""
        return RecordedCursor(plain, self.recorder.tracer, self.recorder.database)

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


def described(incoming: Request) -> tuple[str, dict[str, str]]:
    """The name of a request's span, and what is known of it at its beginning."""
    method, rule = incoming.method, incoming.url_rule
    attributes = {
        "http.request.method": method if method in METHODS else "_OTHER",
        "url.scheme": incoming.scheme,
        "url.path": incoming.path if rule else redact(incoming.path),
        "network.protocol.version": incoming.environ["SERVER_PROTOCOL"].rpartition("/")[2],
    }
    name = method if method in METHODS else "HTTP"
    if rule is None:
        return name, attributes
    return f"{name} {rule.rule}", {**attributes, "http.route": rule.rule}


def remote(trace: TraceContext) -> Context:
    """The caller's span as the parent of one."""
    state = TraceState.from_header([trace.state]) if trace.state else None
    ids = int(trace.trace_id, 16), int(trace.span_id, 16)
    parent = SpanContext(
        *ids, is_remote=True, trace_flags=TraceFlags(trace.flags), trace_state=state
    )
    return set_span_in_context(NonRecordingSpan(parent), Context())
