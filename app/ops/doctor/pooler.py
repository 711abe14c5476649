"""Whether a pooler stands before the database, and how it shares connections."""

from contextlib import closing
from typing import Any, Final

import psycopg2

from app.ops.doctor.deployment import Deployment, rows
from app.ops.doctor.findings import Finding

ATTEMPTS: Final = 10


def pooler(deployment: Deployment) -> list[Finding]:
    """Whether a pooler, if there is one, shares connections for each transaction."""
    mode = pool_mode(deployment, deployment.url)
    if mode is None:
        return [Finding("none stands between")]
    code = None if mode == "transaction" else f"pooler.{mode}"
    return [Finding(f"connections are shared for each {mode}", code)]


def migrations(deployment: Deployment) -> list[Finding]:
    """Whether migrations have a connection of their own, as their locks and settings need."""
    own = deployment.settings.database_url_unpooled is not None
    variable = "DATABASE_URL_UNPOOLED" if own else "DATABASE_URL"
    if pool_mode(deployment, deployment.migration_url) not in {"transaction", "statement"}:
        return [Finding(f"migrations run on {variable}, on a connection of their own")]
    if own:
        return [Finding("DATABASE_URL_UNPOOLED leads through a pooler", "migrations.pooled")]
    text = "migrations would run through the pooler of DATABASE_URL"
    return [Finding(text, "migrations.unset")]


def pool_mode(deployment: Deployment, url: str) -> str | None:
    """How a pooler before the database shares connections, if there is one.

    PostgreSQL tells each client the number of its process (PostgreSQL, "Message Formats",
    BackendKeyData). Poolers send numbers of their own, but so does Neon's proxy, which shares
    nothing: so try what is shared. Raises psycopg2.Error.
    """
    with closing(deployment.connect(url)) as one, closing(deployment.connect(url)) as other:
        processes = {process(one), process(other)}
        if one.info.backend_pid in processes:
            return None
        if refuses_transactions(one):
            return "statement"
        if shares(one, other):
            return "transaction"
    for _ in range(ATTEMPTS):
        with closing(deployment.connect(url)) as later:
            if process(later) in processes:
                return "session"
    return None


def process(connection: Any) -> int:
    """The number of the server's process that runs this connection's statement."""
    [(number,)] = rows(connection, "select pg_backend_pid()")
    return int(number)


def refuses_transactions(connection: Any) -> bool:
    """Whether a pooler in statement mode refuses a transaction. Raises psycopg2.Error."""
    try:
        rows(connection, "begin")
    except psycopg2.Error as error:
        if "statement pooling" in str(error):
            return True
        raise
    rows(connection, "rollback")
    return False


def shares(one: Any, other: Any) -> bool:
    """Whether two idle connections reach the same process, or one of them reaches several."""
    first = process(one)
    return any(process(other) == process(one) or process(one) != first for _ in range(ATTEMPTS))
