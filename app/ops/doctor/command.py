"""The command line of `flask doctor`."""

from collections import Counter
from collections.abc import Iterable
from contextlib import closing
from typing import Final

import click
import orjson
from flask import current_app
from flask.cli import with_appcontext

from app.ops.doctor.deployment import Deployment
from app.ops.doctor.examination import CHECKS, examine
from app.ops.doctor.findings import Finding, Level

NAMES: Final = [check.name for check in CHECKS]
WIDTH: Final = max(map(len, NAMES))


@click.command("doctor")
@click.option(
    "--only",
    multiple=True,
    type=click.Choice(NAMES),
    metavar="CHECK",
    help=f"Look at this alone; may be given again. One of {', '.join(NAMES)}.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_context
@with_appcontext
def doctor(context: click.Context, only: tuple[str, ...], as_json: bool) -> None:
    """Look at this deployment, and say what to do about what is found.

    Ends with status 1 if something fails; a warning is none. Nothing is changed, no secret printed.
    """
    show = print_json if as_json else print_lines
    with closing(Deployment(current_app)) as deployment:  # type: ignore[arg-type]  # an APIFlask
        levels = show(examine(deployment, only))
    context.exit(1 if Level.FAIL in levels else 0)


def print_lines(findings: Iterable[tuple[str, Finding]]) -> set[Level]:
    """Print each finding as it is made, its remedy below; return their levels."""
    counts: Counter[Level] = Counter()
    for name, finding in findings:
        counts[finding.level] += 1
        click.echo(f"{finding.level:<5} {name:<{WIDTH}} {finding.text}")
        if finding.advice:
            click.echo(f"{'':<{WIDTH + 7}}{finding.advice} ({finding.code})")
    click.echo(", ".join(f"{counts[level]} {level}" for level in Level))
    return set(counts)


def print_json(findings: Iterable[tuple[str, Finding]]) -> set[Level]:
    """Print all findings as one JSON document; return their levels."""
    made = list(findings)
    levels = {finding.level for _, finding in made}
    checks = [
        {"check": name, "level": each.level, "code": each.code}
        | {"finding": each.text, "advice": each.advice}
        for name, each in made
    ]
    document = {"ok": Level.FAIL not in levels, "checks": checks}
    click.echo(orjson.dumps(document, option=orjson.OPT_INDENT_2).decode())
    return levels
