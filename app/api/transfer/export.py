"""Exports: read from the database into a file, and sent to the client from there.

So a slow client holds no database connection. An error while reading is answered with a problem
document; one while sending cuts the body short of its Content-Length.
"""

import errno
import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from tempfile import SpooledTemporaryFile
from typing import IO, Final

from flask import current_app

from app.api.transfer.calendar import CALENDAR
from app.api.transfer.capacity import Pace, take_place
from app.api.transfer.formats import JSON_LINES, Form
from app.api.transfer.table import TABLE
from app.core import deadline
from app.core.places import Place
from app.core.problem_kinds import OVERLOADED
from app.core.problems import Problem
from app.db.run import in_snapshot
from app.db.scope import reading
from app.db.sending import Snapshot
from app.web.request import current
from app.web.response import Document, Response

FORMS: Final = {form.extension: form for form in (JSON_LINES, TABLE, CALENDAR)}

PIECE: Final = 256 * 1024
"""Bytes to send within REQUEST_DEADLINE; a smaller export stays in memory."""

logger = logging.getLogger(__name__)


class Delivery:
    """Iterates over the pieces of a file; closes it and releases the place at the end."""

    def __init__(self, file: IO[bytes], place: Place) -> None:
        self.file = file
        self.place = place
        self.pace = Pace()
        self.file.seek(0)

    def __iter__(self) -> Iterator[bytes]:
        """Return itself: it can be iterated over once."""
        return self

    def __next__(self) -> bytes:
        """Return the next piece. Raises ConnectionResetError if the client reads too slowly."""
        taken = 0 if self.file.closed else self.file.tell()
        if not (piece := not self.file.closed and self.file.read(PIECE)):
            self.close()
            raise StopIteration
        if self.pace.is_too_slow(taken):
            self.close()
            raise ConnectionResetError(errno.ECONNRESET, "the client is too slow")
        return piece

    def close(self) -> None:
        """Also called by the server when the client has disconnected (PEP 3333)."""
        if not self.file.closed:
            self.file.close()
            self.place.close()


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
    place = take_place(user_id)
    try:
        file = spooled(user_id, form)
    except BaseException:
        place.close()
        raise
    size, delivery = file.tell(), Delivery(file, place)
    if size <= PIECE:
        return Document(b"".join(delivery))
    response = Response(delivery)
    response.content_length = size
    return response


def spooled(user_id: str, form: Form) -> IO[bytes]:
    """Write the export into a file and return it, positioned at its end. Raises Problem 503."""
    file: IO[bytes] = SpooledTemporaryFile(PIECE)  # noqa: SIM115
    try:
        in_snapshot(reading(user_id), lambda snapshot: write(file, snapshot, user_id, form))
    except OSError as error:
        file.close()
        logger.error("an export cannot be put into a file: %s", error.strerror)
        raise Problem(OVERLOADED, "There is no room for the export.") from error
    except BaseException:
        file.close()
        raise
    return file


def write(file: IO[bytes], snapshot: Snapshot, user_id: str, form: Form) -> None:
    """Read all parts and write them to the file. Starts over if the connection died."""
    if file.tell():
        file.seek(0)
        file.truncate()
        deadline.renew(current_app.config["SETTINGS"].request_deadline)
    counts = dict.fromkeys(form.parts, 0)
    file.write(form.begin())
    for name, part in form.parts.items():
        for rows in snapshot.read(name, part.statement, user_id=user_id):
            file.write(part.write(rows))
            counts[name] += len(rows)
    file.write(form.end(counts))
