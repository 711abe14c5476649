"""/v1/export and /v1/import"""

from collections.abc import Callable
from functools import partial
from typing import IO, Any, Final

from apiflask import APIBlueprint
from flask import Response

from app.api.transfer import keys
from app.api.transfer.capacity import take_place
from app.api.transfer.export import FORMS, export
from app.api.transfer.formats import JSON_LINES
from app.api.transfer.importing import import_lines
from app.api.transfer.moving.forms import FORMS as FORMS_MOVED
from app.api.transfer.moving.found import Options
from app.api.transfer.moving.moving_in import move_in
from app.api.transfer.schemas import ExportQuery, ImportQuery, ImportReport
from app.api.transfer.upload import MEDIA_TYPES, receive
from app.api.users import queries as users
from app.auth.policies import current_user_id, with_account
from app.core.problems import invalid
from app.rows.idempotency import Once
from app.web.idempotency_key import mark, requested_key, requested_with
from app.web.openapi.document import FILES_GIVEN, FILES_TAKEN
from app.web.request import current
from app.web.response import json_response, store_nothing

blueprint: Final = APIBlueprint("transfer", __name__, tag="Export and import")
blueprint.after_request(store_nothing)

FILES_TAKEN["transfer.import_account"] = dict.fromkeys(MEDIA_TYPES, JSON_LINES.described())
FILES_GIVEN["transfer.export_account"] = {
    form.media_type.partition(";")[0]: form.described() for form in FORMS.values()
}


@blueprint.get("/export")
@blueprint.input(ExportQuery, location="query", arg_name="query")
def export_account(query: ExportQuery) -> Response:
    """Export the account

    The account as a file of JSON lines: the account itself and its rows, kind by kind, each ordered
    by id, as they were at one instant. The last line counts them; a file without it is incomplete.
    Deleted resources are left out. `POST /v1/import` reads the file.

    `format=csv` exports only the tasks, for a spreadsheet: in UTF-8 with a byte order mark, and
    with an apostrophe before text that looks like a formula. `labels` has the names as one line of
    CSV, so a name with a comma is in quotes; `parent` is the title of the parent; `reminders` are
    JSON. `format=ics` exports the tasks for a calendar, each as a VTODO whose UID is the id.
    CATEGORIES has the names of the category and the labels, RELATED-TO the id of the parent; each
    reminder of an open task is a VALARM. Each process of the service runs one export or import of a
    user at a time.
    """
    return export(current_user_id(), query.format)


@blueprint.post("/import")
@blueprint.input(ImportQuery, location="query", arg_name="query")
@blueprint.output(ImportReport)
def import_account(query: ImportQuery) -> Response:
    """Import an account

    Imports the JSON lines of an export. Each task, category and label is written under its id, as
    by PUT, with its times, so the same file sent again changes nothing. Categories and labels have
    to come before their tasks, as in an export. A parent may come later: the line of its subtask is
    read again at the end, and written after the others. If an id is in the file twice, the line
    that is written last counts. The account gets the name and the time zone of the file and keeps
    its e-mail address.

    The body is UTF-8, with or without a byte order mark, and at most 64 times MAX_BODY_BYTES long;
    split a larger file between two lines. A body in another encoding, or a compressed one, is
    refused as a whole. Categories may exchange names, and so may labels, in any order of lines.

    A line that is not valid is reported in `refusals`; the others are imported. If a line would
    make a circle or a sixth level, that is `cycle` or `too_deep` at `/data/parent_id`. An import
    takes at most 50 seconds. If it is interrupted, what is written stays, and sending the same body
    again imports the rest. Each process of the service runs one export or import of a user at a
    time.

    With `dry_run=true` nothing is written, and the report is that of an import at this moment.
    Quotas are not looked at.

    With another `format`, the file is what another app has exported. Lists become categories, tags
    labels; a category or label of the same name is used if there is one. What cannot be taken over
    is in `lossy`, and what a user would miss also in the task's description. What has been moved in
    before is left as it is, so sending a file again changes nothing and undoes nothing.
    """
    key, user_id = requested_key(), current_user_id()
    require_sense(query)
    with take_place(user_id):
        if moved := FORMS_MOVED.get(query.format):
            file, fingerprint = receive(
                current(), moved.accepted, moved.media_types, of_lines=False
            )
        else:
            file, fingerprint = receive(current())
        fingerprint.update(current().query_string)
        with file:
            once = requested_with(key, fingerprint) if key else None
            return answer(user_id, once, partial(outcome_of, user_id, query, file))


def require_sense(query: ImportQuery) -> None:
    """Raise Problem 422 for parameters that mean nothing for an export of this service."""
    if query.format == "jsonl":
        for name in ("time_zone", "name"):
            if getattr(query, name):
                raise invalid("is for files of other apps", "unfit", parameter=name)


def outcome_of(user_id: str, query: ImportQuery, file: IO[bytes]) -> dict[str, Any]:
    """Import the file; return the report."""
    if query.format == "jsonl":
        return import_lines(user_id, file, dry_run=query.dry_run)
    account = users.get_user(user_id)
    zone = query.time_zone or (account["time_zone"] if account else "UTC")
    options = Options(zone, query.name)
    return move_in(user_id, query.format, file, options, dry_run=query.dry_run)


def answer(user_id: str, once: Once | None, run: Callable[[], dict[str, Any]]) -> Response:
    """Run the import, or answer with the report that its idempotency key has already."""
    earlier = with_account(lambda: keys.claim(user_id, once)) if once else None
    outcome = earlier or run()
    if once and not earlier:
        earlier = keys.settle(user_id, once, outcome)
    report = ImportReport.model_validate(earlier or outcome)  # in the order of the contract
    return mark(json_response(report.model_dump()), bool(earlier))
