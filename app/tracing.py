"""Traces: how the database hears of them, and whether OpenTelemetry is to record them.

A flight of a sampled request begins with a comment that names its span, so that what PostgreSQL
logs, explains or shows in pg_stat_activity is found by its trace. It comes first, as what is shown
there ends after a kilobyte. Source: OpenTelemetry, "sqlcommenter".
"""

import logging
from collections.abc import Mapping
from typing import Any, Final

from flask import Flask, has_request_context
from sqlalchemy import PoolProxiedConnection

from app import trace_context
from app.exchange import current
from app.trace_context import TraceContext

EXPORTERS: Final = (
    "OTEL_TRACES_EXPORTER",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
)
"""Any of them asks for traces; the OpenTelemetry packages alone do not."""

logger = logging.getLogger(__name__)


class Cursor:
    """A cursor that tells the server with each flight to which span it belongs."""

    def __init__(self, cursor: Any, trace: TraceContext) -> None:
        self.cursor = cursor
        self.trace = trace

    def execute(self, text: str | bytes, parameters: Any = None) -> None:
        """As ever, behind a comment of hexadecimal digits and hyphens."""
        comment = f"/*traceparent='{self.trace.traceparent}'*/ "
        whole = comment.encode() + text if isinstance(text, bytes) else comment + text
        self.cursor.execute(whole, parameters)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.cursor, name)


def cursor(connection: PoolProxiedConnection) -> Any:
    """A cursor of the connection, for all that this thread's request sends on it."""
    plain = connection.cursor()
    if not has_request_context() or not (incoming := current()).trace.sampled:
        return plain
    if incoming.recording:
        return incoming.recording.cursor(plain)
    return Cursor(plain, incoming.trace)


def note_defect(error: Exception) -> None:
    """Have the trace show what nobody foresaw."""
    if recording := current().recording:
        recording.note_defect(error)


def begin_anew() -> None:
    """Begin a trace here, whatever the request names."""
    current().trace = trace_context.new()


def takes_traces(environment: Mapping[str, str]) -> bool:
    """Whether a request may name its trace."""
    names = environment.get("OTEL_PROPAGATORS") or "tracecontext"
    return "tracecontext" in (name.strip() for name in names.split(","))


def is_wanted(environment: Mapping[str, str]) -> bool:
    """Whether the operator asks OpenTelemetry for traces, by its own variables."""
    disabled = environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    none = environment.get("OTEL_TRACES_EXPORTER", "").strip().lower() == "none"
    return not disabled and not none and any(environment.get(name) for name in EXPORTERS)


def init_app(app: Flask, environment: Mapping[str, str]) -> None:
    """Record the requests of this application if that is asked for and can be done."""
    if not takes_traces(environment):
        app.before_request(begin_anew)
    if not is_wanted(environment):
        return
    try:
        from app import telemetry
    except ImportError as error:
        message = "traces are asked for, but not recorded: install requirements-otel.txt (%s)"
        logger.warning(message, error)
    else:
        telemetry.init_app(app, environment)
