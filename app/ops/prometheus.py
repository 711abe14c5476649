"""GET /metrics for Prometheus, and what is measured for it of requests and of the database."""

import platform
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import accumulate
from threading import Lock
from typing import Any, Final

import psycopg2
import psycopg2.extensions
from apiflask import APIFlask
from flask import Blueprint, current_app
from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString
from sqlalchemy import event

from app.api.health.probe import EXTENSION as PROBE
from app.auth.policies import bears_metrics_token
from app.core import deadline
from app.core.config import Settings
from app.core.metrics import families, tally
from app.core.metrics.families import Family, MetricType
from app.core.metrics.tally import SUM, Ledger
from app.core.problem_kinds import UNAUTHENTICATED
from app.core.problems import Problem
from app.db.base import GATE, Gate, db
from app.db.pool import beside_the_pool
from app.ops.hooks import backlog as hooks
from app.ops.mail import backlog as mails
from app.web.request import current
from app.web.response import Document, Response

EXTENSION: Final = "metrics"

BOUNDS: Final = [*map(floatToGoString, families.BUCKETS), "+Inf"]

FIGURES_SECONDS: Final = 0.8
FRESH_SECONDS: Final = 60.0

SIZE: Final = (
    f"set local statement_timeout = {FIGURES_SECONDS * 1000:.0f};"
    " select pg_database_size(current_database())"
)

blueprint: Final = Blueprint("metrics", __name__)


@blueprint.get("/metrics")
def metrics() -> Document:
    """Respond with the metrics of all processes of this server. Raises Problem 401."""
    if not bears_metrics_token(current()):
        raise Problem(UNAUTHENTICATED, "Metrics are shown to the bearer of METRICS_TOKEN alone.")
    encode: Callable[[Collector], bytes]
    encode, media_type = choose_encoder(current().environ.get("HTTP_ACCEPT", ""))
    return Document(encode(current_app.extensions[EXTENSION]), media_type=media_type)


