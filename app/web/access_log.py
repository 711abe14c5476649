"""The access log: one line per request."""

import logging
import time
from typing import Any, Final

from flask import Flask, has_request_context

from app.core import deadline
from app.core.logs import shown_path
from app.web.request import current
from app.web.response import Response

access: Final = logging.getLogger("app.access")


def context() -> dict[str, Any]:
    """The log fields that identify the current request; empty outside of requests.

    Source of the names: OpenTelemetry, "Trace Context in Log Formats".
    """
    if not has_request_context():
        return {}
    incoming = current()
    rule, trace = incoming.url_rule, incoming.trace
    return {
        "request_id": incoming.id,
        "trace_id": trace.trace_id,
        "span_id": trace.span_id,
        "method": incoming.method,
        "route": rule.rule if rule else None,
    }


def finish_request(response: Response) -> Response:
    """Log the request with its status, durations and user."""
    if access.isEnabledFor(logging.INFO):
        incoming = current()
        principal = incoming.principal
        fields = {
            **context(),
            "status": response.status_code,
            "duration_ms": round((time.perf_counter() - incoming.started) * 1000, 2),
            "database_ms": round(deadline.waited() * 1000, 2),
            "user_id": principal.user_id if principal else None,
        }
        if incoming.url_rule is None:
            fields["path"] = shown_path(incoming.path)
        access.info("request", extra={"fields": fields, "path": incoming.path})
    return response


def init_app(app: Flask) -> None:
    """Log every request of this application. Registered first, it runs after all other hooks."""
    app.after_request(finish_request)
