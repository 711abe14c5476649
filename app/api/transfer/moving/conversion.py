"""Making an import of another app's file: its tasks as the lines of an export of ours.

Ids are made of what identifies a task in the other app, so the same task has the same id in each
file. A digest of what came is kept: sending a file again changes nothing. What a newer file has
changed is written, if nobody has changed or deleted the task here since; else it stays as it is.
"""

import hashlib
import time
from array import array
from typing import IO, Any, Final, NamedTuple
from uuid import UUID, uuid5

import orjson

from app.api.transfer.capacity import temporary_file
from app.api.transfer.formats import line
from app.api.transfer.moving import known
from app.api.transfer.moving.fitting import fitted, names_of
from app.api.transfer.moving.found import FoundTask, Loss, Losses, Options, Reader
from app.api.transfer.moving.refused import NotThisFormat
from app.api.transfer.moving.trees import MOST_TASKS, NOBODY, Trees
from app.core import deadline
from app.db.sending import Row

NAMESPACE: Final = UUID("5f3a1c7e-9b24-5d86-8e07-2c4b6a9d1f35")
"""Of the ids of everything that was moved in (RFC 9562, section 5.5)."""

CHUNK: Final = 500

LONGEST_SECONDS: Final = 30.0
"""How long a file may take to be read; its tasks have as long as an export of ours after that."""

STAYS: Final = "The task was changed or deleted here since, and stays as it is."


class Moved(NamedTuple):
    """The lines to import, the line of the other app's file of each of them, and the report."""

    file: IO[bytes]
    lines: "array[int]"
    already_there: int
    fingerprints: dict[str, bytes]
    """A digest of what came of each task that is to be written, by its id."""
    losses: Losses


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
        self.names: dict[str, dict[str, str]] = {"category": {}, "label": {}}
        """The names of each kind as first written, by the name in lower case."""

    def run(self, read: Reader, file: IO[bytes]) -> Moved:
        """Convert the file. Raises NotThisFormat, Problem 503, psycopg2.Error."""
        with temporary_file("import") as found, temporary_file("import") as lines:
            file.seek(0)
            end = time.monotonic() + LONGEST_SECONDS
            for each in read(file, self.options._replace(end=end)):
                if time.monotonic() > end:
                    raise NotThisFormat("it takes too long to read; send it in parts")
                if isinstance(each, Loss):
                    self.losses.append(each)
                else:
                    self._keep(each, found)
            moved = self._write(found, lines)
            found.close()
        return moved

    def _keep(self, task: FoundTask, found: IO[bytes]) -> None:
        """Put a task aside until the places of all are known."""
        if len(self.offsets) >= MOST_TASKS:
            raise NotThisFormat(f"must have at most {MOST_TASKS} tasks")
        if len(self.offsets) % CHUNK == 0:
            deadline.renew()
        category, labels = names_of(task, self.losses)
        named = [("label", name) for name in labels]
        for kind, name in [*named, *([("category", category)] if category else [])]:
            self.names[kind].setdefault(name.lower(), name)
        data = fitted(task, self.losses)
        self.trees.add(task)
        self.offsets.append(found.tell())
        kept = {"data": data, "category": category, "labels": labels}
        found.write(orjson.dumps(kept, option=orjson.OPT_APPEND_NEWLINE))

    def _write(self, found: IO[bytes], lines: IO[bytes]) -> Moved:
        places = array("L")
        ids = {kind: self._named(kind, lines, places) for kind in self.names}
        already = 0
        chunk: list[dict[str, Any]] = []
        for place in self.trees.in_order(self.losses):
            chunk.append(self._task(found, place.number, place.parent, ids))
            if len(chunk) == CHUNK:
                already += self._write_tasks(chunk, lines, places)
                chunk = []
        already += self._write_tasks(chunk, lines, places)
        return Moved(lines, places, already, self.fingerprints, self.losses)

    def _named(self, kind: str, lines: IO[bytes], places: "array[int]") -> dict[str, str]:
        """Return the ids of the names, and write a line for each that the user does not have."""
        names = self.names[kind]
        ids = known.ids_of_names(self.user_id, kind, names)
        made = {key: self._id(kind, key) for key in names if key not in ids}
        # One that was renamed here stays so, and one that was deleted is made under another id.
        had = known.had(self.user_id, kind, list(made.values()))
        for key, row_id in made.items():
            live = had.get(row_id)
            ids[key] = self._id(kind, f"{key}\nagain") if live is False else row_id
            if not live:
                lines.write(line(kind, {"id": ids[key], "name": names[key]}))
                places.append(0)
        return ids

    def _task(
        self, found: IO[bytes], number: int, parent: int, ids: dict[str, dict[str, str]]
    ) -> dict[str, Any]:
        found.seek(self.offsets[number])
        kept = orjson.loads(found.readline())
        category, labels = kept["category"], kept["labels"]
        return {
            "line": self.trees.lines[number],
            "data": {
                "id": self._id_of(number),
                **kept["data"],
                "category_id": ids["category"][category.lower()] if category else None,
                "label_ids": [ids["label"][name.lower()] for name in labels],
                "parent_id": None if parent == NOBODY else self._id_of(parent),
            },
        }

    def _id_of(self, number: int) -> str:
        return self._id("task", self.trees.sources[number])

    def _write_tasks(
        self, chunk: list[dict[str, Any]], lines: IO[bytes], places: "array[int]"
    ) -> int:
        """Write the tasks that are new or have changed; return how many stay as they are."""
        deadline.renew()
        before = known.moved_before(self.user_id, [each["data"]["id"] for each in chunk])
        written = 0
        for each in chunk:
            data = {name: value for name, value in each["data"].items() if value is not None}
            row_id, digest = data["id"], _digest(data)
            row = before.get(row_id)
            if row and not self._is_to_change(each["line"], row, digest):
                continue
            self.fingerprints[row_id] = digest
            lines.write(line("task", data))
            places.append(each["line"])
            written += 1
        return len(chunk) - written

    def _is_to_change(self, number: int, row: Row, digest: bytes) -> bool:
        """Whether a task that is there has another content in the file, and was not touched."""
        if row.fingerprint is None or bytes(row.fingerprint) == digest:
            return False
        if not (row.live and row.untouched):
            self.losses.append(Loss(number, "", STAYS))
            return False
        return True

    def _id(self, kind: str, source: str) -> str:
        return str(uuid5(NAMESPACE, f"{self.form}\n{kind}\n{source}"))


def _digest(data: dict[str, Any]) -> bytes:
    return hashlib.sha256(orjson.dumps(data, option=orjson.OPT_SORT_KEYS)).digest()
