"""Tracing, configured by OpenTelemetry's environment variables.

Statements of a sampled request carry its trace context. spans.py records spans; it is imported only
if the variables ask for spans, because OpenTelemetry is an optional dependency.
"""

import logging
from collections.abc import Mapping
from contextlib import nullcontext
from typing import Final

from flask import Flask

from app.db.sending import RECORDING
from app.web.request import TraceContext, current

EXPORTERS: Final = (
    "OTEL_TRACES_EXPORTER",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
)
"""Variables that enable spans; installing OpenTelemetry alone does not."""

logger = logging.getLogger(__name__)


def takes_traces(environment: Mapping[str, str]) -> bool:
    """Whether the `traceparent` header of requests is respected."""
    names = environment.get("OTEL_PROPAGATORS") or "tracecontext"
    return "tracecontext" in (name.strip() for name in names.split(","))


def is_wanted(environment: Mapping[str, str]) -> bool:
    """Whether the environment enables spans."""
    disabled = environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    none = environment.get("OTEL_TRACES_EXPORTER", "").strip().lower() == "none"
    return not disabled and not none and any(environment.get(name) for name in EXPORTERS)


def init_app(app: Flask, environment: Mapping[str, str]) -> None:
    """Trace the requests of this application, and record spans if the environment enables them."""
    respected = takes_traces(environment)

    def begin() -> None:
        """Add the trace context to statements of the current request if it is sampled."""
        incoming = current()
        if not respected:
            incoming.environ.pop("HTTP_TRACEPARENT", None)
            incoming.trace = TraceContext.new()
        if (trace := incoming.trace).sampled:
            RECORDING.set(lambda _database, _sql: nullcontext(trace.traceparent))

    def end(_error: BaseException | None) -> None:
        RECORDING.set(None)

    app.before_request(begin)
    app.teardown_request(end)
    if is_wanted(environment):
        record(app, environment)


def record(app: Flask, environment: Mapping[str, str]) -> None:
    """Record spans; if that fails, log why and run without."""
    try:
        from app.ops import spans

        spans.init_app(app, environment)
    except ImportError as error:
        message = "traces are asked for, but not recorded: install requirements-otel.txt (%s)"
        logger.warning(message, error)
    except Exception as error:  # the SDK does not document what invalid variables raise
        logger.warning("traces are asked for, but not recorded: %s", error)