class DatabaseFigures:
    """What only the database knows, queried at most once a minute and only while it is used.

    Platforms suspend an unused database; a scrape must not wake it up. While mails wait or webhooks
    are due, it is not suspended, and what becomes of them has to be seen without a request.
    """

    def __init__(self, parameters: dict[str, Any]) -> None:
        self.parameters = parameters
        self.lock = Lock()
        self.asked_at, self.round_trips = float("-inf"), -1.0
        self.size: int | None = None
        self.mails: mails.Backlog | None = None
        self.hooks: hooks.Backlog | None = None

    def refresh(self, round_trips: float) -> None:
        """Query them if it is time; `round_trips` counts those since the server started."""
        if self.lock.acquire(blocking=False):  # otherwise another scrape is asking
            try:
                age = time.monotonic() - self.asked_at
                is_used = round_trips != self.round_trips or self._is_due(age)
                if age > FRESH_SECONDS and is_used:
                    self._query()
                    self.asked_at, self.round_trips = time.monotonic(), round_trips
            finally:
                self.lock.release()

    def _is_due(self, age: float) -> bool:
        if self.mails is not None and self.mails.is_waiting:
            return True
        due_in = self.hooks.due_in if self.hooks is not None else None
        return due_in is not None and due_in <= age

    def _query(self) -> None:
        self.size = self.mails = self.hooks = None
        with (
            suppress(psycopg2.Error),
            beside_the_pool(self.parameters, FIGURES_SECONDS) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute(SIZE)
            self.size = cursor.fetchone()[0]
            self.mails = mails.of(cursor)
            self.hooks = hooks.of(cursor)

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics of those that the database has told."""
        if self.size is not None:
            yield _metric(families.DATABASE_SIZE, [self.size])
        if self.mails is not None:
            yield _metric(families.MAILS, [*self.mails.totals])
            yield _metric(families.MAILS_DUE, [self.mails.due])
            yield _metric(families.MAILS_OVERDUE, [self.mails.overdue_seconds])
        if self.hooks is not None:
            yield _metric(families.WEBHOOKS, [*self.hooks.totals])
            yield _metric(families.WEBHOOKS_DUE, [*self.hooks.due])
            yield _metric(families.WEBHOOKS_OVERDUE, self.hooks.overdue_seconds)


class Exposition(Collector):
    """Collects the ledger, constants and figures of the database."""

    def __init__(
        self, ledger: Ledger, constants: dict[Family, float], figures: DatabaseFigures
    ) -> None:
        self.ledger = ledger
        self.constants = constants
        self.figures = figures

    def collect(self) -> Iterator[Metric]:
        """Yield each metric; of those with several labels only the series that are not zero."""
        for family, value in self.constants.items():
            yield _metric(family, [value])
        self.ledger.set_gauges()
        totals = self.ledger.totals()
        for family in self.ledger.families:
            yield _metric(family, totals[self.ledger.offsets[(family.name, *family.series[0])] :])
        offset = self.ledger.offsets[(families.ROUND_TRIPS.name,)]
        self.figures.refresh(sum(totals[offset : offset + SUM]))
        yield from self.figures.collect()


def _metric(family: Family, numbers: list[float]) -> Metric:
    """Return the metric; the numbers of its series are the first of these."""
    shown = [
        (labels, series)
        for index, labels in enumerate(family.series)
        if any(series := numbers[index * family.width : (index + 1) * family.width])
        or len(family.labels) < 2
    ]
    if family.type is MetricType.HISTOGRAM:
        histogram = HistogramMetricFamily(family.name, family.meaning, labels=family.labels)
        for labels, series in shown:
            buckets = [*zip(BOUNDS, accumulate(series[:SUM]), strict=True)]
            histogram.add_metric(labels, buckets, series[SUM])
        return histogram
    kind = CounterMetricFamily if family.type is MetricType.COUNTER else GaugeMetricFamily
    metric = kind(family.name, family.meaning, labels=family.labels)
    for labels, [number] in shown:
        metric.add_metric(labels, number)
    return metric


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


def measure(app: APIFlask, ledger: Ledger, requests: Family, durations: Family) -> None:
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

    def connected(connection: Any, record: object) -> None:
        connection.cursor_factory = cursors
        ledger.add(families.CONNECTIONS)

    def count(response: Response) -> Response:
        incoming, code = current(), response.status_code
        elapsed = time.perf_counter() - incoming.started
        # Too little for a request whose deadline was renewed; its wait counts as none.
        waited = max(0.0, settings.request_deadline - deadline.left() - elapsed)
        rule, method = incoming.url_rule, incoming.method
        pair = (method, rule.rule if rule else families.UNMATCHED)
        if pair not in routed:
            pair = (method if method in families.METHODS else families.OTHER, families.UNMATCHED)
        ledger.add(requests, *pair, str(code) if code in families.STATUSES else families.OTHER)
        ledger.observe(durations, *pair, seconds=elapsed - incoming.slept)
        ledger.observe(families.QUEUE, seconds=waited)
        return response

    ledger.set_gauges = set_gauges
    with app.app_context():
        event.listen(db.engine, "connect", connected)
    # Flask calls the first function last, so that it sees the response as it is sent.
    app.after_request_funcs.setdefault(None, []).insert(0, count)


def init_app(app: APIFlask) -> None:
    """Start to count, and add /metrics; called last, because the series depend on the routes."""
    app.register_blueprint(blueprint)
    probe = app.extensions[PROBE]
    requests, durations = families.of_requests(families.pairs(app.url_map))
    ledger = Ledger([*families.PLAIN, requests, durations])
    tally.use(ledger)
    measure(app, ledger, requests, durations)
    labels = (app.version, platform.python_version(), probe.head or "")
    constants = {families.BUILD._replace(series=(labels,)): 1.0, families.STARTED: time.time()}
    figures = DatabaseFigures(probe.parameters)
    app.extensions[EXTENSION] = Exposition(ledger, constants, figures)
