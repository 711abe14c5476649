"""The examination: each check in turn and in its time, whatever the others came to."""

from collections.abc import Callable, Collection, Iterator
from enum import IntEnum
from threading import Thread
from typing import Final, NamedTuple

import psycopg2

from app.core import deadline
from app.core.logs import redact
from app.ops.doctor import configured, connection, isolation, rights, server, services
from app.ops.doctor.deployment import Deployment
from app.ops.doctor.findings import Finding, Level

SECONDS: Final = 10.0
PARTING_SECONDS: Final = 1.0


class Needs(IntEnum):
    """What has to be there for a check to be carried out."""

    NOTHING = 0
    DATABASE = 1
    SCHEMA = 2
    RELEASE = 3
    """A schema of this release, and not of a later one."""


class Check(NamedTuple):
    """What is looked at, and by whom."""

    name: str
    look: Callable[[Deployment], list[Finding]]
    needs: Needs = Needs.NOTHING


CHECKS: Final = (
    Check("environment", configured.environment),
    Check("keys", configured.keys),
    Check("hosts", configured.hosts),
    Check("proxies", configured.proxies),
    Check("counters", configured.counters),
    Check("origins", configured.origins),
    Check("logs", configured.logs),
    Check("timeouts", configured.timeouts),
    Check("redis", services.redis),
    Check("issuer", services.issuer),
    Check("database", server.database),
    Check("version", server.version, Needs.DATABASE),
    Check("encoding", server.encoding, Needs.DATABASE),
    Check("writes", server.writes, Needs.DATABASE),
    Check("server_log", server.server_log, Needs.DATABASE),
    Check("tls", connection.tls, Needs.DATABASE),
    Check("pooler", connection.pooler, Needs.DATABASE),
    Check("migrations", connection.migrations, Needs.DATABASE),
    Check("latency", connection.latency, Needs.DATABASE),
    Check("clock", connection.clock, Needs.DATABASE),
    Check("connections", server.connections, Needs.DATABASE),
    Check("schema", server.schema, Needs.DATABASE),
    Check("login", rights.login, Needs.SCHEMA),
    Check("roles", rights.roles, Needs.SCHEMA),
    Check("policies", rights.policies, Needs.RELEASE),
    Check("grants", rights.grants, Needs.RELEASE),
    Check("isolation", isolation.isolation, Needs.SCHEMA),
    Check("purge", server.purge, Needs.SCHEMA),
)

FIRST_NEEDED: Final = {"database": Needs.DATABASE, "schema": Needs.SCHEMA}
"""The checks that find out if what others need is there."""


def examine(deployment: Deployment, only: Collection[str] = ()) -> Iterator[tuple[str, Finding]]:
    """The name of each check with what it found; of those that are named, if any are.

    A check is left out where what it needs is not there, which another one has found.
    """
    wanted = [check for check in CHECKS if not only or check.name in only]
    most = max(check.needs for check in wanted)
    there = Needs.NOTHING
    for check in CHECKS:
        needed = most >= FIRST_NEEDED.get(check.name, Needs.RELEASE + 1)
        if check.needs > there or not (needed or check in wanted):
            continue
        findings = carry_out(check, deployment)
        worst = {finding.level for finding in findings}
        if check in wanted or worst != {Level.OK}:
            yield from ((check.name, finding) for finding in findings)
        there = then_there(check, worst, there)
        if deployment.lost:
            there = Needs.NOTHING


def then_there(check: Check, found: set[Level], there: Needs) -> Needs:
    """What is known to be there after this check."""
    if Level.FAIL in found or check.name not in FIRST_NEEDED:
        return there
    if check.name == "database":
        return Needs.DATABASE
    return Needs.SCHEMA if Level.WARN in found else Needs.RELEASE


def carry_out(check: Check, deployment: Deployment) -> list[Finding]:
    """What the check found, in a thread of its own: not every wait can be given a deadline."""
    found: list[Finding] = []
    thread = Thread(target=look, args=(check, deployment, found), daemon=True)
    thread.start()
    thread.join(SECONDS + PARTING_SECONDS)
    if thread.is_alive():
        deployment.give_up()
        return [Finding(f"it did not end within {SECONDS:g} s", "unfinished")]
    return found


def look(check: Check, deployment: Deployment, found: list[Finding]) -> None:
    """Note what the check finds, or what kept it from that; one that breaks stops no other."""
    try:
        with deadline.within(SECONDS):
            found += check.look(deployment)
    except psycopg2.Error as error:
        said = str(error).strip() or type(error).__name__
        found.append(Finding(redact(said.splitlines()[0]), "unfinished"))
    except Exception as error:
        found.append(Finding(f"it broke with {type(error).__name__}", "unfinished"))
