"""`flask doctor`: the checks in their order, how they are carried out, and what is printed."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from typing import Final

import click
import orjson
import psycopg2
from flask import current_app
from flask.cli import with_appcontext

from app.core import deadline
from app.core.logs import redact
from app.ops.doctor import cluster, configured, rights
from app.ops.doctor.deployment import Deployment
from app.ops.doctor.findings import FAIL, LEVELS, Finding

SECONDS: Final = 10.0

Look = Callable[[Deployment], list[Finding]]

CHECKS: Final[dict[str, Look]] = {
    "environment": configured.environment,
    "keys": configured.keys,
    "hosts": configured.hosts,
    "proxies": configured.proxies,
    "counters": configured.counters,
    "database": configured.database,
    "encoding": configured.encoding,
    "server_log": configured.server_log,
    "tls": configured.tls,
    "pooler": configured.pooler,
    "migrations": configured.migrations,
    "clock": configured.clock,
    "schema": configured.schema,
    "cluster": cluster.cluster,
    "login": rights.login,
    "roles": rights.roles,
    "policies": rights.policies,
    "grants": rights.grants,
    "isolation": rights.isolation,
}

NEEDED: Final = ("database", "schema")
"""Checks without which those that follow make no sense."""

WIDTH: Final = max(map(len, CHECKS))


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_context
@with_appcontext
def doctor(context: click.Context, as_json: bool) -> None:
    """Look at this deployment, and say what to do about what is found.

    Ends with status 1 if something fails; a warning is none. Nothing is changed, no secret printed.
    """
    show = print_json if as_json else print_lines
    with closing(Deployment(current_app)) as deployment:  # type: ignore[arg-type]  # an APIFlask
        levels = show(examine(deployment))
    context.exit(1 if FAIL in levels else 0)


def examine(deployment: Deployment) -> Iterator[tuple[str, Finding]]:
    """Yield the name of each check with each of its findings.

    Ends where a check that the others need has failed, or the connection was lost.
    """
    for name, look in CHECKS.items():
        findings = carry_out(look, deployment)
        yield from ((name, finding) for finding in findings)
        failed = any(finding.level == FAIL for finding in findings)
        if deployment.lost or (failed and name in NEEDED):
            break


def carry_out(look: Look, deployment: Deployment) -> list[Finding]:
    """What the check found, or why it could not be carried out; a broken one stops no other."""
    try:
        with deadline.Within(SECONDS):
            return look(deployment)
    except psycopg2.Error as error:
        said = str(error).strip() or type(error).__name__
        return [Finding(redact(said.splitlines()[0]), "unfinished")]
    except Exception as error:
        return [Finding(f"it broke with {type(error).__name__}", "unfinished")]


def print_lines(findings: Iterable[tuple[str, Finding]]) -> set[str]:
    """Print each finding as it is made, its remedy below; return their levels."""
    counts: Counter[str] = Counter()
    for name, finding in findings:
        counts[finding.level] += 1
        click.echo(f"{finding.level:<5} {name:<{WIDTH}} {finding.text}")
        if finding.advice:
            click.echo(f"{'':<{WIDTH + 7}}{finding.advice} ({finding.code})")
    click.echo(", ".join(f"{counts[level]} {level}" for level in LEVELS))
    return set(counts)


def print_json(findings: Iterable[tuple[str, Finding]]) -> set[str]:
    """Print all findings as one JSON document; return their levels."""
    made = list(findings)
    levels = {finding.level for _, finding in made}
    checks = [
        {"check": name, "level": each.level, "code": each.code}
        | {"finding": each.text, "advice": each.advice}
        for name, each in made
    ]
    document = {"ok": FAIL not in levels, "checks": checks}
    click.echo(orjson.dumps(document, option=orjson.OPT_INDENT_2).decode())
    return levels
