"""The files in a zip that a user sent, with bounds on what reading them costs.

No size that the zip states is trusted: bytes are counted as they are read. Nothing is written to
disk, and zips in the zip are not opened.
"""

import io
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Final
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from app.api.transfer.moving.refused import NotThisFormat

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

MOST_ENTRIES: Final = 500
LARGEST_DIRECTORY: Final = 512 * 1024
"""Bytes of the list of entries, which zipfile reads at once; some 100 are usual for each."""

LARGEST_CONTENT: Final = 64 * 1024 * 1024
"""Bytes of all entries together, uncompressed."""

LARGEST_RATIO: Final = 200
"""How many times the size of the zip its content may have, beyond FREE_CONTENT."""

FREE_CONTENT: Final = 1024 * 1024

ENCRYPTED: Final = 0x1
"""The flag of an encrypted entry (APPNOTE.TXT, section 4.4.4)."""

TOO_MANY: Final = f"The zip file has too many entries: at most {MOST_ENTRIES} are taken."
TOO_LARGE: Final = f"The content of the zip file is too large: at most {LARGEST_CONTENT:,} bytes."
TOO_DENSE: Final = "The zip file is compressed too much to be an export."
TWICE: Final = "The zip file has two entries of the same name."
LOCKED: Final = "The zip file is encrypted."
METHOD: Final = "The zip file is compressed in an uncommon way: only Deflate is supported."
DAMAGED: Final = "The zip file is damaged."


def entries(file: IO[bytes], suffix: str) -> Iterator[tuple[str, IO[bytes]]]:
    """Yield the name and the content of each file whose name ends with `suffix`, in any case.

    The name is the last part of the path, so it may come twice. Directories and hidden files are
    left out, such as those that macOS adds. A content can be read until the next one is yielded.
    Raises NotThisFormat, also while a content is read.
    """
    with _defects_refused():
        archive = ZipFile(_Directory(file))
    with archive:
        budget = _Budget(_size(file))
        for name, info in _wanted(archive, suffix.lower()):
            with _defects_refused():
                opened = archive.open(info)
            with opened:
                yield name, io.BufferedReader(_Content(opened, budget))


def _wanted(archive: ZipFile, suffix: str) -> list[tuple[str, ZipInfo]]:
    if len(archive.infolist()) > MOST_ENTRIES:
        raise NotThisFormat(TOO_MANY)
    paths = set()
    wanted = []
    for info in archive.infolist():
        path = info.filename.replace("\\", "/")
        name = path.rpartition("/")[2]
        if name.startswith(".") or not name.lower().endswith(suffix):
            continue
        if path in paths:
            raise NotThisFormat(TWICE)
        if info.flag_bits & ENCRYPTED:
            raise NotThisFormat(LOCKED)
        if info.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
            raise NotThisFormat(METHOD)
        paths.add(path)
        wanted.append((name, info))
    return wanted


def _size(file: IO[bytes]) -> int:
    return file.seek(0, io.SEEK_END)


@contextmanager
def _defects_refused() -> Iterator[None]:
    """Raise NotThisFormat for whatever zipfile raises on malformed input."""
    try:
        yield
    except NotThisFormat:
        raise
    except (
        *(BadZipFile, EOFError, NotImplementedError, OverflowError, RuntimeError, ValueError),
        *(struct.error, zlib.error),
    ) as error:
        raise NotThisFormat(DAMAGED) from error


@dataclass
class _Directory:
    """The zip as zipfile reads it, without reads as long as a directory of too many entries."""

    file: IO[bytes]

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.file.tell()

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if whence == io.SEEK_SET and offset < 0:
            raise BadZipFile("An offset is before the file.")
        return self.file.seek(offset, whence)

    def read(self, size: int = -1) -> bytes:
        if size > LARGEST_DIRECTORY:
            raise NotThisFormat(TOO_MANY)
        return self.file.read(LARGEST_DIRECTORY if size < 0 else size)


@dataclass
class _Budget:
    """The bytes that the entries of a zip may still have together."""

    compressed: int
    spent: int = 0

    def spend(self, size: int) -> None:
        """Count bytes that were read. Raises NotThisFormat if they are too many."""
        self.spent += size
        if self.spent > LARGEST_CONTENT:
            raise NotThisFormat(TOO_LARGE)
        if self.spent > FREE_CONTENT + LARGEST_RATIO * self.compressed:
            raise NotThisFormat(TOO_DENSE)


class _Content(io.RawIOBase):
    """The content of an entry, counted."""

    def __init__(self, opened: IO[bytes], budget: _Budget) -> None:
        self._opened = opened
        self._budget = budget

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        view = memoryview(buffer)
        with _defects_refused():
            data = self._opened.read(len(view))
        self._budget.spend(len(data))
        view[: len(data)] = data
        return len(data)
