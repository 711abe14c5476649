"""Todoist: a CSV for each project, or a zip of them, as the app's backups are."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from hashlib import file_digest
from typing import IO, Final

from app.api.transfer.moving.found import (
    MOST_OF_READER,
    Found,
    Loss,
    Options,
    limited,
    quoted,
    storable,
)
from app.api.transfer.moving.todoist.rows import rows
from app.api.transfer.moving.todoist.tasks import Project
from app.api.transfer.moving.zipped import is_zip, unzipped

SUFFIX: Final = ".csv"
MORE_LOSSES: Final = f"More could not be taken over; the first {MOST_OF_READER:,} are listed."

BACKUP: Final = re.compile(
    r"Todoist backup ([0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2})[:._]?([0-9]{2}) UTC", re.IGNORECASE
)
"""The name of a backup, which says when it was made; systems differ in what parts the minutes."""

NO_NAME: Final = (
    "The name of the project is not known: its tasks are in no category, and a later export of it"
    " will count as another project. Send the name of the file as `name`."
)


def read(file: IO[bytes], options: Options) -> Iterator[Found]:
    """Yield the tasks of a CSV or a zip, and what tasks cannot hold or what cannot be read.

    The name of a CSV is the project, that of a zip may say when it was made: by that day dates are
    read that have no year or are relative. Raises NotThisFormat.
    """
    if is_zip(file):
        backup = _Backup(_exported(options.name or ""))
        found = unzipped(backup.read, SUFFIX, file, options._replace(name=None))
    else:
        found = _single(file, options)
    return limited(found, options, MORE_LOSSES, "file")


def _single(file: IO[bytes], options: Options) -> Iterator[Found]:
    """Yield what is in a file that came alone.

    Without a name the project is known by its bytes, so that the same file changes nothing when it
    is sent again, and another one is another project.
    """
    if name := _project_name(storable(options.name or "")):
        yield from _project(file, Project(name, name, options, None))
        return
    file.seek(0)
    digest = file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]
    yield Loss(1, "name", NO_NAME)
    yield from _project(file, Project(None, digest, options, None))


class _Backup:
    """The projects of a backup, of which several may have the same name."""

    def __init__(self, exported: datetime | None) -> None:
        self.exported = exported
        self.sources: set[str] = set()
        self.names: set[str] = set()
        """In lower case, as categories are told apart."""

    def read(self, file: IO[bytes], options: Options) -> Iterator[Found]:
        """Yield what is in the file of a project."""
        full = options.name or ""
        name = _project_name(full)
        # If names are the same, only their ids tell the tasks of two projects apart.
        source = name if name and name not in self.sources else full
        while source in self.sources:
            source += f"\n{len(self.sources)}"
        self.sources.add(source)
        yield from self._shared(name)
        yield from _project(file, Project(name or None, source, options, self.exported))

    def _shared(self, name: str) -> Iterator[Loss]:
        """Yield that a project before this one has its name, if so."""
        if name and name.lower() in self.names:
            yield Loss(
                1, "file", f"Several projects are named {quoted(name)}: they are one category."
            )
        self.names.add(name.lower())


def _project(file: IO[bytes], project: Project) -> Iterator[Found]:
    for row in rows(file):
        if isinstance(row, Loss):
            yield row
        else:
            yield from project.found(row)
    yield from project.rest()


def _project_name(stem: str) -> str:
    """Return the name of a project, which its id follows in `Name [id]`."""
    before, bracket, found = stem.removesuffix("]").rpartition(" [")
    has_id = stem.endswith("]") and bracket and found.isalnum()
    return (before if has_id else stem).strip()


def _exported(name: str) -> datetime | None:
    """Return when a backup of this name was made."""
    match = BACKUP.match(name)
    if not match:
        return None
    try:
        return datetime.strptime("".join(match.groups()), "%Y-%m-%d %H%M").replace(tzinfo=UTC)
    except ValueError:
        return None
