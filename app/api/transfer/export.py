"""Exports: read from the database into a file, and sent to the client from there.

So a slow client holds no database connection. An error while reading is answered with a problem
document; one while sending cuts the body short of its Content-Length.
"""

import errno
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import IO, Final

from app.api.transfer.calendars import CALENDAR
from app.api.transfer.capacity import PIECE, in_pace, take_place, temporary_file
from app.api.transfer.formats import JSON_LINES, Form
from app.api.transfer.tables import TABLE
from app.core import deadline
from app.db.run import perform
from app.db.scope import reading
from app.db.transactions import Snapshot
from app.web.request import current
from app.web.response import Document, Response

FORMS: Final = {form.extension: form for form in (JSON_LINES, TABLE, CALENDAR)}


def export(user_id: str, extension: str) -> Response:
    """Export the user's account in this form. Raises Problem 429, 503."""
    form = FORMS[extension]
    heads_only = current().method == "HEAD"
    response = Response(iter(())) if heads_only else delivered(user_id, form)
    response.headers["Content-Type"] = form.media_type
    name = f"tasks-{datetime.now(UTC):%Y-%m-%d}.{form.extension}"
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


def delivered(user_id: str, form: Form) -> Response:
    """Return a response with the file; a large one keeps its place until it is sent."""
    with ExitStack() as stack:
        stack.enter_context(take_place(user_id))
        with temporary_file("export") as file:
            perform(
                reading(user_id), Snapshot, lambda snapshot: write(file, snapshot, user_id, form)
            )
        stack.enter_context(file)
        size = file.tell()
        file.seek(0)
        if size <= PIECE:
            return Document(file.read())
        held = stack.pop_all()
    response = Response(pieces(file, held))
    response.content_length = size
    response.call_on_close(held.close)  # also if the client disconnects before the first piece
    return response


def pieces(file: IO[bytes], held: ExitStack) -> Iterator[bytes]:
    """Yield the pieces of the file and release what is held for it.

    Raises ConnectionResetError if the client reads too slowly.
    """
    too_slow = ConnectionResetError(errno.ECONNRESET, "the client is too slow")
    with held:
        yield from in_pace(iter(lambda: file.read(PIECE), b""), too_slow)


def write(file: IO[bytes], snapshot: Snapshot, user_id: str, form: Form) -> None:
    """Read all parts and write them to the file. Starts over if the connection died."""
    if file.tell():
        file.seek(0)
        file.truncate()
        deadline.renew()
    counts = dict.fromkeys(form.parts, 0)
    file.write(form.begin)
    for name, part in form.parts.items():
        for rows in snapshot.read(name, part.statement, user_id=user_id):
            file.write(part.write(rows))
            counts[name] += len(rows)
    file.write(form.end(counts))
