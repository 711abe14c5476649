"""/v1/export and /v1/import"""

from typing import IO, Final

from apiflask import APIBlueprint
from flask import Response

from app.api.transfer import keys
from app.api.transfer.capacity import take_place
from app.api.transfer.export import FORMS, export
from app.api.transfer.formats import JSON_LINES
from app.api.transfer.importing import Import
from app.api.transfer.schemas import ExportQuery, ImportReport
from app.api.transfer.upload import MEDIA_TYPES, receive
from app.auth.policies import current_user_id, with_account
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

    All that is the user's, as it was at one instant, as a file of JSON lines: the account, its
    rows, kind by kind, each ordered by id, and last their counts, without which the file is not
    whole. `POST /v1/import` takes it back. What was deleted is not in it.

    With `format=csv` the tasks alone for a spreadsheet: UTF-8 with a byte order mark; a text that
    could be taken for a formula begins with an apostrophe. With `format=ics` for a calendar, each
    task a VTODO whose UID is the task's id. A user has one export or import at a time.
    """
    return export(current_user_id(), query.format)


@blueprint.post("/import")
@blueprint.output(ImportReport)
def import_account() -> Response:
    """Import an account

    Takes the JSON lines of an export back, up to 64 times MAX_BODY_BYTES of them; a larger file is
    split between two lines, categories first. Each row is written under its id as by PUT, with its
    times: the same lines sent again change nothing. A task's category has to be there before it.
    The account takes the name and the time zone; its address stays.

    The body is UTF-8, with or without a byte order mark; another encoding or a compressed file is
    refused as a whole. A name may pass from one category to another in any order of lines.

    A line that is not accepted is refused and told of, the others are imported. Lines are written
    some hundred at a time, for at most 50 seconds: where it breaks off, what is written stays, and
    the same body sent again does the rest. A user has one export or import at a time.
    """
    key, user_id = requested_key(), current_user_id()
    with take_place(user_id):
        file, fingerprint = receive(current())
        with file:
            once = requested_with(key, fingerprint) if key else None
            return answer(user_id, file, once)


def answer(user_id: str, file: IO[bytes], once: Once | None) -> Response:
    """Import the file, or answer with the report that its idempotency key has already."""
    earlier = with_account(lambda: keys.claim(user_id, once)) if once else None
    outcome = earlier or Import(user_id, file).run()
    if once and not earlier:
        earlier = keys.settle(user_id, once, outcome)
    report = ImportReport.model_validate(earlier or outcome)  # in the order of the contract
    return mark(json_response(report.model_dump()), bool(earlier))
