"""Limits for exports and imports: how many at a time, their files, and how slow a client may be."""

import logging
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from tempfile import SpooledTemporaryFile
from typing import IO, Final

from flask import current_app

from app.core.metrics import tally
from app.core.metrics.families import REFUSALS
from app.core.places import TRANSFERS, NoPlace, OwnPlaceTaken, Place, Places
from app.core.problem_kinds import OVERLOADED, TOO_MANY_REQUESTS
from app.core.problems import Problem

PIECE: Final = 256 * 1024
"""Bytes to send or receive within REQUEST_DEADLINE; a smaller file stays in memory."""

FREE_SECONDS: Final = 60.0
BYTES_PER_SECOND: Final = 256 * 1024

logger = logging.getLogger(__name__)


def in_pace(pieces: Iterable[bytes], too_slow: Exception) -> Iterator[bytes]:
    """Yield the pieces of a file, after FREE_SECONDS at BYTES_PER_SECOND on average.

    Raises the exception if they move more slowly.
    """
    began, moved = time.monotonic(), 0
    for piece in pieces:
        if time.monotonic() - began > FREE_SECONDS + moved / BYTES_PER_SECOND:
            raise too_slow
        yield piece
        moved += len(piece)


def take_place(user_id: str) -> Place:
    """Take a place for an export or import; close it when the response is sent.

    Raises Problem 429 while the user has another one under way, and 503 when all places are taken.
    """
    places: Places = current_app.extensions[TRANSFERS]
    try:
        return places.take(user_id)
    except OwnPlaceTaken:
        tally.add(REFUSALS, "transfer")
        kind, detail = TOO_MANY_REQUESTS, "Another export or import of this user is under way."
    except NoPlace:
        kind = OVERLOADED
        detail = "As many exports and imports are under way as this process takes at once."
    raise Problem(kind, detail, headers={"Retry-After": "5"})


@contextmanager
def temporary_file(purpose: str) -> Iterator[IO[bytes]]:
    """Open a file to be written in this block, closed if the block raises.

    Raises Problem 503 if there is no space.
    """
    file: IO[bytes] = SpooledTemporaryFile(PIECE)  # noqa: SIM115
    try:
        yield file
    except BaseException as error:
        file.close()
        if not isinstance(error, OSError):
            raise
        logger.error("an %s cannot be put into a file: %s", purpose, error.strerror)
        raise Problem(OVERLOADED, f"There is no room for the {purpose}.") from error
