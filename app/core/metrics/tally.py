"""Count events from anywhere in the code; does nothing unless METRICS_TOKEN is set.

A process has one ledger, which exists before the workers are forked.
"""

from app.core.metrics.families import IN_FLIGHT, QUEUED, THREADS, WORKER_STARTS, Family
from app.core.metrics.ledger import Ledger

_ledger: Ledger | None = None


def use(ledger: Ledger | None) -> None:
    """Count in this ledger from now on; None stops counting."""
    global _ledger
    _ledger = ledger


def add(family: Family, *labels: str, amount: float = 1) -> None:
    """Add to a counter or gauge."""
    if _ledger:
        _ledger.add(family, *labels, amount=amount)


def assign_row(age: int) -> None:
    """In the master process, before it forks the worker with this number."""
    if _ledger:
        _ledger.assign(age)


def take_row(age: int) -> None:
    """In the worker with this number, as it starts."""
    if _ledger:
        _ledger.take(age)
        _ledger.add(WORKER_STARTS)
        _ledger.set_gauges()


def release_row(age: int) -> None:
    """In the master process, when the worker with this number has ended."""
    if _ledger:
        _ledger.release(age)


def note_threads(threads: int, in_flight: int, queued: int) -> None:
    """Report how busy this worker is, about once a second."""
    if _ledger:
        _ledger.set(THREADS, threads)
        _ledger.set(IN_FLIGHT, in_flight)
        _ledger.set(QUEUED, queued)
        _ledger.set_gauges()


def wanted() -> bool:
    """Whether metrics are counted."""
    return _ledger is not None
