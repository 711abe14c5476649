"""Metrics in memory that all worker processes of a server share.

Each process writes to a row of its own, and readers add the rows up. The master assigns a row to a
worker before it forks it, and frees the row when the worker has ended. The next worker continues
its counters, so no count is lost however a process ends, and there are no more rows than there
were processes at once. Gauges end with their process.
"""

import mmap
from bisect import bisect_left
from collections.abc import Callable, Iterable
from threading import Lock
from typing import Final

from app.core.metrics import families
from app.core.metrics.families import BUCKETS, Family, Labels, MetricType

ROWS: Final = 256
"""More than there are ever worker processes at once, starting and ending ones included."""

SUM: Final = len(BUCKETS) + 1
"""Index of the sum in a histogram: after the buckets, the last of which has no upper bound."""


class Ledger:
    """All rows; this process writes to one of them."""

    def __init__(self, families: Iterable[Family]) -> None:
        self.families: Final = sorted(families, key=lambda it: it.type is not MetricType.GAUGE)
        self.offsets: Final[dict[Labels, int]] = {}
        """Where in a row each series begins, by the name of its metric and its labels."""
        self.width = self.gauges = 0
        for family in self.families:
            for labels in family.series:
                self.offsets[(family.name, *labels)] = self.width
                self.width += family.width
            if family.type is MetricType.GAUGE:
                self.gauges = self.width
        self.cells: Final = memoryview(mmap.mmap(-1, ROWS * self.width * 8)).cast("d")
        self.used: Final = memoryview(mmap.mmap(-1, 8)).cast("Q")
        """How many rows were ever assigned; shared too."""
        self.used[0] = 1
        self.assigned: dict[int, int] = {}
        self.lock: Final = Lock()
        self.row = self._row(0)
        self.set_gauges: Callable[[], None] = lambda: None
        """Sets the gauges of this process to their present values."""

    def _row(self, number: int) -> "memoryview[float]":
        return self.cells[number * self.width : (number + 1) * self.width]

    # Rows, by the number (`age`) that gunicorn gives each worker

    def assign(self, age: int) -> None:
        """In the master process: assign a free row to the next worker."""
        taken = set(self.assigned.values())
        self.assigned[age] = row = next((n for n in range(ROWS) if n not in taken), 0)
        self.used[0] = max(self.used[0], row + 1)

    def take(self, age: int) -> None:
        """In the worker, as it starts: write to its own row from now on."""
        self.row = self._row(self.assigned[age])
        self.add(families.WORKER_STARTS)
        self.set_gauges()

    def release(self, age: int) -> None:
        """In the master process: free the row of a worker that ended, and clear its gauges."""
        if (row := self.assigned.pop(age, None)) is not None:
            self._row(row)[: self.gauges] = memoryview(bytes(8 * self.gauges)).cast("d")

    # Writing and reading

    def add(self, family: Family, *labels: str, amount: float = 1) -> None:
        """Add to a counter or gauge; a series that does not exist is ignored."""
        if (offset := self.offsets.get((family.name, *labels))) is not None:
            with self.lock:
                self.row[offset] += amount

    def set(self, family: Family, value: float) -> None:
        """Set a gauge of this process."""
        self.row[self.offsets[(family.name,)]] = value

    def observe(self, family: Family, *labels: str, seconds: float) -> None:
        """Add an observation to a histogram."""
        offset = self.offsets[(family.name, *labels)]
        with self.lock:
            self.row[offset + bisect_left(BUCKETS, seconds)] += 1
            self.row[offset + SUM] += seconds

    def note_threads(self, threads: int, in_flight: int, queued: int) -> None:
        """Report how busy this worker is, about once a second."""
        self.set(families.THREADS, threads)
        self.set(families.IN_FLIGHT, in_flight)
        self.set(families.QUEUED, queued)
        self.set_gauges()

    def totals(self) -> list[float]:
        """Return the sums of all rows."""
        rows = (self._row(number).tolist() for number in range(self.used[0]))
        return [*map(sum, zip(*rows, strict=True))]


_ledger: Ledger | None = None


def use(ledger: Ledger | None) -> None:
    """Count in this ledger from now on, which exists before the workers are forked; or stop."""
    global _ledger
    _ledger = ledger


def ledger() -> Ledger | None:
    """Return the ledger of this process; None unless METRICS_TOKEN is set."""
    return _ledger


def add(family: Family, *labels: str, amount: float = 1) -> None:
    """Add to a counter or gauge if metrics are counted."""
    if _ledger:
        _ledger.add(family, *labels, amount=amount)
