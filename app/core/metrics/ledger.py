"""Numbers that the processes of a server count up, each in a row of its own of shared memory.

A row belongs to a seat. A worker takes a seat when it is forked and leaves it when it has ended,
and who takes it next counts on from there: no count is lost with a process, however it ends, and
there are never more rows than there were processes at once. Only what is the case now, the gauges,
ends with its process.
"""

import mmap
from bisect import bisect_left
from collections.abc import Callable, Iterable
from threading import Lock
from typing import Final

from app.core.metrics.families import BUCKETS, Family, Kind, Labels

SEATS: Final = 256
"""More than there ever are workers at once, old and new."""
SUM: Final = len(BUCKETS) + 1
"""Where a histogram has its sum: after the buckets, of which the last is without bound."""


class Ledger:
    """The rows, of which this process writes one and reads all.

    Whoever writes holds `lock`, which is this process's own.
    """

    def __init__(self, families: Iterable[Family]) -> None:
        self.families: Final = sorted(families, key=lambda family: family.kind is not Kind.GAUGE)
        self.places: Final = self._places()
        """Where in a row each series begins, by its metric's name and its labels."""
        self.width: Final = sum(each.width * len(each.series) for each in self.families)
        self.cells: Final = memoryview(mmap.mmap(-1, SEATS * self.width * 8)).cast("d")
        self.used: Final = memoryview(mmap.mmap(-1, 8)).cast("Q")
        self.seats: dict[int, int] = {}
        self.lock: Final = Lock()
        self.look: Callable[[], None] = lambda: None
        """Writes down the gauges of this process."""
        self.used[0] = 1
        self.row = self._row(0)

    def _places(self) -> dict[Labels, int]:
        found, place = {}, 0
        for family in self.families:
            for labels in family.series:
                found[(family.name, *labels)] = place
                place += family.width
        return found

    def _row(self, seat: int) -> "memoryview[float]":
        return self.cells[seat * self.width : (seat + 1) * self.width]

    # Seats, by the numbers that gunicorn gives its workers

    def assign(self, age: int) -> None:
        """In the process that forks workers: give the next one a seat."""
        taken = set(self.seats.values())
        self.seats[age] = seat = next((n for n in range(SEATS) if n not in taken), 0)
        self.used[0] = max(self.used[0], seat + 1)

    def take(self, age: int) -> None:
        """In a worker: write to its own row from now on."""
        self.row = self._row(self.seats[age])

    def leave(self, age: int) -> None:
        """In the process that forked it: what was the case in a worker is so no more."""
        if (seat := self.seats.pop(age, None)) is not None:
            gauges = sum(len(each.series) for each in self.families if each.kind is Kind.GAUGE)
            self._row(seat)[:gauges] = memoryview(bytes(8 * gauges)).cast("d")

    # Writing

    def place(self, family: Family, *labels: str) -> int | None:
        """Where the series is; None if there is no such series."""
        return self.places.get((family.name, *labels))

    def add(self, place: int, amount: float = 1) -> None:
        """Count a counter up, or a gauge up or down."""
        with self.lock:
            self.row[place] += amount

    def set(self, family: Family, value: float) -> None:
        """Write down what a gauge is in this process."""
        self.row[self.places[(family.name,)]] = value

    def observe(self, place: int, seconds: float) -> None:
        """Count one observation of a histogram."""
        with self.lock:
            self.row[place + bisect_left(BUCKETS, seconds)] += 1
            self.row[place + SUM] += seconds

    # Reading

    def totals(self) -> list[float]:
        """The sums of all rows."""
        rows = (self._row(seat).tolist() for seat in range(self.used[0]))
        return [*map(sum, zip(*rows, strict=True))]
