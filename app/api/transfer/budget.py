"""The limits of an import as a whole: its time, and the requests that it counts as."""

import time
from collections.abc import Iterable, Iterator
from typing import Final, TypeVar

from flask import current_app

from app.core import deadline, lifecycle
from app.core.problem_kinds import IMPORT_INTERRUPTED
from app.core.problems import Problem
from app.web.request import current, is_closed
from app.web.request_limits import request_limits

LONGEST_SECONDS: Final = 50.0
"""For all lines once the body is received: less than proxies wait for a response."""

Item = TypeVar("Item")


class Budget:
    """Checks before each statement that the import may go on, and knows how far it has come."""

    def __init__(self, user_id: str) -> None:
        self.user_id = user_id
        self.end = time.monotonic() + LONGEST_SECONDS
        self.chunks = 0
        self.last_line = 0
        """The last line that is dealt with, and all lines before it."""
        self.begun = False
        """Whether something may have been written."""

    def begin_statement(self) -> None:
        """Count a statement and renew the deadline. Raises Problem 503 to stop the import."""
        if lifecycle.leaving() or is_closed(current()):
            raise self.interrupted()
        self.require_time()
        self._count_chunk()
        renew_deadline()

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
        self.begun = True

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
        headers = {"Retry-After": str(retry_after)}
        return Problem(IMPORT_INTERRUPTED, headers=headers, line=self.last_line)

    def _count_chunk(self) -> None:
        """Count a request of the user, but for the first, which the request itself was."""
        self.chunks += 1
        if self.chunks > 1 and (wait := request_limits().count_more(self.user_id, 1)):
            raise self.interrupted(wait)


def renew_deadline() -> None:
    """Give the next statement as much time as a request has."""
    deadline.renew(current_app.config["SETTINGS"].request_deadline)
