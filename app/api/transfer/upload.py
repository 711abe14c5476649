"""The body of an import, received completely before the first line is read.

So a slow client holds no database connection, and a body that is cut short, too large or wrongly
framed is refused before anything is written.
"""

import logging
from tempfile import SpooledTemporaryFile
from typing import IO, Final, NamedTuple

from flask import current_app

from app.api.transfer.capacity import Pace
from app.api.transfer.encoding import require_utf_8
from app.api.transfer.formats import MEDIA_TYPE
from app.core import deadline
from app.core.problem_kinds import OVERLOADED
from app.core.problems import Problem
from app.web.body import (
    declared_length,
    read_piece,
    require_media_type,
    require_whole,
    too_large,
)
from app.web.idempotency_key import Fingerprint
from app.web.request import Request

MEDIA_TYPES: Final = (MEDIA_TYPE, "application/x-ndjson")

PIECE: Final = 256 * 1024
"""Bytes to receive within REQUEST_DEADLINE; a smaller body stays in memory."""

logger = logging.getLogger(__name__)


class Upload(NamedTuple):
    """A received body, positioned at its beginning, and its fingerprint."""

    file: IO[bytes]
    fingerprint: Fingerprint


def receive(incoming: Request) -> Upload:
    """Receive the body, at most MAX_IMPORT_BYTES. Raises Problem 400, 411, 413, 415, 503."""
    require_media_type(incoming, MEDIA_TYPES, f"Send `Content-Type: {MEDIA_TYPE}`.")
    limit: int = current_app.config["MAX_IMPORT_BYTES"]
    length = declared_length(incoming, limit)
    file: IO[bytes] = SpooledTemporaryFile(PIECE)  # noqa: SIM115
    upload = Upload(file, Fingerprint())
    try:
        copy(incoming, upload, limit if length is None else length, length)
        require_utf_8(file)
    except BaseException:
        file.close()
        raise
    file.seek(0)
    return upload


def copy(incoming: Request, upload: Upload, most: int, length: int | None) -> None:
    """Copy the body into the file. Raises Problem 400, 413, 503."""
    taken, pace = 0, Pace()
    while taken < most or length is None:
        deadline.renew(current_app.config["SETTINGS"].request_deadline)  # for each piece
        piece = read_piece(
            incoming, min(PIECE, most + 1 - taken if length is None else most - taken)
        )
        if not piece:
            break
        taken += len(piece)
        if taken > most:
            raise too_large(most)
        if pace.is_too_slow(taken):
            detail = "The body came too slowly, and was not read to its end; nothing was changed."
            raise Problem(OVERLOADED, detail)
        upload.fingerprint.update(piece)
        keep(upload.file, piece)
    require_whole(taken, length)


def keep(file: IO[bytes], piece: bytes) -> None:
    """Write a piece. Raises Problem 503 if there is no space."""
    try:
        file.write(piece)
    except OSError as error:
        logger.error("an import cannot be put into a file: %s", error.strerror)
        raise Problem(OVERLOADED, "There is no room for the import.") from error
