"""The way to the database: who can read along, what stands between, how far it is."""

import time
from statistics import median
from typing import Final
from urllib.parse import parse_qs, urlsplit

import psycopg2

from app.auth.access_tokens import LEEWAY_SECONDS
from app.core.database_url import is_here
from app.db.failures import while_connecting
from app.ops.doctor.deployment import Deployment
from app.ops.doctor.findings import Finding
from app.ops.doctor.sessions import pool_mode

SHARED: Final = ("transaction", "statement")
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


def pooler(deployment: Deployment) -> list[Finding]:
    """Whether a pooler shares connections as it should."""
    mode = deployment.pool_mode
    if mode is None:
        return [Finding("none stands between")]
    code = None if mode == "transaction" else f"pooler.{mode}"
    return [Finding(f"connections are shared for each {mode}", code)]


def migrations(deployment: Deployment) -> list[Finding]:
    """Whether migrations get a connection of their own, which one of a session is."""
    if deployment.settings.database_url_unpooled is None:
        if deployment.pool_mode in SHARED:
            text = "migrations would run through the pooler of DATABASE_URL"
            return [Finding(text, "migrations.unset")]
        return [Finding("migrations run on DATABASE_URL, on a connection of their own")]
    try:
        mode = pool_mode(deployment.connect_to_migrate)
    except psycopg2.Error as error:
        text = f"DATABASE_URL_UNPOOLED: {while_connecting(error).advice}"
        return [Finding(text, "migrations.unreachable")]
    if mode in SHARED:
        text = "DATABASE_URL_UNPOOLED leads through a pooler"
        return [Finding(text, "migrations.pooled")]
    return [Finding("migrations run on DATABASE_URL_UNPOOLED, on a connection of their own")]


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
