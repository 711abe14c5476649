"""Files of other apps that come in a zip, as downloads do: each is read as if it came alone."""

import io
import shutil
from collections.abc import Iterator
from typing import IO, Final

from app.api.transfer.capacity import temporary_file
from app.api.transfer.moving.archives import entries
from app.api.transfer.moving.found import Found, Loss, Options, Reader, quoted, storable
from app.api.transfer.moving.in_time import in_time
from app.api.transfer.moving.refused import NotThisFormat, TooSlow

BEGINNINGS: Final = (b"PK\x03\x04", b"PK\x05\x06")
"""How a zip begins; the second one is without entries."""


def is_zip(file: IO[bytes]) -> bool:
    """Whether the file is a zip; it is at its beginning then."""
    file.seek(0)
    beginning = file.read(4)
    file.seek(0)
    return beginning in BEGINNINGS


def also_zipped(read: Reader, suffix: str) -> Reader:
    """Return a reader of the files that `read` takes, and of zips with files of this suffix."""

    def read_either(file: IO[bytes], options: Options) -> Iterator[Found]:
        return unzipped(read, suffix, file, options) if is_zip(file) else read(file, options)

    return read_either


def unzipped(read: Reader, suffix: str, file: IO[bytes], options: Options) -> Iterator[Found]:
    """Yield what is found in each file of the zip, and which files were left out.

    Without a name in the options, that of each file counts. Raises NotThisFormat.
    """
    is_empty = True
    for number, (name, content) in enumerate(entries(file, suffix), 1):
        named = options._replace(name=options.name or stem(name, suffix))
        with temporary_file("import") as copy:
            shutil.copyfileobj(content, copy)
            copy.seek(0, io.SEEK_SET)
            try:
                for found in read(in_time(copy, options.end), named):
                    yield in_entry(name, found) if isinstance(found, Loss) else found
                is_empty = False
            except TooSlow:
                raise
            except NotThisFormat as error:
                yield Loss(number, "file", f"{quoted(name)} was left out. {error}")
            copy.close()
    if is_empty:
        raise NotThisFormat(f"The zip file has no file of this format that ends in {suffix}.")


def stem(name: str, suffix: str) -> str:
    """Return the name of a file without its ending."""
    text = storable(name)
    return text[: -len(suffix)] if text.lower().endswith(suffix) else text


def in_entry(name: str, loss: Loss) -> Loss:
    """Add to a loss in which file of the zip it is."""
    return loss._replace(detail=f"In {quoted(name)}: {loss.detail}")
