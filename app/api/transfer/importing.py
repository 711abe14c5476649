"""The import: line by line, written in chunks, so that nobody waits for long and memory is flat.

Each chunk is one statement and one transaction: what is written stays written when a later one
fails, and the same body sent again goes through it without changing anything.
"""

import time
from bisect import insort
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import partial
from operator import itemgetter
from typing import Any, Final, TypeVar

import psycopg2
from flask import current_app
from psycopg2.errors import IntegrityError, QueryCanceled

from app.api.tasks.schemas import columns
from app.api.transfer import in_order, renaming, rows
from app.api.transfer.in_order import Outcome
from app.api.transfer.reading import Defects, defect
from app.api.transfer.schemas import AccountLine, AnyLine, CategoryLine, EndLine, TaskLine
from app.api.users import queries as users
from app.auth.provisioning import with_account
from app.core import deadline, lifecycle
from app.core.problem_kinds import IMPORT_INTERRUPTED
from app.core.problems import Problem
from app.rows.quotas import NoRoom
from app.rows.versioned import Preconditions, within_quota
from app.web.client_socket import is_closed
from app.web.errors import BUSY, CONSTRAINTS, UNABLE
from app.web.request import current
from app.web.request_limits import request_limits

CHUNK_LINES: Final = 200
"""Of each kind."""

CHUNK_CHARACTERS: Final = 256 * 1024
"""Of descriptions, which is most of what a chunk can hold."""

LONGEST_SECONDS: Final = 50.0
"""For all lines together, once the body is there: less than a proxy waits for an answer."""

MOST_PLANS: Final = 20
"""Of names that pass from one category to another: one does, unless lines name a category twice."""

MOST_REFUSALS: Final = 100
"""That are told of."""

MOST_REFUSED: Final = 10_000
"""After so many lines that mean nothing it is not read on: it is no export."""

Line = dict[str, Any]
Item = TypeVar("Item")


