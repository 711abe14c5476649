"""/health: the process answers. /health/db: the database does, and how."""

from typing import Final

from apiflask import APIBlueprint
from flask import Response, current_app

from app.api.health.probe import EXTENSION, pool_use, report
from app.api.health.schemas import DatabaseHealth, Health
from app.auth.policies import bears_metrics_token
from app.core import lifecycle
from app.web.request import current
from app.web.response import json_response

blueprint: Final = APIBlueprint("health", __name__, tag="Health")


@blueprint.get("/health")
@blueprint.output(Health)
def get_health() -> Response:
    """Whether the process takes requests

    Does not ask the database, so that a load balancer can check often. While the service shuts
    down, the response is 503 with the status `draining`; requests are still served for a while.
    """
    if lifecycle.stopping():
        return json_response({"status": "draining"}, 503)
    return json_response({"status": "ok"})


@blueprint.get("/health/db")
@blueprint.output(DatabaseHealth)
def get_database_health() -> Response:
    """Whether the database answers

    Responds within a second, whatever the database does, and asks it at most once a second. A
    response of 503 has the same form. In production, times, the pool and the revisions are shown
    only with METRICS_TOKEN. Others see `status` and `up_to_date`, with null or 0 for the rest.
    """
    found = current_app.extensions[EXTENSION].look()
    status = 200 if found["status"] == "ok" else 503
    if bears_metrics_token(current()) or not current_app.config["SETTINGS"].production:
        return json_response({**found, "pool": pool_use()}, status)
    return json_response(
        report(found["status"], up_to_date=found["revision"]["up_to_date"]), status
    )
