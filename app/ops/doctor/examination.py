"""The checks in their order, and how they are carried out."""

from collections.abc import Callable, Collection, Iterator
from typing import Final, NamedTuple

import psycopg2

from app.core import deadline
from app.core.logs import redact
from app.ops.doctor import configured, connection, isolation, pooler, rights, roles
from app.ops.doctor.deployment import Deployment
from app.ops.doctor.findings import Finding, Level

SECONDS: Final = 10.0


class Check(NamedTuple):
    """A check, and the earlier ones that must have passed before it."""

    name: str
    look: Callable[[Deployment], list[Finding]]
    needs: tuple[str, ...] = ()


CHECKS: Final = (
    Check("environment", configured.environment),
    Check("keys", configured.keys),
    Check("hosts", configured.hosts),
    Check("proxies", configured.proxies),
    Check("counters", configured.counters),
    Check("origins", configured.origins),
    Check("logs", configured.logs),
    Check("timeouts", configured.timeouts),
    Check("database", connection.database),
    Check("encoding", connection.encoding, ("database",)),
    Check("server_log", connection.server_log, ("database",)),
    Check("tls", connection.tls, ("database",)),
    Check("pooler", pooler.pooler, ("database",)),
    Check("migrations", pooler.migrations, ("database",)),
    Check("clock", connection.clock, ("database",)),
    Check("schema", connection.schema, ("database",)),
    Check("login", roles.login, ("database", "schema")),
    Check("roles", roles.roles, ("database", "schema")),
    Check("policies", rights.policies, ("database", "schema")),
    Check("grants", rights.grants, ("database", "schema")),
    Check("isolation", isolation.isolation, ("database", "schema")),
)


def examine(deployment: Deployment, only: Collection[str] = ()) -> Iterator[tuple[str, Finding]]:
    """Yield the name of each check with each of its findings.

    `only` names the checks that are wanted, if not all are. What these need is checked too, and
    reported where it is not well. A check is left out if one that it needs has failed, or if the
    connection was lost.
    """
    wanted = [check for check in CHECKS if not only or check.name in only]
    needed = {name for check in wanted for name in check.needs}
    passed: set[str] = set()
    for check in CHECKS:
        if not passed.issuperset(check.needs) or not (check in wanted or check.name in needed):
            continue
        findings = carry_out(check, deployment)
        levels = {finding.level for finding in findings}
        if check in wanted or levels != {Level.OK}:
            yield from ((check.name, finding) for finding in findings)
        if Level.FAIL not in levels:
            passed.add(check.name)
        if deployment.lost:
            passed.clear()


def carry_out(check: Check, deployment: Deployment) -> list[Finding]:
    """What the check found, or why it could not be carried out; a broken one stops no other."""
    try:
        with deadline.Within(SECONDS):
            return check.look(deployment)
    except psycopg2.Error as error:
        said = str(error).strip() or type(error).__name__
        return [Finding(redact(said.splitlines()[0]), "unfinished")]
    except Exception as error:
        return [Finding(f"it broke with {type(error).__name__}", "unfinished")]
