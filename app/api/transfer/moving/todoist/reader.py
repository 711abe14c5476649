"""Todoist: a CSV for each project, or a zip of them, as the app's backups are."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import IO, Final

from app.api.transfer.moving.archives import entries
from app.api.transfer.moving.found import MOST_OF_READER, Found, Loss, Options, limited, storable
from app.api.transfer.moving.refused import NotThisFormat
from app.api.transfer.moving.todoist.rows import NoHeader, rows
from app.api.transfer.moving.todoist.tasks import Project
from app.api.transfer.moving.todoist.texts import quoted

ZIP: Final = (b"PK\x03\x04", b"PK\x05\x06")
"""How a zip begins; the second one is without entries."""

SUFFIX: Final = ".csv"
MORE_LOSSES: Final = f"More could not be taken over; the first {MOST_OF_READER:,} are listed."
NO_PROJECT: Final = "The zip file has no CSV of Todoist."

BACKUP: Final = re.compile(r"Todoist backup ([0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{4}) UTC")
"""The name of a backup, which says when it was made."""


def read(file: IO[bytes], options: Options) -> Iterator[Found]:
    """Yield the tasks of a CSV or a zip, and what tasks cannot hold or what cannot be read.

    The name of a CSV is the project, that of a zip may say when it was made: by that day dates are
    read that have no year or are relative. Raises NotThisFormat.
    """
    file.seek(0)
    is_zip = file.read(4) in ZIP
    file.seek(0)
    return limited(_zip(file, options) if is_zip else _csv(file, options), MORE_LOSSES, "file")


def _csv(file: IO[bytes], options: Options) -> Iterator[Found]:
    name = _project_name(_stem(options.name or ""))
    return _project(file, Project(name or None, name, options, None))


def _zip(file: IO[bytes], options: Options) -> Iterator[Found]:
    exported = _exported(options.name or "")
    sources: set[str] = set()
    is_empty = True
    for number, (path, content) in enumerate(entries(file, SUFFIX), 1):
        stem = _stem(path)
        name = _project_name(stem)
        # Two projects may have the same name, and then only their ids tell their tasks apart.
        source = name if name not in sources else stem
        while source in sources:
            source += f"\n{number}"
        sources.add(source)
        try:
            for found in _project(content, Project(name or None, source, options, exported)):
                yield _in_entry(path, found) if isinstance(found, Loss) else found
            is_empty = False
        except NoHeader as error:
            yield Loss(number, "file", f"{quoted(path)} was left out. {error}")
    if is_empty:
        raise NotThisFormat(NO_PROJECT)


def _project(file: IO[bytes], project: Project) -> Iterator[Found]:
    for row in rows(file):
        if isinstance(row, Loss):
            yield row
        else:
            yield from project.found(row)
    yield from project.rest()


def _stem(name: str) -> str:
    """Return the name of a file without its ending."""
    text = storable(name)
    return text[: -len(SUFFIX)] if text.lower().endswith(SUFFIX) else text


def _project_name(stem: str) -> str:
    """Return the name of a project, which its id follows in `Name [id]`."""
    before, bracket, found = stem.removesuffix("]").rpartition(" [")
    has_id = stem.endswith("]") and bracket and found.isalnum()
    return (before if has_id else stem).strip()


def _exported(name: str) -> datetime | None:
    """Return when a backup of this name was made."""
    match = BACKUP.match(name)
    try:
        return datetime.strptime(match[1], "%Y-%m-%d %H%M").replace(tzinfo=UTC) if match else None
    except ValueError:
        return None


def _in_entry(path: str, loss: Loss) -> Loss:
    """Add to a loss in which file of the zip it is."""
    return loss._replace(detail=f"In {quoted(path)}: {loss.detail}")
