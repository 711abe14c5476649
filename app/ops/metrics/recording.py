"""The measuring of requests, flights to the database, and the pool."""

import time
from bisect import bisect_left
from typing import Any, Final

import psycopg2.extensions
from flask import Flask
from sqlalchemy import event

from app.core import deadline
from app.core.config import Settings
from app.core.metrics.families import (
    BREAKERS,
    BUCKETS,
    CONNECTIONS,
    FLIGHTS,
    OTHER,
    POOL_IN_USE,
    POOL_LIMIT,
    POOL_OPEN,
    QUEUE,
    STATUSES,
    UNMATCHED,
    WORKERS,
    Family,
    Labels,
)
from app.core.metrics.ledger import SUM, Ledger
from app.db.base import GATE, Gate, db
from app.web.request import current
from app.web.response import Response


class Requests:
    """Counts each request as it is answered; all of it in one go, as the request waits for it."""

    def __init__(self, ledger: Ledger, families: tuple[Family, Family], patience: float) -> None:
        requests, durations = families
        self.ledger = ledger
        self.patience = patience
        self.places: Final[dict[Labels, tuple[int, int]]] = {
            (method, route): (
                ledger.places[requests.name, method, route, str(STATUSES[0])],
                ledger.places[durations.name, method, route],
            )
            for method, route in durations.series
        }
        self.queue: Final = ledger.places[(QUEUE.name,)]
        self.statuses: Final = {status: n for n, status in enumerate(STATUSES)}

    def finish(self, response: Response) -> Response:
        """The answer, which has been counted."""
        incoming = current()
        elapsed = time.perf_counter() - incoming.started
        # Of a request whose deadline was renewed this is too little, and its wait counts as none.
        waited = max(0.0, self.patience - deadline.left() - elapsed)
        seconds = elapsed - incoming.slept
        counts, durations = self._places(incoming.method, incoming.url_rule)
        status = self.statuses.get(response.status_code, len(STATUSES) - 1)
        ledger = self.ledger
        with ledger.lock:
            row = ledger.row
            row[counts + status] += 1
            row[durations + bisect_left(BUCKETS, seconds)] += 1
            row[durations + SUM] += seconds
            row[self.queue + bisect_left(BUCKETS, waited)] += 1
            row[self.queue + SUM] += waited
        return response

    def _places(self, method: str, rule: Any) -> tuple[int, int]:
        if rule is not None and (found := self.places.get((method, rule.rule))):
            return found
        return self.places.get((method, UNMATCHED)) or self.places[OTHER, UNMATCHED]


def measure_flights(ledger: Ledger) -> type[psycopg2.extensions.cursor]:
    """Cursors that count how often and how long they wait for the database."""
    place = ledger.places[(FLIGHTS.name,)]

    class Cursor(psycopg2.extensions.cursor):  # type: ignore[misc]  # psycopg2 has no types
        def execute(self, query: Any, vars: Any = None) -> None:
            started = time.perf_counter()
            try:
                super().execute(query, vars)
            finally:
                ledger.observe(place, time.perf_counter() - started)

    return Cursor


def look_at(ledger: Ledger, gate: Gate, settings: Settings) -> None:
    """Write down what is the case in this process."""
    in_use, idle = gate.pool.checkedout(), gate.pool.checkedin()
    ledger.set(WORKERS, 1)
    ledger.set(BREAKERS, gate.breaker.failure is not None)
    ledger.set(POOL_LIMIT, settings.db_pool_size + settings.db_max_overflow)
    ledger.set(POOL_OPEN, in_use + idle)
    ledger.set(POOL_IN_USE, in_use)


def init_app(app: Flask, ledger: Ledger, families: tuple[Family, Family]) -> None:
    """Measure what this application does."""
    settings: Settings = app.config["SETTINGS"]
    gate: Gate = app.extensions[GATE]
    ledger.look = lambda: look_at(ledger, gate, settings)
    cursors = measure_flights(ledger)
    opened = ledger.places[(CONNECTIONS.name,)]

    def count_flights(connection: Any, record: object) -> None:
        connection.cursor_factory = cursors
        ledger.add(opened)

    with app.app_context():
        event.listen(db.engine, "connect", count_flights)
    requests = Requests(ledger, families, settings.request_deadline)
    # First in the list, to be called last: it counts the answer that leaves.
    app.after_request_funcs.setdefault(None, []).insert(0, requests.finish)