class Import:
    """What one user's lines have come to so far.

    Lines wait in a chunk of their kind; when one is full, both are written, categories first, as
    tasks name them. So the number of statements depends on the number of lines and not on their
    order.
    """

    def __init__(
        self, user_id: str, categories: Callable[[], Iterable[tuple[int, CategoryLine]]]
    ) -> None:
        self.user_id = user_id
        self.all_categories = categories
        """The lines of categories in the whole file, to be read again."""
        self.plan: renaming.Plan | None = None
        """Which names categories have in the end, once that matters."""
        self.last_lines: list[Line] = []
        """The last line about each category, once that matters."""
        self.plans = 0
        self.early: dict[str, int] = {}
        """Categories whose last lines were written before their turn, and these lines."""
        self.counts = dict.fromkeys(("created", "updated", "unchanged", "refused"), 0)
        self.rows = 0
        self.complete = False
        self.has_account = False
        self.refusals: list[dict[str, Any]] = []
        self.categories: list[Line] = []
        self.tasks: list[Line] = []
        self.made: dict[str, int] = {}
        """The categories that this chunk made, and the lines that did."""
        self.unwritten: set[int] = set()
        """The lines of this chunk that have not been dealt with."""
        self.size = 0
        self.dealt_with = 0
        self.chunks = 0
        self.end = time.monotonic() + LONGEST_SECONDS

    def run(self, lines: Iterable[tuple[int, AnyLine | Defects | None]]) -> dict[str, Any]:
        """The report on all of the lines. Raises Problem 401, 503."""
        try:
            self.take_all(lines)
            self.renew_deadline()
        except psycopg2.Error as error:
            if not self.has_begun() or not (error.pgcode or "").startswith((*BUSY, *UNABLE)):
                raise
            raise self.interrupted() from error
        except NoRoom as full:
            full.members["line"] = min(self.unwritten, default=self.dealt_with + 1) - 1
            raise
        except Problem as problem:
            is_ours = problem.kind is IMPORT_INTERRUPTED
            if is_ours or not self.has_begun() or problem.kind.status != 503:
                raise
            raise self.interrupted() from problem
        return {**self.counts, "complete": self.complete, "refusals": self.refusals}

    def has_begun(self) -> bool:
        """Whether something may have been written."""
        return self.dealt_with > 0 or self.plans > 0

    def take_all(self, lines: Iterable[tuple[int, AnyLine | Defects | None]]) -> None:
        """Deal with all lines, unless too many of them mean nothing."""
        number = 0
        for number, line in self.in_time(lines):
            self.count_lines(number)
            if line is not None:
                self.take(number, line)
            if self.counts["refused"] >= MOST_REFUSED:
                self.flush(number)
                self.give_up(number)
                return
        self.flush(number)

    def interrupted(self, retry_after: int = 1) -> Problem:
        """How far it came; where that is nowhere, what stopped it says enough."""
        headers = {"Retry-After": str(retry_after)}
        return Problem(IMPORT_INTERRUPTED, headers=headers, line=self.dealt_with)

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
        """Add a row to the chunk of its kind, once there is room."""
        values = columns(line.data.all())
        chunk = self.categories if line.type == "category" else self.tasks
        if len(chunk) >= CHUNK_LINES or self.size > CHUNK_CHARACTERS:
            self.flush(number - 1)
            chunk = self.categories if line.type == "category" else self.tasks
        self.size += len(values.get("description") or "")
        chunk.append({"place": number, **values})

    def flush(self, number: int) -> None:
        """Write what waits: all lines up to this number. Raises Problem 503."""
        categories, tasks = self.categories, self.tasks
        self.categories, self.tasks, self.made, self.size = [], [], {}, 0
        if not categories and not tasks:
            return
        self.unwritten = {line["place"] for line in (*categories, *tasks)}
        self.write_all("category", categories)
        self.write_all("task", [line for line in tasks if not self.comes_too_early(line)])
        self.dealt_with = number

    def comes_too_early(self, task: Line) -> bool:
        """Refuse a task whose category is made by a later line of the same chunk."""
        if task["place"] > self.made.get(task["category_id"], 0):
            return False
        self.refuse_reference(task["place"])
        return True

    # Limits

    def begin(self) -> None:
        """Before each statement: look whether there is to be one more, and give it its time.

        The first is what the request itself was counted for. Raises Problem 503.
        """
        if lifecycle.leaving() or is_closed(current()):
            raise self.interrupted()
        self.require_time()
        self.count_chunk()
        self.renew_deadline()

    def count_lines(self, number: int) -> None:
        """Count lines that write nothing, such as blank ones, as if they were written.

        Raises Problem 503.
        """
        if number // CHUNK_LINES > self.chunks + 1:
            self.count_chunk()

    def count_chunk(self) -> None:
        """Count another request of the user. Raises Problem 503 where there may be no more."""
        self.chunks += 1
        if self.chunks > 1 and (wait := request_limits().count_more(self.user_id, 1)):
            raise self.interrupted(wait)

    def require_time(self) -> None:
        """Raise Problem 503 if the import as a whole has taken too long."""
        if time.monotonic() > self.end:
            raise self.interrupted()

    def renew_deadline(self) -> None:
        """The deadline of a request is that of each statement here: progress is asked for."""
        deadline.renew(current_app.config["SETTINGS"].request_deadline)

    def in_time(self, lines: Iterable[Item]) -> Iterator[Item]:
        """The lines, as long as the import has not taken too long. Raises Problem 503."""
        for line in lines:
            self.require_time()
            yield line

    # Writing

    def write_all(self, kind: str, chunk: list[Line]) -> None:
        """Write these lines, in smaller chunks if they take the database too long or have no room.

        Raises NoRoom for the first line that has none.
        """
        while chunk:
            try:
                count = self.write_some(kind, chunk)
            except (IntegrityError, QueryCanceled, NoRoom) as error:
                self.halve(kind, chunk, error)
                return
            chunk = chunk[count:]
            if chunk:
                self.make_room_for(chunk[0])

    def write_some(self, kind: str, chunk: list[Line]) -> int:
        """Write these lines, or those before one whose name has to come free; how many.

        Lines of different ids are one statement as a rule. Others are looked at one by one.
        """
        if len({line["id"] for line in chunk}) == len(chunk):
            with suppress(IntegrityError):
                return self.write(kind, chunk, self.written)
        return self.write(kind, chunk, partial(in_order.write, plan=self.plan))

    def halve(self, kind: str, chunk: list[Line], error: psycopg2.Error | NoRoom) -> None:
        """Write the lines in two parts; a single one is refused, or raises the error."""
        if len(chunk) > 1:
            middle = len(chunk) // 2
            self.write_all(kind, chunk[:middle])
            self.write_all(kind, chunk[middle:])
            return
        if not isinstance(error, IntegrityError):
            raise error
        problem = CONSTRAINTS.get(error.diag.constraint_name or "")
        if problem is None:
            raise error
        self.refuse(chunk[0]["place"], defect(problem.kind.slug, problem.detail, "/data"))

    def write(
        self, kind: str, chunk: list[Line], how: Callable[[str, str, list[Line]], list[Outcome]]
    ) -> int:
        """Write the first of these lines or none of them, and count what became of them."""
        self.begin()
        ids = {line["place"]: line["id"] for line in chunk}
        outcomes = self.in_quota(lambda: how(self.user_id, kind, chunk))
        for outcome in outcomes:
            self.note(kind, ids[outcome.place], outcome)
        return len(outcomes)

    def make_room_for(self, line: Line) -> None:
        """Let categories that later lines rename give up their names before this line.

        Names stay taken where that takes the database too long, or has been done often enough.
        """
        if self.plans == 0:
            self.last_lines = renaming.last_lines(self.in_time(self.all_categories()))
        self.plans += 1
        self.plan = renaming.NO_PLAN
        if self.plans > MOST_PLANS:
            return
        self.begin()
        with suppress(QueryCanceled):
            self.plan = self.in_quota(
                lambda: renaming.make_room(self.user_id, line, self.last_lines)
            )
        self.early |= {row_id: self.plan.names[row_id].place for row_id in self.plan.renamed}

    def in_quota(self, write: Callable[[], Item]) -> Item:
        """What the write returns, for a user who may have no account yet."""
        return with_account(lambda: within_quota(self.user_id, write))

    def written(self, user_id: str, kind: str, chunk: list[Line]) -> list[Outcome]:
        """What became of lines of different ids. Raises NoRoom, also where there is no account."""
        found = rows.write(user_id, kind, chunk)
        rows.require_written(found)
        return [
            Outcome(row.place, row.live, row.differs, None if row.allowed else "category_id")
            for row in found
        ]

    def note(self, kind: str, row_id: str, outcome: Outcome) -> None:
        """Count what became of a line."""
        self.unwritten.discard(outcome.place)
        if outcome.refusal == "category_id":
            self.refuse_reference(outcome.place)
        elif outcome.refusal:
            problem = CONSTRAINTS[outcome.refusal]
            self.refuse(outcome.place, defect(problem.kind.slug, problem.detail, "/data"))
        else:
            early = self.early.get(row_id) == outcome.place
            self.count(existed=outcome.live, changed=outcome.differs or early)
            if kind == "category" and not outcome.live:
                self.made[row_id] = outcome.place

    def account(self, line: AccountLine) -> None:
        """Give the account the name and the time zone."""
        self.begin()
        values = {"name": line.data.name, "time_zone": line.data.time_zone}
        before = users.get_user(self.user_id)
        after = with_account(lambda: users.update_user(self.user_id, values, Preconditions()))
        changed = before is None or before["version"] != after["version"]
        self.count(existed=True, changed=changed)

    def count(self, *, existed: bool, changed: bool) -> None:
        """One line more was good."""
        self.counts["unchanged" if not changed else "updated" if existed else "created"] += 1

    def give_up(self, number: int) -> None:
        """Tell that nothing after this line was read."""
        defects = defect("too_many_refused", f"is where it ends, as {MOST_REFUSED} were refused")
        self.refusals[-1] = {"line": number, "errors": defects}

    def refuse_reference(self, number: int) -> None:
        """A line names a category that is not there."""
        detail = "does not name one of your resources"
        self.refuse(number, defect("unknown_reference", detail, "/data/category_id"))

    def refuse(self, number: int, defects: Defects) -> None:
        """One line more was not; the first of them are told of, in their order."""
        self.counts["refused"] += 1
        self.unwritten.discard(number)
        insort(self.refusals, {"line": number, "errors": defects}, key=itemgetter("line"))
        del self.refusals[MOST_REFUSALS:]
