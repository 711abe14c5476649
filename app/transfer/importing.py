"""The import: line by line, written in chunks, so that nobody waits for long and memory is flat.

Each chunk is one statement and one transaction: what is written stays written when a later one
fails, and the same body sent again goes through it without changing anything.
"""

from collections.abc import Iterable
from functools import partial
from typing import Any, Final

import psycopg2
from flask import current_app
from psycopg2.errors import IntegrityError, QueryCanceled

from app import deadline, lifecycle
from app.auth import provisioning
from app.errors import BUSY, CONSTRAINTS, UNABLE
from app.execution import Row
from app.problems import IMPORT_INTERRUPTED, Problem
from app.quotas import NoRoom
from app.tasks.schemas import columns
from app.transfer import rows
from app.transfer.reading import Defects, defect
from app.transfer.schemas import AccountLine, AnyLine, CategoryLine, EndLine, TaskLine
from app.users import queries as users
from app.versioned import Preconditions, within_quota

CHUNK_LINES: Final = 200
CHUNK_CHARACTERS: Final = 256 * 1024
"""Of descriptions, which is most of what a chunk can hold."""

MOST_REFUSALS: Final = 100
"""That are told of."""

MOST_REFUSED: Final = 10_000
"""After so many lines that mean nothing it is not read on: it is no export."""


class Import:
    """What one user's lines have come to so far."""

    def __init__(self, user_id: str) -> None:
        self.user_id = user_id
        self.counts = dict.fromkeys(("created", "updated", "unchanged", "refused"), 0)
        self.rows = 0
        self.complete = False
        self.has_account = False
        self.refusals: list[dict[str, Any]] = []
        self.chunk: dict[str, dict[str, Any]] = {}
        self.kind = ""
        self.size = 0
        self.dealt_with = 0

    def run(self, lines: Iterable[tuple[int, AnyLine | Defects]]) -> dict[str, Any]:
        """The report on all of the lines. Raises Problem 401, 503."""
        number = 0
        try:
            for number, line in lines:
                self.take(number, line)
                if self.counts["refused"] >= MOST_REFUSED:
                    self.give_up(number)
                    break
            self.flush(number)
            self.begin()
        except psycopg2.Error as error:
            if not self.dealt_with or not (error.pgcode or "").startswith((*BUSY, *UNABLE)):
                raise
            raise self.interrupted() from error
        except NoRoom as full:
            full.members["line"] = self.dealt_with
            raise
        except Problem as problem:
            if not self.dealt_with or problem.kind.status != 503:
                raise
            raise self.interrupted() from problem
        refusals = sorted(self.refusals, key=lambda refusal: refusal["line"])
        return {**self.counts, "complete": self.complete, "refusals": refusals}

    def interrupted(self) -> Problem:
        """How far it came; where that is nowhere, what stopped it says enough."""
        return Problem(IMPORT_INTERRUPTED, line=self.dealt_with)

    def take(self, number: int, line: AnyLine | Defects) -> None:
        """Put the line with those of its kind that wait to be written."""
        if isinstance(line, AccountLine) and self.has_account:
            self.refuse(number, defect("account_again", "must be the only line of its type"))
        elif isinstance(line, AccountLine):
            self.has_account = True
            self.flush(number - 1)
            self.account(line)
            self.dealt_with = number
        elif isinstance(line, EndLine):
            self.complete = self.rows == line.data.categories + line.data.tasks
        else:
            self.rows += 1
            self.refuse(number, line) if isinstance(line, list) else self.add(number, line)

    def add(self, number: int, line: CategoryLine | TaskLine) -> None:
        """Add a row to the chunk, once there is room and it has no other of this id."""
        values = columns(line.data.all())
        full = len(self.chunk) >= CHUNK_LINES or self.size > CHUNK_CHARACTERS
        if full or line.type != self.kind or values["id"] in self.chunk:
            self.flush(number - 1)
            self.kind = line.type
        self.size += len(values.get("description") or "")
        self.chunk[values["id"]] = {"place": number, **values}

    def flush(self, number: int) -> None:
        """Write what waits: all lines up to this number. Raises Problem 503."""
        chunk, self.chunk, self.size = [*self.chunk.values()], {}, 0
        if not chunk:
            return
        if lifecycle.leaving():
            raise self.interrupted()
        self.write_all(chunk)
        self.dealt_with = number

    def begin(self) -> None:
        """The deadline of a request is that of each statement here: progress is asked for."""
        deadline.renew(current_app.config["SETTINGS"].request_deadline)

    def write_all(self, chunk: list[dict[str, Any]]) -> None:
        """Write these lines, in smaller chunks if they take the database too long or have no room.

        Raises NoRoom for the first line that has none.
        """
        try:
            self.write(chunk)
        except IntegrityError:
            self.write_one_by_one(chunk)
        except (QueryCanceled, NoRoom):
            if len(chunk) == 1:
                raise
            middle = len(chunk) // 2
            self.write_all(chunk[:middle])
            self.write_all(chunk[middle:])

    def write(self, chunk: list[dict[str, Any]]) -> None:
        """Write these lines or none of them."""
        self.begin()
        write = provisioning(partial(within_quota, self.user_id))
        for row in write(lambda: self.written(chunk)):
            if not row.allowed:
                detail = "does not name one of your resources"
                self.refuse(row.place, defect("unknown_reference", detail, "/data/category_id"))
            else:
                self.count(existed=row.live, changed=row.differs)
        self.dealt_with = chunk[-1]["place"]

    def written(self, chunk: list[dict[str, Any]]) -> list[Row]:
        """What became of them. Raises NoRoom, also where there is no account."""
        found = rows.write(self.user_id, self.kind, chunk)
        unwritten = [row for row in found if row.allowed and row.differs and not row.written]
        if unwritten:
            raise NoRoom(rows=sum(not row.live for row in unwritten))
        return found

    def write_one_by_one(self, chunk: list[dict[str, Any]]) -> None:
        """Find the line that the database refuses, and write the others."""
        for line in chunk:
            try:
                self.write([line])
            except IntegrityError as error:
                problem = CONSTRAINTS.get(error.diag.constraint_name or "")
                if problem is None:
                    raise
                self.refuse(line["place"], defect(problem.kind.slug, problem.detail, "/data"))

    def account(self, line: AccountLine) -> None:
        """Give the account the name and the time zone."""
        self.begin()
        values = {"name": line.data.name, "time_zone": line.data.time_zone}
        before = users.get_user(self.user_id)
        after = provisioning(users.update_user)(self.user_id, values, Preconditions())
        changed = before is None or before["version"] != after["version"]
        self.count(existed=True, changed=changed)

    def count(self, *, existed: bool, changed: bool) -> None:
        """One line more was good."""
        self.counts["unchanged" if not changed else "updated" if existed else "created"] += 1

    def give_up(self, number: int) -> None:
        """Tell that nothing after this line was read."""
        defects = defect("too_many_refused", f"is where it ends, as {MOST_REFUSED} were refused")
        self.refusals[-1] = {"line": number, "errors": defects}

    def refuse(self, number: int, defects: Defects) -> None:
        """One line more was not."""
        self.counts["refused"] += 1
        if len(self.refusals) < MOST_REFUSALS:
            self.refusals.append({"line": number, "errors": defects})
