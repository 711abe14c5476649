"""What is configured: the settings, the database and the way to it."""

import time
from typing import Final
from urllib.parse import parse_qs, urlsplit

import psycopg2

from app.auth.access_tokens import LEEWAY_SECONDS
from app.core.config import ROOT
from app.core.database_url import is_here, is_pooled, without_credentials
from app.db.failures import while_connecting
from app.ops.doctor.deployment import Deployment, listed
from app.ops.doctor.findings import Finding
from app.web.shared_counts import MEMORY

SKEW_SECONDS: Final = 1.0

LOGGED: Final = """
select current_setting('log_min_error_statement'), current_setting('log_min_duration_statement')
"""

KNOWS_LETTERS: Final = "select getdatabaseencoding() = 'UTF8' and lower(chr(196)) = chr(228)"


def environment(deployment: Deployment) -> list[Finding]:
    """Whether unsafe settings are refused."""
    code = None if deployment.settings.production else "environment.development"
    return [Finding(f"the environment is {deployment.settings.app_env}", code)]


def keys(deployment: Deployment) -> list[Finding]:
    """Which keys sign access tokens, and which are accepted as well."""
    settings, [present, *others] = deployment.settings, deployment.keys
    if settings.jwt_secret is None:
        whose = "another issuer's" if settings.jwt_jwks_url else "development's"
        return [Finding(f"access tokens are signed with {whose} keys")]
    accepted = listed([each.id for each in others])
    text = f"access tokens are signed with {present.id}"
    return [Finding(text + (f", those of {accepted} are taken as well" if others else ""))]


def hosts(deployment: Deployment) -> list[Finding]:
    """Whether requests with any Host header are served."""
    names = deployment.settings.trusted_hosts
    called = listed(names) or "whatever host it is called by"
    return [Finding(f"the service answers to {called}", None if names else "hosts.any")]


def proxies(deployment: Deployment) -> list[Finding]:
    """Whether the addresses of clients are taken from a proxy."""
    if count := deployment.settings.trusted_proxies:
        return [Finding(f"the last {count} of X-Forwarded-For is believed")]
    text = "no proxy is trusted: all clients behind one count as one address"
    return [Finding(text, "proxies.none")]


def counters(deployment: Deployment) -> list[Finding]:
    """Whether rate limits are on, and counted by all processes together."""
    settings, found = deployment.settings, []
    if settings.ratelimit_storage_uri == MEMORY and settings.web_concurrency > 1:
        text = f"each of {settings.web_concurrency} processes counts requests and sign-ins alone"
        found.append(Finding(text, "counters.apart"))
    if not (settings.ratelimit_per_user and settings.ratelimit_per_address):
        found.append(Finding("a limit of requests is off", "limits.off"))
    return found or [Finding("requests and failed sign-ins are counted in one place")]


def database(deployment: Deployment) -> list[Finding]:
    """Whether the database answers. Raises nothing if it does not."""
    place = without_credentials(deployment.url).rpartition("@")[2]
    try:
        deployment.ask("select 1")
    except psycopg2.Error as error:
        text = f"{place} is not to be had: {while_connecting(error).advice}"
        return [Finding(text, "database.unreachable")]
    return [Finding(f"{place} answers")]


def encoding(deployment: Deployment) -> list[Finding]:
    """Whether the database can store every text, and knows lower case from upper case."""
    if deployment.ask(KNOWS_LETTERS) != [(True,)]:
        return [Finding("the database does not know that ä is a small Ä", "encoding.letters")]
    return [Finding("the database holds every text and knows its letters")]


def server_log(deployment: Deployment) -> list[Finding]:
    """Whether PostgreSQL logs failed or slow statements, and with them what users wrote."""
    [(failed, slow)] = deployment.ask(LOGGED)
    text = f"log_min_error_statement is {failed}, log_min_duration_statement {slow}"
    discreet = failed in {"log", "fatal", "panic"} and slow == "-1"
    return [Finding(text, None if discreet else "server_log.values")]


def tls(deployment: Deployment) -> list[Finding]:
    """Whether the connection, up to a pooler if there is one, is encrypted and its end verified."""
    info, parts = deployment.connection.info, urlsplit(deployment.url)
    here = is_here(parts)
    if not info.ssl_in_use:
        if here:
            return [Finding("none, as the connection stays on this host")]
        return [Finding("anyone on the path can read the traffic", "tls.plain")]
    protocol = info.ssl_attribute("protocol")
    [mode] = parse_qs(parts.query).get("sslmode", [""])
    if mode not in {"verify-ca", "verify-full"} and not here:
        text = f"{protocol}, but any server would be taken for the right one"
        return [Finding(text, "tls.unverified")]
    return [Finding(f"{protocol}, {f'sslmode={mode}' if mode else 'on this host'}")]


def pooler(deployment: Deployment) -> list[Finding]:
    """Whether a pooler, if there is one, lets transactions through."""
    try:
        with deployment.undone():
            return [Finding("a statement may be part of a transaction")]
    except psycopg2.Error as error:
        if "statement pooling" not in str(error):
            raise
        return [Finding("connections are shared for each statement", "pooler.statement")]


def migrations(deployment: Deployment) -> list[Finding]:
    """Whether `flask db upgrade` reaches a database, and by a host that it accepts."""
    own = deployment.settings.database_url_unpooled is not None
    variable = "DATABASE_URL_UNPOOLED" if own else "DATABASE_URL"
    if is_pooled(deployment.migration_url):
        return [Finding(f"{variable} is a -pooler host, which they refuse", "migrations.pooled")]
    deployment.connect(deployment.migration_url).close()
    return [Finding(f"migrations run on {variable}")]


def clock(deployment: Deployment) -> list[Finding]:
    """Whether both clocks agree: tokens get their times from one and are checked by the other."""
    before = time.time()
    [(there,)] = deployment.ask("select extract(epoch from clock_timestamp())::float")
    skew = max(0.0, before - there, there - time.time())
    if skew <= SKEW_SECONDS:
        return [Finding("the clocks of both hosts agree")]
    text = f"the clocks of both hosts differ by {skew:.0f} s"
    return [Finding(text, "clock.wrong" if skew > LEEWAY_SECONDS else "clock.skewed")]


def schema(deployment: Deployment) -> list[Finding]:
    """Whether the schema has the revision that this release was written for."""
    if deployment.ask("select to_regclass('alembic_version')") == [(None,)]:
        return [Finding("the database has no schema of this service", "schema.behind")]
    head, found = deployment.head, deployment.revisions
    if found == [head]:
        return [Finding(f"the schema is at {head}, as it should be")]
    text = f"the schema is at {listed(found) or 'nothing'}, this release was written for {head}"
    known = all(list(ROOT.glob(f"migrations/versions/{name}_*.py")) for name in found)
    return [Finding(text, "schema.behind" if known else "schema.ahead")]
