"""Files as users send them: with a name, which may have folders before it and an ending."""

import re
from collections.abc import Iterator
from typing import IO, Final

from app.api.transfer.moving.found import Found, Options, Reader
from app.api.transfer.moving.in_time import in_time

DRIVE: Final = re.compile(r"[A-Za-z]:[\\/]")
"""How a path of Windows begins, also the C:\\fakepath\\ of browsers."""

SEPARATOR: Final = re.compile(r"[\\/]")
ZIPPED: Final = ".zip"


def as_sent(read: Reader, suffix: str) -> Reader:
    """Return a reader of files with this suffix, in time and under their names alone."""

    def read_sent(file: IO[bytes], options: Options) -> Iterator[Found]:
        name = plain_name(options.name or "", suffix, ZIPPED)
        known = options._replace(name=name if name.strip() else None)
        return read(in_time(file, options.end), known)

    return read_sent


def plain_name(name: str, *suffixes: str) -> str:
    """Return the name of a file without the folders of an absolute path, and without its ending."""
    if DRIVE.match(name):
        name = SEPARATOR.split(name)[-1]
    elif name.startswith("/"):
        name = name.rpartition("/")[2]
    ending = next((each for each in suffixes if name.lower().endswith(each)), "")
    return name[: len(name) - len(ending)]
