"""GET /metrics, for the bearer of METRICS_TOKEN."""

import platform
import time
from typing import Final

from apiflask import APIFlask
from flask import Blueprint, Response, current_app

from app.api.health.probe import EXTENSION as PROBE
from app.auth.policies import bears_metrics_token
from app.core.metrics import tally
from app.core.metrics.families import BUILD, PLAIN, STARTED, Family, of_requests, pairs
from app.core.metrics.ledger import Ledger
from app.core.problem_kinds import UNAUTHENTICATED
from app.core.problems import Problem
from app.ops.metrics import recording
from app.ops.metrics.exposition import Exposition
from app.ops.metrics.size import DatabaseSize
from app.web.request import current
from app.web.response import Document

EXTENSION: Final = "metrics"

blueprint: Final = Blueprint("metrics", __name__)


@blueprint.before_request
def with_token() -> None:
    """Require METRICS_TOKEN. Raises Problem 401."""
    if not bears_metrics_token(current()):
        raise Problem(UNAUTHENTICATED, "Metrics are shown to the bearer of METRICS_TOKEN alone.")


@blueprint.get("/metrics")
def metrics() -> Response:
    """Respond with the metrics of all processes of this server."""
    exposition: Exposition = current_app.extensions[EXTENSION]
    body, media_type = exposition.write(current().environ.get("HTTP_ACCEPT", ""))
    return Document(body, media_type=media_type)


def constants(app: APIFlask) -> dict[Family, float]:
    """Return the metrics that do not change while the server runs."""
    python, schema = platform.python_version(), app.extensions[PROBE].head or ""
    build = BUILD._replace(series=((app.version, python, schema),))
    return {build: 1, STARTED: time.time()}


def init_app(app: APIFlask) -> None:
    """Start to count, and add /metrics; called last, because the series depend on the routes."""
    app.register_blueprint(blueprint)
    families = of_requests(pairs(app.url_map))
    ledger = Ledger([*PLAIN, *families])
    tally.use(ledger)
    recording.init_app(app, ledger, families)
    size = DatabaseSize(app.extensions[PROBE].parameters)
    app.extensions[EXTENSION] = Exposition(ledger, constants(app), size)
