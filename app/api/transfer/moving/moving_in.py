"""The import of another app's file into the account of a user."""

from typing import IO, Any

from app.api.transfer.importing import Import, account_of
from app.api.transfer.moving.arrivals import Arrivals
from app.api.transfer.moving.conversion import Conversion, Moved
from app.api.transfer.moving.forms import FORMS
from app.api.transfer.moving.found import Losses, Options
from app.api.transfer.moving.refused import NotThisFormat
from app.core.problems import Problem, invalid


def move_in(
    user_id: str, form: str, file: IO[bytes], options: Options, *, dry_run: bool
) -> dict[str, Any]:
    """Import the file, or only work out what that would do; return the report.

    Raises Problem 422 for a file that is not of the format, and what an import raises.
    """
    try:
        moved = Conversion(user_id, form, options).run(FORMS[form].read, file)
    except NotThisFormat as error:
        raise invalid(f"cannot be used: {error}", "format", parameter="format") from None
    with moved.file, account_of(user_id, dry_run=dry_run) as account:
        arrivals = Arrivals(account, moved)
        try:
            report = Import(arrivals, moved.file).run()
        except Problem as problem:
            if "line" in problem.members:
                problem.members["line"] = moved.line_of(problem.members["line"])
            raise
    arrivals.report()
    return told(report, moved)


def told(report: dict[str, Any], moved: Moved) -> dict[str, Any]:
    """Return the report in terms of the other app's file."""
    refusals = [{**each, "line": moved.line_of(each["line"])} for each in report["refusals"]]
    return {
        **report,
        "unchanged": report["unchanged"] + moved.already_there,
        "complete": True,
        "refusals": refusals,
        "lossy": lossy(moved.losses),
    }


def lossy(losses: Losses) -> list[dict[str, Any]]:
    """Return the losses that are listed, the last of which says if there are more."""
    listed = [each._asdict() for each in losses.listed]
    if more := losses.total - len(listed):
        listed.append({"line": listed[-1]["line"], "field": "", "detail": f"And {more} more."})
    return listed
