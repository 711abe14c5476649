"""The way to the database: who can read along, what stands between, how far it is."""

import time
from statistics import median
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import psycopg2

from app.database_url import is_here
from app.doctor.deployment import Deployment, rows
from app.doctor.findings import Finding
from app.failures import while_connecting
from app.users.tokens import LEEWAY_SECONDS

PID: Final = "select pg_backend_pid()"
ROUND_TRIPS: Final = 5
NEAR_MS: Final = 5.0
SKEW_SECONDS: Final = 1.0


def tls(deployment: Deployment) -> list[Finding]:
    """Whether somebody on the way can read along, or be taken for the server.

    Of this leg alone: what a pooler does behind it, it has to see to itself.
    """
    info, parts = deployment.connection.info, urlsplit(deployment.url)
    if not info.ssl_in_use:
        if is_here(parts):
            return [Finding("none, as the connection stays on this host")]
        return [Finding("whoever is on the way can read along", "tls.plain")]
    protocol = info.ssl_attribute("protocol")
    [mode] = parse_qs(parts.query).get("sslmode", [""])
    if mode not in {"verify-ca", "verify-full"} and not is_here(parts):
        text = f"{protocol}, but any server would be taken for the right one"
        return [Finding(text, "tls.unverified")]
    return [Finding(f"{protocol}, {f'sslmode={mode}' if mode else 'on this host'}")]


def is_pooled(connection: Any) -> bool:
    """Whether something stands between that gives out its own numbers for the server's processes
    (PostgreSQL, "Message Formats", BackendKeyData).
    """
    return bool(rows(connection, PID) != [(connection.info.backend_pid,)])


def mode(connection: Any, other: Any) -> str | None:
    """The pool mode of what stands between, if anything does; asked on two idle connections.

    Where sessions are pooled, neither has the other's process while both are open.
    """
    if not is_pooled(connection):
        return None
    try:
        rows(connection, "begin")
    except psycopg2.Error as error:
        if "statement pooling" in str(error):
            return "statement"
        raise
    rows(connection, "rollback")
    for _ in range(ROUND_TRIPS):
        if rows(connection, PID) == rows(other, PID):
            return "transaction"
    return "session"


def pooler(deployment: Deployment) -> list[Finding]:
    """Whether a pooler shares connections as it should."""
    other = deployment.connect()
    try:
        found = mode(deployment.connection, other)
    finally:
        other.close()
    if found is None:
        return [Finding("none stands between")]
    code = None if found == "transaction" else f"pooler.{found}"
    return [Finding(f"connections are shared for each {found}", code)]


def migrations(deployment: Deployment) -> list[Finding]:
    """Whether migrations get a connection of their own."""
    if deployment.settings.database_url_unpooled is None:
        if is_pooled(deployment.connection):
            text = "migrations would run through the pooler of DATABASE_URL"
            return [Finding(text, "migrations.unset")]
        return [Finding("migrations run on DATABASE_URL, which is the database itself")]
    try:
        direct = deployment.connect_to_migrate()
    except psycopg2.Error as error:
        text = f"DATABASE_URL_UNPOOLED: {while_connecting(error).advice}"
        return [Finding(text, "migrations.unreachable")]
    try:
        pooled = is_pooled(direct)
    finally:
        direct.close()
    if pooled:
        text = "DATABASE_URL_UNPOOLED leads through a pooler"
        return [Finding(text, "migrations.pooled")]
    return [Finding("migrations run on DATABASE_URL_UNPOOLED, which is the database itself")]


def latency(deployment: Deployment) -> list[Finding]:
    """How long a round trip takes, of which each request is one."""
    times = []
    for _ in range(ROUND_TRIPS):
        started = time.perf_counter()
        deployment.ask("select 1")
        times.append((time.perf_counter() - started) * 1000)
    milliseconds = median(times)
    text = f"a round trip takes {milliseconds:.2g} ms"
    return [Finding(text, "latency.high" if milliseconds > NEAR_MS else None)]


def clock(deployment: Deployment) -> list[Finding]:
    """Whether both clocks agree: tokens are made by one and compared with the other."""
    before = time.time()
    there = deployment.one("select extract(epoch from clock_timestamp())::float")
    after = time.time()
    skew = max(0.0, before - there, there - after)
    if skew <= SKEW_SECONDS:
        return [Finding("the clocks of both hosts agree")]
    text = f"the clocks of both hosts differ by {skew:.0f} s"
    return [Finding(text, "clock.wrong" if skew > LEEWAY_SECONDS else "clock.skewed")]
