"""The import of another app's file into the account of a user."""

from array import array
from typing import IO, Any

from app.api.transfer.importing import import_lines
from app.api.transfer.moving import known
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
        raise invalid(f"is no file of this format: {error}", "format", parameter="format") from None
    with moved.file:
        try:
            report = import_lines(user_id, moved.file, dry_run=dry_run)
        except Problem as problem:
            if "line" in problem.members:
                problem.members["line"] = line_of(moved.lines, problem.members["line"])
            raise
    if not dry_run:
        known.remember(user_id, moved.fingerprints)
    return told(report, moved)


def told(report: dict[str, Any], moved: Moved) -> dict[str, Any]:
    """Return the report in terms of the other app's file."""
    refusals = [{**each, "line": line_of(moved.lines, each["line"])} for each in report["refusals"]]
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


def line_of(places: "array[int]", number: int) -> int:
    """Return the line of the other app's file that a line of the import came from; 1 for none."""
    return places[number - 1] or 1 if 0 < number <= len(places) else 1
