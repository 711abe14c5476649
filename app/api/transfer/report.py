"""The report of an import: how many lines did what, and which were refused."""

from bisect import insort
from operator import itemgetter
from typing import Any, Final

from app.api.transfer.reading import Defects, defect
from app.core.problems import Problem

MOST_REFUSALS: Final = 100
"""Refusals to list, those of the first lines."""

MOST_REFUSED: Final = 10_000
"""Refused lines after which the rest is not read: the file is no export."""


class Report:
    """Counts lines as they are dealt with."""

    def __init__(self) -> None:
        self.counts = dict.fromkeys(("created", "updated", "unchanged", "refused"), 0)
        self.complete = False
        self.refusals: list[dict[str, Any]] = []

    def accept(self, *, existed: bool, changed: bool) -> None:
        """Count a line that was imported."""
        self.counts["unchanged" if not changed else "updated" if existed else "created"] += 1

    def refuse(self, number: int, defects: Defects) -> None:
        """Count a line that was not imported, and list it if it is among the first."""
        self.counts["refused"] += 1
        insort(self.refusals, {"line": number, "errors": defects}, key=itemgetter("line"))
        del self.refusals[MOST_REFUSALS:]

    def refuse_reference(self, number: int, field: str) -> None:
        """Refuse a line of which this field names no row."""
        detail = "does not name one of your resources"
        self.refuse(number, defect("unknown_reference", detail, f"/data/{field}"))

    def refuse_conflict(self, number: int, problem: Problem) -> None:
        """Refuse a line for the reason that a request with its row would be answered."""
        self.refuse(number, defect(problem.kind.slug, problem.detail, "/data"))

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
