"""/health: the process answers. /health/db: the database does, and how."""

import re
import time
from pathlib import Path
from threading import Lock
from typing import Any, Final, Literal, cast

import psycopg2
from apiflask import APIBlueprint
from flask import Flask, Response, current_app
from pydantic import BaseModel, ConfigDict
from sqlalchemy.pool import QueuePool

from app.auth.operators import is_operator
from app.core import lifecycle
from app.core.config import ROOT
from app.db.base import db
from app.db.pool import beside_the_pool, connect_parameters
from app.db.scope import Role, Scope
from app.web.request import current
from app.web.response import json_response

DEADLINE_SECONDS: Final = 0.8
FRESH_SECONDS: Final = 1.0

QUERY: Final = "select version_num from alembic_version"
# PostgreSQL, "Error Codes": the role, the table or the right to read it is not there yet.
UNMIGRATED: Final = ("22023", "42P01", "42501")

REVISION: Final = re.compile(r"^(down_)?revision\b[^=\n]* = (.*)", re.MULTILINE)
"""A line that Alembic writes into each migration: its own name, and those that it follows."""

EXTENSION: Final = "database_probe"

NO_POOL: Final = {"open": 0, "in_use": 0, "limit": 0}

blueprint: Final = APIBlueprint("health", __name__, tag="Health")


class Health(BaseModel):
    """The process takes requests, or is about to end."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"status": "ok"}]})

    status: Literal["ok", "draining"]


class PoolUse(BaseModel):
    """Connections of this process: kept open, in use, and the most there may be.

    All are 0 where they are not shown.
    """

    open: int
    in_use: int
    limit: int


class Revision(BaseModel):
    """The schema the database has and the one this release was written for.

    Both are null where they are not shown.
    """

    current: str | None
    head: str | None
    up_to_date: bool


class DatabaseHealth(BaseModel):
    """Whether the database answers; milliseconds, of connecting and of one query."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "status": "ok",
                    "connect_ms": 4.21,
                    "latency_ms": 0.87,
                    "pool": {"open": 2, "in_use": 1, "limit": 20},
                    "revision": {"current": "0001", "head": "0001", "up_to_date": True},
                }
            ]
        }
    )

    status: Literal["ok", "unmigrated", "unavailable"]
    connect_ms: float | None
    latency_ms: float | None
    pool: PoolUse
    revision: Revision


class Probe:
    """Asks the database on a connection of its own, which neither a full pool nor a silent server
    can hold up: it is never waited for longer than the deadline.
    """

    def __init__(self, parameters: dict[str, Any], head: str | None) -> None:
        self.parameters = parameters
        self.head = head
        self.lock = Lock()
        self.latest: tuple[float, dict[str, Any]] | None = None

    def look(self) -> dict[str, Any]:
        """What the database answered within the last second, or answers now."""
        if not self.lock.acquire(timeout=DEADLINE_SECONDS):
            return self._nothing()
        try:
            if self.latest is None or time.monotonic() - self.latest[0] > FRESH_SECONDS:
                answer = self._ask()
                self.latest = (time.monotonic(), answer)
            return self.latest[1]
        finally:
            self.lock.release()

    def _nothing(self) -> dict[str, Any]:
        revision = {"current": None, "head": self.head, "up_to_date": False}
        return {
            "status": "unavailable",
            "connect_ms": None,
            "latency_ms": None,
            "revision": revision,
        }

    def _ask(self) -> dict[str, Any]:
        answer, started = self._nothing(), time.perf_counter()
        try:
            with (
                beside_the_pool(self.parameters, DEADLINE_SECONDS) as connection,
                connection.cursor() as cursor,
            ):
                connected = time.perf_counter()
                answer["connect_ms"] = round((connected - started) * 1000, 2)
                cursor.execute(Scope(Role.APP).prefix(int(DEADLINE_SECONDS * 1000)) + QUERY)
                current = cursor.fetchone()[0]
        except psycopg2.Error as error:
            if error.pgcode in UNMIGRATED:
                answer["status"] = "unmigrated"
            return answer
        answer["status"] = "ok"
        answer["latency_ms"] = round((time.perf_counter() - connected) * 1000, 2)
        answer["revision"] |= {"current": current, "up_to_date": current == self.head}
        return answer


@blueprint.get("/health")
@blueprint.output(Health)
def get_health() -> Response:
    """Whether the process takes requests

    Never touches the database, so that a balancer may ask often without keeping it awake. Once the
    service is told to end, an answer of 503 has the same form and says `draining`; requests are
    still served, but not for long.
    """
    if lifecycle.stopping():
        return json_response({"status": "draining"}, 503)
    return json_response({"status": "ok"})


@blueprint.get("/health/db")
@blueprint.output(DatabaseHealth)
def get_database_health() -> Response:
    """Whether the database answers

    Within a second, whatever the database does; looked at once a second at most. An answer of 503
    has the same form. Times, pool and names of revisions are shown to the operator: the bearer of
    METRICS_TOKEN, and who asks from the same host without a proxy. Anyone else is told `status` and
    `up_to_date`, with null or 0 for the rest.
    """
    answer = current_app.extensions[EXTENSION].look()
    status = 200 if answer["status"] == "ok" else 503
    if is_operator(current()):
        return json_response({**answer, "pool": pool_use()}, status)
    return json_response(withheld(answer), status)


def withheld(answer: dict[str, Any]) -> dict[str, Any]:
    """What anyone is told: `status` and `up_to_date`, in the form of the whole answer."""
    revision = {"current": None, "head": None, "up_to_date": answer["revision"]["up_to_date"]}
    times = {"connect_ms": None, "latency_ms": None}
    return {**answer, **times, "pool": NO_POOL, "revision": revision}


def head_revision(versions: Path) -> str | None:
    """The migration that no other follows, read as text: it takes Alembic longer to be imported
    than everything else here. Raises ValueError if there are several.
    """
    named: dict[str, set[str]] = {"": set(), "down_": set()}
    for path in versions.glob("*.py"):
        for down, value in REVISION.findall(path.read_text(encoding="utf-8")):
            named[down].update(re.findall(r"[\"'](\w+)[\"']", value))
    heads = named[""] - named["down_"]
    if len(heads) > 1:
        raise ValueError(f"migrations with no successor: {', '.join(sorted(heads))}")
    return heads.pop() if heads else None


def pool_use() -> dict[str, int]:
    """The pool of this process: connections that are open, in use, and the most there may be."""
    pool = cast(QueuePool, db.engine.pool)
    limit: int = current_app.config["DATABASE_CONNECTIONS"]
    return {
        "open": pool.checkedin() + pool.checkedout(),
        "in_use": pool.checkedout(),
        "limit": limit,
    }


def init_app(app: Flask) -> None:
    """Find out what to ask, and which revision this release expects."""
    with app.app_context():
        parameters = connect_parameters(db.engine, app.config["SETTINGS"])
    versions = ROOT / "migrations" / "versions"
    app.extensions[EXTENSION] = Probe(parameters, head_revision(versions))
