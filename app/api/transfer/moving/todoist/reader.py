"""Todoist: a CSV for each project, or a zip of them, as the app's backups are."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import IO, Final

from app.api.transfer.moving.found import MOST_OF_READER, Found, Loss, Options, limited
from app.api.transfer.moving.todoist.rows import rows
from app.api.transfer.moving.todoist.tasks import Project
from app.api.transfer.moving.zipped import is_zip, stem, unzipped

SUFFIX: Final = ".csv"
MORE_LOSSES: Final = f"More could not be taken over; the first {MOST_OF_READER:,} are listed."

BACKUP: Final = re.compile(r"Todoist backup ([0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{4}) UTC")
"""The name of a backup, which says when it was made."""


def read(file: IO[bytes], options: Options) -> Iterator[Found]:
    """Yield the tasks of a CSV or a zip, and what tasks cannot hold or what cannot be read.

    The name of a CSV is the project, that of a zip may say when it was made: by that day dates are
    read that have no year or are relative. Raises NotThisFormat.
    """
    name = options.name or ""
    if is_zip(file):
        backup = _Backup(_exported(name))
        found = unzipped(backup.read, SUFFIX, file, options._replace(name=None))
    else:
        project = _project_name(stem(name, SUFFIX))
        found = _project(file, Project(project or None, project, options, None))
    return limited(found, MORE_LOSSES, "file")


class _Backup:
    """The projects of a backup, of which two may have the same name."""

    def __init__(self, exported: datetime | None) -> None:
        self.exported = exported
        self.sources: set[str] = set()

    def read(self, file: IO[bytes], options: Options) -> Iterator[Found]:
        """Yield what is in the file of a project."""
        full = options.name or ""
        name = _project_name(full)
        # If names are the same, only their ids tell the tasks of two projects apart.
        source = name if name not in self.sources else full
        while source in self.sources:
            source += f"\n{len(self.sources)}"
        self.sources.add(source)
        return _project(file, Project(name or None, source, options, self.exported))


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
    try:
        return datetime.strptime(match[1], "%Y-%m-%d %H%M").replace(tzinfo=UTC) if match else None
    except ValueError:
        return None
