"""Which requests are traced, by OpenTelemetry's environment variables.

A sampled request has its statements marked. Spans are recorded by spans.py, which is imported only
if the variables ask for it: OpenTelemetry is an optional dependency.
"""

import logging
from collections.abc import Mapping
from contextlib import nullcontext
from typing import Final

from flask import Flask

from app.core import trace_context
from app.db.tracing import RECORDING
from app.web.request import current

EXPORTERS: Final = (
    "OTEL_TRACES_EXPORTER",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
)
"""Any of them asks for spans; the packages of OpenTelemetry alone do not."""

logger = logging.getLogger(__name__)


def takes_traces(environment: Mapping[str, str]) -> bool:
    """Whether a request may name its trace."""
    names = environment.get("OTEL_PROPAGATORS") or "tracecontext"
    return "tracecontext" in (name.strip() for name in names.split(","))


def is_wanted(environment: Mapping[str, str]) -> bool:
    """Whether the operator asks for spans."""
    disabled = environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    none = environment.get("OTEL_TRACES_EXPORTER", "").strip().lower() == "none"
    return not disabled and not none and any(environment.get(name) for name in EXPORTERS)


def begin_anew() -> None:
    """Begin a new trace, whatever the request names."""
    incoming = current()
    incoming.environ.pop("HTTP_TRACEPARENT", None)
    incoming.trace = trace_context.new()


def begin() -> None:
    """Mark the statements of the current request if it is sampled."""
    if (trace := current().trace).sampled:
        RECORDING.set(lambda _database, _sql: nullcontext(trace.traceparent))


def end(_error: BaseException | None) -> None:
    """Stop marking the statements of this thread."""
    RECORDING.set(None)


def init_app(app: Flask, environment: Mapping[str, str]) -> None:
    """Trace the requests of this application, and record them if the operator asks for it."""
    if not takes_traces(environment):
        app.before_request(begin_anew)
    app.before_request(begin)
    app.teardown_request(end)
    if is_wanted(environment):
        record(app, environment)


def record(app: Flask, environment: Mapping[str, str]) -> None:
    """Record spans; if that is impossible, the log says why, and the service runs without."""
    try:
        from app.ops import spans

        spans.init_app(app, environment)
    except ImportError as error:
        message = "traces are asked for, but not recorded: install requirements-otel.txt (%s)"
        logger.warning(message, error)
    except Exception as error:  # the SDK parses its variables in many places
        logger.warning("traces are asked for, but not recorded: %s", error)
