"""The body of an import, received completely before the first line is read.

So a slow client holds no database connection, and a body that is cut short, too large, wrongly
framed or clearly not in UTF-8 is refused before anything is written.
"""

from collections.abc import Iterator, Sequence
from typing import IO, Final

from flask import current_app

from app.api.transfer.capacity import PIECE, in_pace, temporary_file
from app.api.transfer.encodings import encoding_of
from app.api.transfer.formats import JSON_LINES
from app.core import deadline
from app.core.problem_kinds import OVERLOADED, UNSUPPORTED_MEDIA_TYPE
from app.core.problems import Problem
from app.web.body import declared_length, read_piece, require_media_type, require_whole, too_large
from app.web.idempotency_key import Fingerprint
from app.web.request import Request

MEDIA_TYPES: Final = (JSON_LINES.media_type, "application/x-ndjson")

TOO_SLOW: Final = "The body came too slowly, and was not read to its end; nothing was changed."


def receive(
    incoming: Request,
    media_types: Sequence[str] = MEDIA_TYPES,
    usual: Sequence[str] = (JSON_LINES.media_type,),
    *,
    of_lines: bool = True,
) -> tuple[IO[bytes], Fingerprint]:
    """Receive the body, at most MAX_IMPORT_BYTES, into a file, and return its fingerprint as well.

    One of lines has to be in UTF-8; other formats are the business of who reads them. The usual
    media types are those that a refusal names. Raises Problem 400, 411, 413, 415, 503.
    """
    named = "` or `".join(usual)
    require_media_type(incoming, media_types, f"Send `Content-Type: {named}`.")
    fingerprint = Fingerprint()
    received = pieces(incoming, current_app.config["MAX_IMPORT_BYTES"])
    with temporary_file("import") as file:
        for piece in in_pace(received, Problem(OVERLOADED, TOO_SLOW)):
            fingerprint.update(piece)
            file.write(piece)
        if of_lines:
            require_utf_8(file)
    return file, fingerprint


def pieces(incoming: Request, most: int) -> Iterator[bytes]:
    """Yield the pieces of the body. Raises Problem 400, 411, 413."""
    length = declared_length(incoming, most)
    wanted = most + 1 if length is None else length
    taken = 0
    while taken < wanted:
        deadline.renew()  # for each piece
        piece = read_piece(incoming, min(PIECE, wanted - taken))
        if not piece:
            break
        taken += len(piece)
        if taken > most:
            raise too_large(most)
        yield piece
    require_whole(taken, length)


def require_utf_8(file: IO[bytes]) -> None:
    """Raise Problem 415 with the name of the encoding if the file is clearly in another one."""
    if encoding := encoding_of(file):
        detail = f"The body is {encoding}. Send JSON lines as text in UTF-8, not compressed."
        raise Problem(UNSUPPORTED_MEDIA_TYPE, detail)
