"""The database and the way to it: encoding, server log, TLS, clock and schema revision."""

import time
from typing import Final
from urllib.parse import parse_qs, urlsplit

import psycopg2

from app.api.health.probe import REVISION
from app.auth.access_tokens import LEEWAY_SECONDS
from app.core.config import ROOT
from app.core.database_url import is_here, without_credentials
from app.db.failures import while_connecting
from app.ops.doctor.deployment import Deployment, listed
from app.ops.doctor.findings import Finding

SKEW_SECONDS: Final = 1.0

LOGGED: Final = """
select current_setting('log_min_error_statement'), current_setting('log_min_duration_statement')
"""


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
    [(name,)] = deployment.ask("show server_encoding")
    if name != "UTF8":
        return [Finding(f"the database is encoded in {name}", "encoding.other")]
    if deployment.ask("select lower('Ä')") != [("ä",)]:
        return [Finding("the database does not know that ä is a small Ä", "encoding.letters")]
    return [Finding("the database holds every text and knows its letters")]


def server_log(deployment: Deployment) -> list[Finding]:
    """Whether PostgreSQL logs failed or slow statements, and with them what users wrote."""
    [(failed, slow)] = deployment.ask(LOGGED)
    if failed not in {"log", "fatal", "panic"}:
        text = f"log_min_error_statement is {failed}: statements that fail are logged"
        return [Finding(f"{text} with what users wrote", "server_log.failed")]
    if slow != "-1":
        text = f"log_min_duration_statement is {slow}: statements that take longer are logged"
        return [Finding(f"{text} with what users wrote", "server_log.slow")]
    return [Finding("the server logs no statement for having failed or being slow")]


def tls(deployment: Deployment) -> list[Finding]:
    """Whether the connection, up to a pooler if there is one, is encrypted and its end verified."""
    info, parts = deployment.connection.info, urlsplit(deployment.url)
    here = is_here(parts)
    if not info.ssl_in_use:
        if here:
            return [Finding("none, as the connection stays on this host")]
        return [Finding("whoever is on the way can read along", "tls.plain")]
    protocol = info.ssl_attribute("protocol")
    [mode] = parse_qs(parts.query).get("sslmode", [""])
    if mode not in {"verify-ca", "verify-full"} and not here:
        text = f"{protocol}, but any server would be taken for the right one"
        return [Finding(text, "tls.unverified")]
    return [Finding(f"{protocol}, {f'sslmode={mode}' if mode else 'on this host'}")]


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
        return [Finding("the database has no schema of this service", "schema.unmigrated")]
    head, found = deployment.head, deployment.revisions
    if found == [head]:
        return [Finding(f"the schema is at {head}, as it should be")]
    text = f"the schema is at {listed(found) or 'nothing'}, this release was written for {head}"
    texts = [path.read_text("utf-8") for path in ROOT.glob("migrations/versions/*.py")]
    named = [name for each in texts for down, name in REVISION.findall(each) if not down]
    known = {name.strip("\"'") for name in named}
    return [Finding(text, "schema.behind" if known.issuperset(found) else "schema.ahead")]
