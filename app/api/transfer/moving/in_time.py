"""Reading a file until a time, however little of what is read is taken over.

The time is checked at each block of the file, so also while lines are skipped.
"""

import io
from time import monotonic
from typing import IO, TYPE_CHECKING, Final

from app.api.transfer.moving.refused import TooSlow

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

BLOCK: Final = 64 * 1024
"""Bytes to read at once."""

TOO_LONG: Final = "It takes too long to be read. Send it in parts."


def require_time(end: float) -> None:
    """Raise TooSlow after the end, in monotonic seconds."""
    if monotonic() > end:
        raise TooSlow(TOO_LONG)


def in_time(file: IO[bytes], end: float) -> IO[bytes]:
    """Return a file that reads from this one until the end, and raises TooSlow after that.

    Closing it leaves the other one open.
    """
    return io.BufferedReader(_InTime(file, end), BLOCK)


class _InTime(io.RawIOBase):
    """The blocks of a file, until the end."""

    def __init__(self, file: IO[bytes], end: float) -> None:
        self._file = file
        self._end = end

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        require_time(self._end)
        view = memoryview(buffer)
        data = self._file.read(min(len(view), BLOCK))
        view[: len(data)] = data
        return len(data)
