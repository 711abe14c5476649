"""What files of text have in common: their encoding, and how many lines are read."""

from typing import IO, Final

from app.api.transfer.encodings import encoding_of
from app.api.transfer.moving.refused import NotThisFormat

MOST_LINES: Final = 1_000_000
"""Lines of a CSV, also those that are empty."""


def require_utf_8(file: IO[bytes]) -> None:
    """Raise NotThisFormat if the file is clearly in another encoding, or compressed."""
    if encoding := encoding_of(file):
        raise not_utf_8(encoding)


def not_utf_8(encoding: str) -> NotThisFormat:
    """Return what to raise for a file in another encoding."""
    return NotThisFormat(f"The file is {encoding}. It has to be text in UTF-8, not compressed.")
