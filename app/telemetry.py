"""OpenTelemetry, set up by its own environment variables; imported only where they ask for traces.

Source: OpenTelemetry, "Environment Variable Specification".
"""

import logging
from collections.abc import Mapping
from functools import partial
from importlib.metadata import entry_points

from flask import Flask
from opentelemetry import trace
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace import NoOpTracerProvider

from app.recording import Recorder
from app.version import __version__

SERVICE_NAME = "tasks-api"

PROTOCOLS = {"http/protobuf": "otlp_proto_http", "grpc": "otlp_proto_grpc"}
"""What the packages of the exporters call themselves, by the protocol of OTLP that they speak."""

logger = logging.getLogger(__name__)


def exporters(environment: Mapping[str, str]) -> list[type[SpanExporter]]:
    """What spans are sent with. Raises LookupError for what is not installed."""
    names = environment.get("OTEL_TRACES_EXPORTER") or "otlp"
    return [_exporter(name.strip(), environment) for name in names.split(",")]


def _exporter(name: str, environment: Mapping[str, str]) -> type[SpanExporter]:
    if name == "otlp":
        general = environment.get("OTEL_EXPORTER_OTLP_PROTOCOL") or "http/protobuf"
        protocol = environment.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") or general
        name = PROTOCOLS.get(protocol, protocol)
    found = [*entry_points(group="opentelemetry_traces_exporter", name=name)]
    if not found:
        raise LookupError(f"no exporter is installed that is named {name}")
    kind: type[SpanExporter] = found[0].load()
    return kind


def provider(kinds: list[type[SpanExporter]], version: str) -> trace.TracerProvider:
    """What makes tracers in this process; one that records nothing if a variable is wrong."""
    named = OTELResourceDetector().detect().attributes
    service = {"service.name": SERVICE_NAME, "service.version": version, **named}
    try:
        made = TracerProvider(resource=Resource.create(service))
        for kind in kinds:
            made.add_span_processor(BatchSpanProcessor(kind()))
    except Exception:  # they are parsed in many places; no request is to fail for any of them
        logger.exception("traces are not recorded, as a variable of OpenTelemetry is wrong")
        return NoOpTracerProvider()
    trace.set_tracer_provider(made)
    return made


def init_app(app: Flask, environment: Mapping[str, str]) -> None:
    """Record each request of this application, if there is something to send the spans with."""
    try:
        kinds = exporters(environment)
    except (LookupError, ImportError) as error:
        logger.warning("traces are asked for, but not recorded: %s", error)
    else:
        Recorder(partial(provider, kinds, __version__)).init_app(app)
