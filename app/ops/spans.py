"""Record spans of requests and statements with OpenTelemetry's SDK.

Names and attributes follow its semantic conventions for HTTP and databases. Its own instrumentation
of Flask records more of a request than this service promises operators (docs/decisions/0029).
"""

import logging
import re
import traceback
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import cache, lru_cache
from importlib.metadata import entry_points
from typing import Any, Final

import psycopg2
from flask import Flask
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace import Span, SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from app.core.logs import redact
from app.core.version import __version__
from app.db.base import Base
from app.db.sending import RECORDING
from app.web.edge import WATCHED_PATHS
from app.web.request import Request, TraceContext, current
from app.web.response import Response

SERVICE: Final = {"service.name": "tasks-api", "service.version": __version__}

PROTOCOLS: Final = {"http/protobuf": "otlp_proto_http", "grpc": "otlp_proto_grpc"}
"""Entry points of the OTLP exporters by protocol."""

METHODS: Final = {"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"}


OPERATIONS: Final = {
    "delete from": "DELETE",
    "update": "UPDATE",
    "insert into": "INSERT",
    "join": "SELECT",
    "from": "SELECT",
}

LONGEST_SUMMARY: Final = 255


class Recorder:
    """Records a span for each request, with a child span for each of its statements."""

    def __init__(self, provider: trace.TracerProvider) -> None:
        self.tracer = provider.get_tracer("app")
        self.propagator = TraceContextTextMapPropagator()

    def begin(self) -> None:
        """Start the span of the current request, except for health checks and metrics."""
        incoming = current()
        if incoming.path in WATCHED_PATHS:
            return
        parent = self.propagator.extract(incoming.headers, Context())
        name, attributes = request_attributes(incoming)
        span = self.tracer.start_as_current_span(name, parent, SpanKind.SERVER, attributes)
        incoming.spans = ExitStack()
        incoming.trace = context_of(incoming.spans.enter_context(span))
        RECORDING.set(self.statement if incoming.trace.sampled else None)

    def finish(self, response: Response) -> Response:
        """Record the status; only 5xx is an error."""
        incoming = current()
        if incoming.spans:
            span = trace.get_current_span()
            span.set_attribute("http.response.status_code", response.status_code)
            if response.status_code >= 500:
                record_failure(span, incoming, response.status_code)
        return response

    def end(self, _error: BaseException | None) -> None:
        """End the span of the current request."""
        if spans := current().spans:
            spans.close()

    @contextmanager
    def statement(self, database: Any, sql: str) -> Iterator[str]:
        """Record a statement without its values, and the class and SQLSTATE of an error."""
        with self.tracer.start_as_current_span(
            said := summary(sql),
            kind=SpanKind.CLIENT,
            attributes=statement_attributes(database, said),
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                yield context_of(span).traceparent
            except psycopg2.Error as error:
                span.set_attribute("error.type", class_name(error))
                if error.pgcode:
                    span.set_attribute("db.response.status_code", error.pgcode)
                span.set_status(StatusCode.ERROR)
                raise

    def init_app(self, app: Flask) -> None:
        """Record the requests of this application."""
        # OpenTelemetry logs each invalid tracestate at WARNING, with text of the client.
        logging.getLogger("opentelemetry.trace").setLevel(logging.ERROR)
        app.before_request(self.begin)
        app.after_request(self.finish)
        app.teardown_request(self.end)


def request_attributes(incoming: Request) -> tuple[str, dict[str, str]]:
    """Return the name and the attributes of a request's span: no query, header or address."""
    rule = incoming.url_rule
    method = incoming.method if incoming.method in METHODS else "_OTHER"
    attributes = {
        "http.request.method": method,
        "url.scheme": incoming.scheme,
        "url.path": incoming.path if rule else redact(incoming.path),
        "network.protocol.version": incoming.environ["SERVER_PROTOCOL"].rpartition("/")[2],
    }
    name = "HTTP" if method == "_OTHER" else method
    if rule is None:
        return name, attributes
    return f"{name} {rule.rule}", {**attributes, "http.route": rule.rule}


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


def statement_attributes(database: Any, said: str) -> dict[str, Any]:
    """Return the attributes of a statement's span; `database` is psycopg2's ConnectionInfo."""
    named = {
        "server.address": database.host,
        "server.port": database.port,
        "db.namespace": database.dbname,
        "db.system.name": "postgresql",
        "db.query.summary": said,
        "db.operation.name": said.split(" ")[0],
    }
    return {name: value for name, value in named.items() if value}


def record_failure(span: Span, incoming: Request, status: int) -> None:
    """Record why the server failed; secrets in an exception are masked as in the log."""
    kind = incoming.problem or str(status)
    if error := incoming.defect:
        kind = class_name(error)
        stack = redact("".join(traceback.format_exception(error)))
        masked = {"exception.message": redact(str(error)), "exception.stacktrace": stack}
        span.record_exception(error, masked)
    span.set_attribute("error.type", kind)
    span.set_status(StatusCode.ERROR)


def context_of(span: Span) -> TraceContext:
    """Return the trace context of a span."""
    place = span.get_span_context()
    return TraceContext(f"{place.trace_id:032x}", f"{place.span_id:016x}", place.trace_flags)


def class_name(error: BaseException) -> str:
    """Return the qualified name of the error's class."""
    return f"{type(error).__module__}.{type(error).__qualname__}"


def exporter(name: str, environment: Mapping[str, str]) -> SpanExporter:
    """Return a new exporter with this name. Raises LookupError if it is not installed."""
    if name == "otlp":
        general = environment.get("OTEL_EXPORTER_OTLP_PROTOCOL") or "http/protobuf"
        protocol = environment.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") or general
        name = PROTOCOLS.get(protocol, protocol)
    for found in entry_points(group="opentelemetry_traces_exporter", name=name):
        made: SpanExporter = found.load()()
        return made
    raise LookupError(f"no exporter is installed that is named {name}")


def provider(environment: Mapping[str, str]) -> TracerProvider:
    """Return a new tracer provider. Raises what the SDK raises for an invalid variable."""
    named = OTELResourceDetector().detect().attributes
    made = TracerProvider(resource=Resource.create({**SERVICE, **named}))
    for name in (environment.get("OTEL_TRACES_EXPORTER") or "otlp").split(","):
        made.add_span_processor(BatchSpanProcessor(exporter(name.strip(), environment)))
    return made


def init_app(app: Flask, environment: Mapping[str, str]) -> None:
    """Record the requests of this application with the exporters that the environment names.

    gunicorn forks its workers afterwards; the SDK restarts its threads in each of them.
    """
    made = provider(environment)
    trace.set_tracer_provider(made)
    Recorder(made).init_app(app)
