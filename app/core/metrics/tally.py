"""What is counted where it happens, if anybody wants to know: unless METRICS_TOKEN is set, nothing.

One ledger for the process, made before workers are forked from it.
"""

from app.core.metrics.families import IN_FLIGHT, QUEUED, THREADS, WORKER_STARTS, Family
from app.core.metrics.ledger import Ledger

_ledger: Ledger | None = None


def use(ledger: Ledger | None) -> None:
    """Count in this ledger from now on."""
    global _ledger
    _ledger = ledger


def add(family: Family, *labels: str, amount: float = 1) -> None:
    """Count up, or down where it is a gauge."""
    if _ledger and (place := _ledger.place(family, *labels)) is not None:
        _ledger.add(place, amount)


def assign_seat(age: int) -> None:
    """In the master process, before it forks the worker of this number."""
    if _ledger:
        _ledger.assign(age)


def take_seat(age: int) -> None:
    """In the worker of this number, as it begins."""
    if _ledger:
        _ledger.take(age)
        add(WORKER_STARTS)
        _ledger.look()


def leave_seat(age: int) -> None:
    """In the master process, when the worker of this number has ended."""
    if _ledger:
        _ledger.leave(age)


def note_threads(threads: int, in_flight: int, queued: int) -> None:
    """Say how busy this worker is, once a second or so."""
    if _ledger:
        _ledger.set(THREADS, threads)
        _ledger.set(IN_FLIGHT, in_flight)
        _ledger.set(QUEUED, queued)
        _ledger.look()


def wanted() -> bool:
    """Whether anything is counted."""
    return _ledger is not None
