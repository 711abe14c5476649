"""Making an import of another app's file: its tasks as the lines of an export of ours.

Ids are made of what identifies a task in the other app, so the same task has the same id in each
file. A digest of what came is kept: sending a file again changes nothing. What a newer file has
changed is written, if nobody has changed or deleted the task here since; else it stays as it is.
"""

import hashlib
import shutil
import time
from array import array
from collections.abc import Sequence
from typing import IO, Any, Final, NamedTuple

import orjson

from app.api.transfer.capacity import temporary_file
from app.api.transfer.formats import line
from app.api.transfer.moving import known
from app.api.transfer.moving.fitting import fitted, names_of
from app.api.transfer.moving.found import FoundTask, Loss, Losses, Options, Reader
from app.api.transfer.moving.identity import id_of
from app.api.transfer.moving.in_time import TOO_LONG
from app.api.transfer.moving.named import Named
from app.api.transfer.moving.refused import NotThisFormat, TooSlow
from app.api.transfer.moving.trees import MOST_TASKS, NOBODY, Place, Trees
from app.core import deadline

CHUNK: Final = 500

LONGEST_SECONDS: Final = 30.0
"""How long a file may take to be read; its tasks have as long as an export of ours after that."""


class Moved(NamedTuple):
    """The lines to import, the line of the other app's file of each of them, and the report."""

    file: IO[bytes]
    lines: "array[int]"
    already_there: int
    fingerprints: dict[str, bytes]
    """A digest of what came of each task that is to be written, by its id."""
    losses: Losses

    def line_of(self, number: int) -> int:
        """Return the line of the other app's file that a line came from; 1 for none."""
        return self.lines[number - 1] or 1 if 0 < number <= len(self.lines) else 1


class Arriving(NamedTuple):
    """A task of the file, and what it is called in the other app."""

    line: int
    row_id: str
    parent_id: str | None
    data: dict[str, Any]
    category: str | None
    labels: Sequence[str]
    fingerprint: bytes


class Conversion:
    """One file on its way into the account of a user."""

    def __init__(self, user_id: str, form: str, options: Options) -> None:
        self.user_id = user_id
        self.form = form
        self.options = options
        self.losses = Losses()
        self.trees = Trees()
        self.offsets = array("Q")
        self.fingerprints: dict[str, bytes] = {}
        self.categories = Named(user_id, form, "category")
        self.labels = Named(user_id, form, "label")

    def run(self, read: Reader, file: IO[bytes]) -> Moved:
        """Convert the file. Raises NotThisFormat, Problem 503, psycopg2.Error."""
        with (
            temporary_file("import") as found,
            temporary_file("import") as tasks,
            temporary_file("import") as lines,
        ):
            file.seek(0)
            end = time.monotonic() + LONGEST_SECONDS
            for each in read(file, self.options._replace(end=end)):
                if time.monotonic() > end:
                    raise TooSlow(TOO_LONG)
                if isinstance(each, Loss):
                    self.losses.append(each)
                else:
                    self._keep(each, found)
            moved = self._write(found, tasks, lines)
            found.close()
            tasks.close()
        return moved

    def _keep(self, task: FoundTask, found: IO[bytes]) -> None:
        """Put a task aside until the places of all are known."""
        if len(self.offsets) >= MOST_TASKS:
            raise NotThisFormat(f"The file has more than {MOST_TASKS:,} tasks.")
        if len(self.offsets) % CHUNK == 0:
            deadline.renew()
        category, labels = names_of(task, self.losses)
        if category:
            self.categories.add(category)
        for name in labels:
            self.labels.add(name)
        data = fitted(task, self.losses)
        self.trees.add(task)
        self.offsets.append(found.tell())
        kept = {"data": data, "category": category, "labels": labels}
        found.write(orjson.dumps(kept, option=orjson.OPT_APPEND_NEWLINE))

    def _write(self, found: IO[bytes], tasks: IO[bytes], lines: IO[bytes]) -> Moved:
        """Write the lines: first the tasks, which show what else is needed, then all in order."""
        deadline.renew()  # nothing may have renewed it while the file was read
        self.categories.look_up()
        self.labels.look_up()
        written = array("L")
        already = 0
        chunk: list[Arriving] = []
        for place in self.trees.in_order(self.losses):
            chunk.append(self._arriving(found, place))
            if len(chunk) == CHUNK:
                already += self._write_tasks(chunk, tasks, written)
                chunk = []
        already += self._write_tasks(chunk, tasks, written)
        places = array("L")
        for row in (*self.categories.lines(), *self.labels.lines()):
            lines.write(row)
            places.append(0)
        tasks.seek(0)
        shutil.copyfileobj(tasks, lines)
        return Moved(lines, places + written, already, self.fingerprints, self.losses)

    def _arriving(self, found: IO[bytes], place: Place) -> Arriving:
        """Return a task with the digest of what the file says, which names no ids of ours."""
        found.seek(self.offsets[place.number])
        kept = orjson.loads(found.readline())
        category, labels = kept["category"], kept["labels"]
        sources = self.trees.sources
        parent = None if place.parent == NOBODY else sources[place.parent]
        said = {
            **{name: value for name, value in kept["data"].items() if value is not None},
            "category": self.categories.keys[category] if category else None,
            "labels": sorted({self.labels.keys[name] for name in labels}),
            "parent": parent,
        }
        return Arriving(
            self.trees.lines[place.number],
            id_of(self.form, "task", sources[place.number]),
            parent and id_of(self.form, "task", parent),
            kept["data"],
            category,
            labels,
            hashlib.sha256(orjson.dumps(said, option=orjson.OPT_SORT_KEYS)).digest(),
        )

    def _write_tasks(self, chunk: list[Arriving], tasks: IO[bytes], written: "array[int]") -> int:
        """Write the tasks that are new or have changed; return how many stay as they are."""
        before = known.moved_before(self.user_id, [each.row_id for each in chunk])
        left = 0
        for each in chunk:
            reason = known.reason_to_leave(before.get(each.row_id), each.fingerprint)
            if reason is None:
                self.fingerprints[each.row_id] = each.fingerprint
                tasks.write(self._line(each))
                written.append(each.line)
                continue
            left += 1
            if reason:
                self.losses.append(Loss(each.line, "", reason))
        return left

    def _line(self, task: Arriving) -> bytes:
        """Return the line of a task, of which the categories and labels are needed now."""
        data = {
            "id": task.row_id,
            **task.data,
            "category_id": self.categories.need(task.category) if task.category else None,
            "label_ids": [*dict.fromkeys(map(self.labels.need, task.labels))],
            "parent_id": task.parent_id,
        }
        return line("task", {name: value for name, value in data.items() if value is not None})
