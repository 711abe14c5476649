"""What the database is, and whether it has what the service needs of it."""

from typing import Final

import psycopg2

from app.core.database_url import without_credentials
from app.db.failures import while_connecting
from app.db.pool import most_connections, usual_connections
from app.ops.doctor.deployment import Deployment, listed
from app.ops.doctor.findings import Finding

OLDEST: Final = 15
OVERDUE_HOURS: Final = 48

OLDEST_KEY: Final = """
select coalesce(extract(epoch from now() - min(created_at)) / 3600, 0)::float from idempotency_keys
"""

LOGGED: Final = """
select current_setting('log_min_error_statement'), current_setting('log_min_duration_statement')
"""
NOT_FOR_ERRORS: Final = ("log", "fatal", "panic")

LIMITS: Final = """
select current_setting('max_connections')::int
        - current_setting('superuser_reserved_connections')::int
        - coalesce(current_setting('reserved_connections', true), '0')::int,
    (select rolconnlimit from pg_roles where rolname = session_user),
    (select datconnlimit from pg_database where datname = current_database())
"""


def database(deployment: Deployment) -> list[Finding]:
    """Whether there is one. Raises nothing where there is none."""
    place = without_credentials(deployment.url).rpartition("@")[2]
    try:
        deployment.ask("select 1")
    except psycopg2.Error as error:
        text = f"{place} is not to be had: {while_connecting(error).advice}"
        return [Finding(text, "database.unreachable")]
    return [Finding(f"{place} answers")]


def version(deployment: Deployment) -> list[Finding]:
    """Whether the server is one that the service is tested with."""
    name, number = deployment.one("show server_version"), deployment.connection.server_version
    if number // 10_000 < OLDEST:
        return [Finding(f"the server is PostgreSQL {name}", "version.old")]
    return [Finding(f"PostgreSQL {name}")]


def encoding(deployment: Deployment) -> list[Finding]:
    """Whether every text can be kept, and found in whatever letter case."""
    name = deployment.one("show server_encoding")
    if name != "UTF8":
        return [Finding(f"the database is encoded in {name}", "encoding.other")]
    if deployment.one("select lower('Ä')") != "ä":
        return [Finding("the database does not know that ä is a small Ä", "encoding.letters")]
    return [Finding("the database holds every text and knows its letters")]


def writes(deployment: Deployment) -> list[Finding]:
    """Whether anything can be written."""
    if deployment.one("select pg_is_in_recovery()"):
        return [Finding("the server is a standby, which takes no writes", "writes.refused")]
    if deployment.one("show default_transaction_read_only") == "on":
        return [Finding("transactions are read-only by default", "writes.refused")]
    return [Finding("the database takes writes")]


def server_log(deployment: Deployment) -> list[Finding]:
    """Whether statements that fail or are slow are logged, and what users wrote with them."""
    [(failed, slow)] = deployment.ask(LOGGED)
    if failed not in NOT_FOR_ERRORS:
        text = f"log_min_error_statement is {failed}: statements that fail are logged"
        return [Finding(f"{text} with what users wrote", "server_log.failed")]
    if slow != "-1":
        text = f"log_min_duration_statement is {slow}: statements that take longer are logged"
        return [Finding(f"{text} with what users wrote", "server_log.slow")]
    return [Finding("the server logs no statement for having failed or being slow")]


def connections(deployment: Deployment) -> list[Finding]:
    """Whether the server has room for all that this instance may open, and for another's."""
    settings = deployment.settings
    wanted = settings.web_concurrency * most_connections(settings)
    if deployment.pool_mode in {"transaction", "statement"}:
        return [Finding(f"up to {wanted} of this instance, which the pooler shares out")]
    [limits] = deployment.ask(LIMITS)
    room = min(limit for limit in limits if limit >= 0)
    text = f"this instance may open {wanted} connections, the server takes {room}"
    if wanted > room:
        return [Finding(text, "connections.short")]
    if 2 * settings.web_concurrency * usual_connections(settings) > room:
        return [Finding(f"{text}: not enough for two instances", "connections.tight")]
    return [Finding(text)]


def schema(deployment: Deployment) -> list[Finding]:
    """Whether the schema is the one that this release was written for."""
    head = deployment.head
    if deployment.one("select to_regclass('alembic_version') is null"):
        return [Finding("the database has no schema of this service", "schema.unmigrated")]
    with deployment.undone():
        deployment.ask("set local role tasks_app")
        found = [name for (name,) in deployment.ask("select version_num from alembic_version")]
    if found == [head]:
        return [Finding(f"the schema is at {head}, as it should be")]
    text = f"the schema is at {listed(found) or 'nothing'}, this release was written for {head}"
    known = set(found) <= deployment.revisions
    return [Finding(text, "schema.behind" if known else "schema.ahead")]


def purge(deployment: Deployment) -> list[Finding]:
    """Whether what has expired is removed: idempotency keys do after a day."""
    with deployment.undone():
        deployment.ask("set local role tasks_maintenance")
        hours = deployment.one(OLDEST_KEY)
    if hours > OVERDUE_HOURS:
        text = f"an idempotency key is {hours / 24:.0f} days old, and of use for one"
        return [Finding(text, "purge.overdue")]
    return [Finding("what has expired is removed")]
