"""Work that may take longer than a request has, in chunks that are transactions of their own."""

from collections.abc import Callable, Iterable
from typing import Final

import psycopg2

from app.core import deadline
from app.core.problem_kinds import UNFINISHED
from app.core.problems import Problem

SPARE_SECONDS: Final = 1.0
"""What the last chunk of a request has to leave of its time."""


def run_each(chunks: Iterable[Callable[[], object]], *, begun: bool = False) -> None:
    """Do the chunks; `begun` says that something has been done before.

    Raises Problem 503 `unfinished` if there is no time for all of them, and whatever the first one
    raises, unless work was begun before.
    """
    for number, chunk in enumerate(chunks, start=int(begun)):
        if number and deadline.left() < SPARE_SECONDS:
            raise Problem(UNFINISHED)
        try:
            chunk()
        except (psycopg2.Error, Problem) as error:
            if not number:
                raise
            raise Problem(UNFINISHED) from error  # the error may say that nothing was changed
