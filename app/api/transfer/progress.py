"""How far one import has come: the time and the requests that it may take, and its report."""

import time
from bisect import insort
from collections.abc import Callable, Iterable, Iterator
from math import inf
from operator import itemgetter
from typing import Any, Final, TypeVar

from flask import has_request_context

from app.api.transfer.reading import Defects, defect
from app.auth.policies import with_account
from app.core import deadline, lifecycle
from app.core.problem_kinds import IMPORT_INTERRUPTED
from app.core.problems import Problem
from app.rows.quotas import within_quota
from app.web.request import current, is_closed
from app.web.request_limits import request_limits

LONGEST_SECONDS: Final = 50.0
"""For all lines once the body is received: less than proxies wait for a response."""

MOST_REFUSALS: Final = 100
"""Refusals to list, those of the first lines."""

MOST_REFUSED: Final = 10_000
"""Refused lines after which the rest is not read: the file is no export."""

NO_END: Final = "The dry run did not come to the end of the file; nothing was written."

Item = TypeVar("Item")
Result = TypeVar("Result")


class Budget:
    """Runs the writes of an import as long as it may go on, and knows how far it has come."""

    def __init__(self, user_id: str, *, writes: bool) -> None:
        self.user_id = user_id
        self.writes = writes
        """Whether it is not a dry run, which only reads and counts as one request."""
        self.of_request = has_request_context()
        """Whether a client waits for the import; a command's takes the time that it needs."""
        self.end = time.monotonic() + LONGEST_SECONDS if self.of_request else inf
        self.chunks = 0
        self.last_line = 0
        """The last line that is dealt with, and all lines before it."""
        self.begun = False
        """Whether something may have been written."""

    def run(self, write: Callable[[], Result]) -> Result:
        """Return what a write returns, for a user who may have no account yet.

        It counts as a request and has as much time. Raises Problem 503 to stop the import, and
        whatever the write raises.
        """
        if lifecycle.leaving() or (self.of_request and is_closed(current())):
            raise self.interrupted()
        self.require_time()
        self._count_chunk()
        deadline.renew()
        return with_account(lambda: within_quota(self.user_id, write))

    def count_chunks(self, chunks: int) -> None:
        """Count lines that need no statement, such as blank ones, as if they were written.

        `chunks` is how many of them there would be so far; the last may still wait to be written.
        Raises Problem 503.
        """
        if chunks > self.chunks + 1:
            self._count_chunk()

    def finish_chunk(self, number: int) -> None:
        """Note that all lines up to this one are dealt with."""
        self.last_line = number
        self.begun = self.writes

    def in_time(self, items: Iterable[Item]) -> Iterator[Item]:
        """Yield the items. Raises Problem 503 once the import has taken too long."""
        for item in items:
            self.require_time()
            yield item

    def require_time(self) -> None:
        """Raise Problem 503 if the import has taken too long."""
        if time.monotonic() > self.end:
            raise self.interrupted()

    def interrupted(self, retry_after: int = 1) -> Problem:
        """Return the Problem 503 that says up to which line the import came."""
        detail = None if self.writes else NO_END
        headers = {"Retry-After": str(retry_after)}
        return Problem(IMPORT_INTERRUPTED, detail, headers=headers, line=self.last_line)

    def _count_chunk(self) -> None:
        """Count a request of the user, but for the first, which the request itself was.

        A command's import counts as none, and a dry run as the request that it is.
        """
        self.chunks += 1
        if not (self.of_request and self.writes):
            return
        if self.chunks > 1 and (wait := request_limits().count_more(self.user_id, 1)):
            raise self.interrupted(wait)


class Report:
    """Counts lines as they are dealt with."""

    def __init__(self) -> None:
        self.counts = dict.fromkeys(("created", "updated", "unchanged", "refused"), 0)
        self.complete = False
        self.refusals: list[dict[str, Any]] = []
        self.unwritten: set[int] = set()
        """The lines of a chunk that are not dealt with yet."""

    def accept(self, number: int, *, existed: bool, changed: bool) -> None:
        """Count a line that was imported."""
        self.unwritten.discard(number)
        self.counts["unchanged" if not changed else "updated" if existed else "created"] += 1

    def refuse(self, number: int, defects: Defects) -> None:
        """Count a line that was not imported, and list it if it is among the first."""
        self.unwritten.discard(number)
        self.counts["refused"] += 1
        insort(self.refusals, {"line": number, "errors": defects}, key=itemgetter("line"))
        del self.refusals[MOST_REFUSALS:]

    def refuse_reference(self, number: int, field: str) -> None:
        """Refuse a line of which this field names no row."""
        detail = "does not name one of your resources"
        self.refuse(number, defect("unknown_reference", detail, f"/data/{field}"))

    def refuse_conflict(self, number: int, problem: Problem) -> None:
        """Refuse a line for the reason that a request with its row would be answered."""
        errors = problem.members.get("errors") or defect(problem.kind.slug, problem.detail)
        self.refuse(number, [{**each, "pointer": f"/data{each['pointer']}"} for each in errors])

    def is_full(self) -> bool:
        """Whether so many lines were refused that no more are to be read."""
        return self.counts["refused"] >= MOST_REFUSED

    def end_at(self, number: int) -> None:
        """Say that no line after this one was read."""
        defects = defect("too_many_refused", f"is where it ends, as {MOST_REFUSED} were refused")
        self.refusals[-1] = {"line": number, "errors": defects}

    def members(self) -> dict[str, Any]:
        """Return the members of an ImportReport."""
        return {**self.counts, "complete": self.complete, "refusals": self.refusals}
