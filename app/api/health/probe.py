"""The database check behind /health/db, and the schema revision that this release expects."""

import time
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Any, Final, cast

import psycopg2
from flask import Flask, current_app
from sqlalchemy.pool import QueuePool

from app.core.config import ROOT
from app.db.base import db
from app.db.nodes import ANSWERS, IS_CLUSTER, SERVERS
from app.db.pool import beside_the_pool, connect_parameters
from app.db.scope import Role, Scope

DEADLINE_SECONDS: Final = 0.8
FRESH_SECONDS: Final = 1.0

QUERY: Final = f"select version_num, {IS_CLUSTER} from alembic_version"  # noqa: S608 of ours

NODE_MILLISECONDS: Final = 200
"""How long a server of a cluster may take to answer."""

UNMIGRATED: Final = ("22023", "42P01", "42501")
"""SQLSTATEs of a missing role, a missing table and a missing privilege (PostgreSQL, appendix A)."""

EXTENSION: Final = "database_probe"


class Probe:
    """Asks the database on a connection outside the pool, with a deadline for connecting and query.

    So neither an exhausted pool nor a server that does not answer delays it.
    """

    def __init__(self, parameters: dict[str, Any], head: str | None) -> None:
        self.parameters = parameters
        self.head = head
        self.lock = Lock()
        self.latest: tuple[float, dict[str, Any]] | None = None

    def look(self) -> dict[str, Any]:
        """Return the answer of the last second, or ask the database now."""
        if not self.lock.acquire(timeout=DEADLINE_SECONDS):
            return report("unavailable", self.head)
        try:
            if self.latest is None or time.monotonic() - self.latest[0] > FRESH_SECONDS:
                answer = self._ask()
                self.latest = (time.monotonic(), answer)
            return self.latest[1]
        finally:
            self.lock.release()

    def _ask(self) -> dict[str, Any]:
        answer, started = report("unavailable", self.head), time.perf_counter()
        try:
            with (
                beside_the_pool(self.parameters, DEADLINE_SECONDS) as connection,
                connection.cursor() as cursor,
            ):
                connected = time.perf_counter()
                answer["connect_ms"] = round((connected - started) * 1000, 2)
                cursor.execute(Scope(Role.APP).prefix(int(DEADLINE_SECONDS * 1000)) + QUERY)
                current, is_cluster = cursor.fetchone()
                asked = time.perf_counter()
                if is_cluster:
                    look_at_nodes(cursor, answer["servers"])
        except psycopg2.Error as error:
            if error.pgcode in UNMIGRATED:
                answer["status"] = "unmigrated"
            return answer
        answer["status"] = "ok"
        answer["servers"]["known"] = answer["servers"]["known"] or 1
        answer["latency_ms"] = round((asked - connected) * 1000, 2)
        answer["revision"] |= {"current": current, "up_to_date": current == self.head}
        return answer


def look_at_nodes(cursor: Any, servers: dict[str, int]) -> None:
    """Count the servers of a cluster beside the coordinator, and those that do not answer it.

    It connects to them as the role that requests act as. Those for which no time is left count as
    away, as they are for requests. Raises psycopg2.Error.
    """
    cursor.execute(f"set role {Role.APP}; set citus.node_connection_timeout = {NODE_MILLISECONDS}")
    cursor.execute(SERVERS)
    nodes = cursor.fetchall()
    servers |= {"known": 1 + len(nodes), "away": len(nodes)}
    with suppress(psycopg2.Error):
        for node in nodes:
            cursor.execute(ANSWERS, node)
            servers["away"] -= cursor.fetchone()[0]


def report(status: str, head: str | None = None, *, up_to_date: bool = False) -> dict[str, Any]:
    """Return a DatabaseHealth with null or 0 for all that is not known, or not shown."""
    return {
        "status": status,
        "connect_ms": None,
        "latency_ms": None,
        "pool": {"open": 0, "in_use": 0, "limit": 0},
        "servers": {"known": 0, "away": 0},
        "revision": {"current": None, "head": head, "up_to_date": up_to_date},
    }


def pool_use() -> dict[str, int]:
    """Count the connections of this process: open, in use, and the most there may be."""
    pool = cast(QueuePool, db.engine.pool)
    return {
        "open": pool.checkedin() + pool.checkedout(),
        "in_use": pool.checkedout(),
        "limit": current_app.config["DATABASE_CONNECTIONS"],
    }


def head_revision(versions: Path) -> str | None:
    """Return the revision of the newest migration, or None without migrations.

    It begins the file's name, as migrations are numbered: importing Alembic to read them takes
    longer than starting the rest of the service.
    """
    names = [path.stem.partition("_")[0] for path in versions.glob("*.py")]
    return max(names, default=None)


def init_app(app: Flask) -> None:
    """Prepare the probe with the application's connection parameters and its newest migration."""
    with app.app_context():
        parameters = connect_parameters(db.engine, app.config["SETTINGS"])
    app.extensions[EXTENSION] = Probe(parameters, head_revision(ROOT / "migrations" / "versions"))
