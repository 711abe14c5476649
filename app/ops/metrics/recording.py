"""Measure requests, database round trips and the connection pool."""

import time
from typing import Any

import psycopg2.extensions
from flask import Flask
from sqlalchemy import event

from app.core import deadline
from app.core.config import Settings
from app.core.metrics.families import (
    BREAKERS,
    CONNECTIONS,
    METHODS,
    OTHER,
    POOL_IN_USE,
    POOL_LIMIT,
    POOL_OPEN,
    QUEUE,
    ROUND_TRIPS,
    STATUSES,
    UNMATCHED,
    WORKERS,
    Family,
)
from app.core.metrics.ledger import Ledger
from app.db.base import GATE, Gate, db
from app.web.request import Request, current
from app.web.response import Response


class Requests:
    """Counts each request when its response is ready."""

    def __init__(self, ledger: Ledger, families: tuple[Family, Family], patience: float) -> None:
        self.ledger = ledger
        self.requests, self.durations = families
        self.series = {*self.durations.series}
        self.patience = patience

    def finish(self, response: Response) -> Response:
        """Count the request and return its response."""
        incoming = current()
        elapsed = time.perf_counter() - incoming.started
        # Too little for a request whose deadline was renewed; its wait counts as none.
        waited = max(0.0, self.patience - deadline.left() - elapsed)
        method, route = self._labels(incoming)
        code = response.status_code
        status = str(code) if code in STATUSES else OTHER
        self.ledger.add(self.requests, method, route, status)
        self.ledger.observe(self.durations, method, route, seconds=elapsed - incoming.slept)
        self.ledger.observe(QUEUE, seconds=waited)
        return response

    def _labels(self, incoming: Request) -> tuple[str, str]:
        rule, method = incoming.url_rule, incoming.method
        if rule is not None and (method, rule.rule) in self.series:
            return method, rule.rule
        return method if method in METHODS else OTHER, UNMATCHED


def measured_cursor(ledger: Ledger) -> type[psycopg2.extensions.cursor]:
    """Return a class of cursors that measure each round trip to the database."""

    class Cursor(psycopg2.extensions.cursor):  # type: ignore[misc]  # psycopg2 has no types
        def execute(self, query: Any, vars: Any = None) -> None:
            started = time.perf_counter()
            try:
                super().execute(query, vars)
            finally:
                ledger.observe(ROUND_TRIPS, seconds=time.perf_counter() - started)

    return Cursor


def set_gauges(ledger: Ledger, gate: Gate, settings: Settings) -> None:
    """Set the gauges of this process: its pool and its breaker."""
    in_use, idle = gate.pool.checkedout(), gate.pool.checkedin()
    ledger.set(WORKERS, 1)
    ledger.set(BREAKERS, gate.breaker.failure is not None)
    ledger.set(POOL_LIMIT, settings.db_pool_size + settings.db_max_overflow)
    ledger.set(POOL_OPEN, in_use + idle)
    ledger.set(POOL_IN_USE, in_use)


def init_app(app: Flask, ledger: Ledger, families: tuple[Family, Family]) -> None:
    """Measure this application; `families` are the metrics of requests and their durations."""
    settings: Settings = app.config["SETTINGS"]
    gate: Gate = app.extensions[GATE]
    ledger.set_gauges = lambda: set_gauges(ledger, gate, settings)
    cursors = measured_cursor(ledger)

    def measure(connection: Any, record: object) -> None:
        connection.cursor_factory = cursors
        ledger.add(CONNECTIONS)

    with app.app_context():
        event.listen(db.engine, "connect", measure)
    requests = Requests(ledger, families, settings.request_deadline)
    # Flask calls the first function last, so that it sees the response as it is sent.
    app.after_request_funcs.setdefault(None, []).insert(0, requests.finish)
