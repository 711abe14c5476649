"""`flask import`: moves a file of another app, or an export, into the account of a user."""

import shutil
from collections.abc import Iterator
from typing import IO, Final

import click
from flask.cli import with_appcontext
from pydantic import ValidationError

from app.api.transfer.capacity import temporary_file
from app.api.transfer.moving.forms import FORMS
from app.api.transfer.routes import outcome_of, require_sense
from app.api.transfer.schemas import ImportQuery, ImportReport
from app.api.transfer.upload import require_utf_8
from app.core.problems import Problem
from app.ops.accounts import find_user
from app.ops.one_line import one_line_errors, reason
from app.rows.quotas import NoRoom

OWN: Final = "jsonl"
"""The format of an export of this service."""

FULL: Final = "the user has reached the storage quota"
COUNTS: Final = ("created", "updated", "unchanged", "refused")


@click.command("import")
@click.option("--email", required=True, help="E-mail address of the account.")
@click.option(
    "--format",
    "form",
    required=True,
    type=click.Choice([*FORMS, OWN]),
    help=f"The app that the file comes from; {OWN} is an export of this service.",
)
@click.option(
    "--time-zone",
    help="Time zone of times for which the file names none; by default that of the account.",
)
@click.option("--name", help="Name of the file or list, such as 'Garden.csv' of Todoist.")
@click.option("--dry-run", is_flag=True, help="Only report, and write nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@click.argument("file", type=click.File("rb"))
@with_appcontext
@one_line_errors
def import_file(
    email: str,
    form: str,
    time_zone: str | None,
    name: str | None,
    dry_run: bool,
    as_json: bool,
    file: IO[bytes],
) -> None:
    """Import FILE into an account, as POST /v1/import does; `-` is the standard input.

    Prints what was done, and what could not be taken over. Exits with 1 if something was refused.
    """
    query = query_of(format=form, time_zone=time_zone, name=name, dry_run=dry_run)
    report = imported(find_user(email), query, file)
    click.echo(report.model_dump_json(indent=2) if as_json else "\n".join(lines_of(report)))
    if report.refused:
        click.get_current_context().exit(1)


def query_of(**options: str | bool | None) -> ImportQuery:
    """Return the parameters of the import. Raises UsageError for those the API would refuse."""
    try:
        query = ImportQuery.model_validate(options)
        require_sense(query)
    except ValidationError as error:
        first = error.errors()[0]
        raise click.UsageError(f"{option_named(first['loc'][0])} {first['msg']}") from None
    except Problem as problem:
        first = problem.members["errors"][0]
        raise click.UsageError(f"{option_named(first['parameter'])} {first['detail']}") from None
    return query


def option_named(member: object) -> str:
    """Return the option that a parameter of the API is given by."""
    return f"--{member}".replace("_", "-")


def imported(user_id: str, query: ImportQuery, file: IO[bytes]) -> ImportReport:
    """Import a file, which need not be seekable. Raises ClickException, psycopg2.Error."""
    with temporary_file("import") as copy:
        shutil.copyfileobj(file, copy)
    with copy:
        try:
            if query.format == OWN:
                require_utf_8(copy)
            return ImportReport.model_validate(outcome_of(user_id, query, copy))
        except Problem as problem:
            raise click.ClickException(refusal(problem)) from None


def refusal(problem: Problem) -> str:
    """Return in one line why an import failed, and how far it came."""
    if errors := problem.members.get("errors"):
        return printable(f"the file {errors[0]['detail']}")
    said = FULL if isinstance(problem, NoRoom) else reason(problem)
    line = problem.members.get("line")
    return f"{said} (it came to line {line}; what is written stays)" if line else said


def lines_of(report: ImportReport) -> Iterator[str]:
    """Yield the report as text: the counts, and a line for each refusal and loss."""
    for name in COUNTS:
        yield f"{name}: {getattr(report, name)}"
    for refused in report.refusals:
        for error in refused.errors:
            where = f"{error.pointer} " if error.pointer else ""
            yield printable(f"refused, line {refused.line}: {where}{error.detail}")
    for loss in report.lossy:
        where = f"{loss.field}: " if loss.field else ""
        yield printable(f"lost, line {loss.line}: {where}{loss.detail}")


def printable(text: str) -> str:
    """Return a text on one line, without what a terminal would take for commands."""
    return "".join(each if each.isprintable() else " " for each in text)
