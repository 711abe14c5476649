"""Measure requests, database round trips and the connection pool."""

import time
from typing import Any

import psycopg2.extensions
from flask import Flask
from sqlalchemy import event

from app.core import deadline
from app.core.config import Settings
from app.core.metrics import families
from app.core.metrics.families import METHODS, OTHER, STATUSES, UNMATCHED, Family
from app.core.metrics.tally import Ledger
from app.db.base import GATE, Gate, db
from app.web.request import current
from app.web.response import Response


def measured_cursor(ledger: Ledger) -> type[psycopg2.extensions.cursor]:
    """Return a class of cursors that measure each round trip to the database."""

    class Cursor(psycopg2.extensions.cursor):  # type: ignore[misc]  # psycopg2 has no types
        def execute(self, query: Any, vars: Any = None) -> None:
            started = time.perf_counter()
            try:
                super().execute(query, vars)
            finally:
                ledger.observe(families.ROUND_TRIPS, seconds=time.perf_counter() - started)

    return Cursor


def init_app(app: Flask, ledger: Ledger, requests: Family, durations: Family) -> None:
    """Measure this application; `requests` and `durations` have a series for each route."""
    settings: Settings = app.config["SETTINGS"]
    gate: Gate = app.extensions[GATE]
    cursors = measured_cursor(ledger)
    routed = {*durations.series}

    def set_gauges() -> None:
        in_use, idle = gate.pool.checkedout(), gate.pool.checkedin()
        ledger.set(families.WORKERS, 1)
        ledger.set(families.BREAKERS, gate.breaker.failure is not None)
        ledger.set(families.POOL_LIMIT, settings.db_pool_size + settings.db_max_overflow)
        ledger.set(families.POOL_OPEN, in_use + idle)
        ledger.set(families.POOL_IN_USE, in_use)

    def measure(connection: Any, record: object) -> None:
        connection.cursor_factory = cursors
        ledger.add(families.CONNECTIONS)

    def count(response: Response) -> Response:
        incoming, code = current(), response.status_code
        elapsed = time.perf_counter() - incoming.started
        # Too little for a request whose deadline was renewed; its wait counts as none.
        waited = max(0.0, settings.request_deadline - deadline.left() - elapsed)
        rule, method = incoming.url_rule, incoming.method
        pair = (method, rule.rule if rule else UNMATCHED)
        if pair not in routed:
            pair = (method if method in METHODS else OTHER, UNMATCHED)
        ledger.add(requests, *pair, str(code) if code in STATUSES else OTHER)
        ledger.observe(durations, *pair, seconds=elapsed - incoming.slept)
        ledger.observe(families.QUEUE, seconds=waited)
        return response

    ledger.set_gauges = set_gauges
    with app.app_context():
        event.listen(db.engine, "connect", measure)
    # Flask calls the first function last, so that it sees the response as it is sent.
    app.after_request_funcs.setdefault(None, []).insert(0, count)
