"""The metrics: name, type, description and every series of each.

All series are known before the first request, so that no client can create new ones.
"""

from collections.abc import Iterable
from enum import StrEnum, auto
from functools import partial
from typing import Final, NamedTuple

from werkzeug.routing import Map

from app.core.problem_kinds import KINDS

Labels = tuple[str, ...]

BUCKETS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
"""Upper bounds of every histogram, in seconds."""

FAILURE_CAUSES: Final = ("full", "away", "silent", "lost", "node", "tls", "refused")
"""Why the database failed: the causes of db/failures.py, in lower case."""


class MetricType(StrEnum):
    """The Prometheus type of a metric."""

    COUNTER = auto()
    GAUGE = auto()
    HISTOGRAM = auto()


class Family(NamedTuple):
    """A metric with its label names and the label values of each series."""

    type: MetricType
    name: str
    meaning: str
    labels: Labels = ()
    series: tuple[Labels, ...] = ((),)

    @property
    def width(self) -> int:
        """Numbers in a series: one, or the buckets of a histogram and its sum."""
        return len(BUCKETS) + 2 if self.type is MetricType.HISTOGRAM else 1


_counter: Final = partial(Family, MetricType.COUNTER)
_gauge: Final = partial(Family, MetricType.GAUGE)
_histogram: Final = partial(Family, MetricType.HISTOGRAM)


def _each(values: Iterable[str]) -> tuple[Labels, ...]:
    """Return the series of a metric with one label."""
    return tuple((value,) for value in values)


# Requests

QUEUE: Final = _histogram(
    "tasks_http_queue_seconds",
    "Seconds from a request's first byte until a thread began with it.",
)
PROBLEMS: Final = _counter(
    "tasks_problems_total",
    "Problem documents sent, by the last part of their type.",
    ("type",),
    _each(KINDS),
)
IN_FLIGHT: Final = _gauge(
    "tasks_http_requests_in_flight",
    "Requests in progress, long polls included.",
)
QUEUED: Final = _gauge("tasks_http_requests_queued", "Requests that wait for a thread.")
LONG_POLLS: Final = _gauge("tasks_http_long_polls", "Requests that wait for a change.")
HINTS: Final = _counter(
    "tasks_live_hints_total",
    "Hints for Pushpin that a user has news, by what became of them.",
    ("outcome",),
    _each(("sent", "dropped")),
)
THREADS: Final = _gauge("tasks_http_threads", "Threads there are for ordinary requests.")

# Promises to clients

REPLAYS: Final = _counter(
    "tasks_idempotency_replays_total",
    "Answers that were given again to a request sent again with its Idempotency-Key.",
)
REFUSALS: Final = _counter(
    "tasks_rate_limit_refusals_total",
    "Requests refused with 429, by the limit that they met.",
    ("limit",),
    _each(("user", "address", "sign-in", "mail", "transfer", "turn")),
)

# The database

ROUND_TRIPS: Final = _histogram(
    "tasks_database_flight_seconds",
    "Seconds from sending statements to the database until its response.",
)
RETRIES: Final = _counter(
    "tasks_database_retries_total",
    "Statements and transactions that were sent again, as their connection had died.",
)
FAILURES: Final = _counter(
    "tasks_database_failures_total",
    "Requests that the database could not serve, by cause.",
    ("cause",),
    _each(FAILURE_CAUSES),
)
CONNECTIONS: Final = _counter(
    "tasks_database_connections_opened_total", "Connections that were made for the pool."
)
BREAKERS: Final = _gauge(
    "tasks_database_breakers_open",
    "Processes that refuse requests while the database is unavailable.",
)
POOL_LIMIT: Final = _gauge(
    "tasks_database_pool_limit", "Connections that the processes may have at most."
)
POOL_OPEN: Final = _gauge(
    "tasks_database_pool_open", "Connections that the processes have, in use or not."
)
POOL_IN_USE: Final = _gauge("tasks_database_pool_in_use", "Connections in use.")
POOL_WAITS: Final = _counter(
    "tasks_database_pool_waits_total", "Requests that waited for a connection of the pool."
)
POOL_WAIT_SECONDS: Final = _counter(
    "tasks_database_pool_wait_seconds_total", "Seconds of these waits."
)
POOL_TIMEOUTS: Final = _counter(
    "tasks_database_pool_timeouts_total", "Requests that waited in vain: every connection in use."
)

# The server

WORKERS: Final = _gauge("tasks_workers", "Processes that take requests.")
WORKER_STARTS: Final = _counter(
    "tasks_worker_starts_total", "Processes that were started to take requests."
)

PLAIN: Final = tuple(each for each in list(globals().values()) if isinstance(each, Family))
"""The metrics whose series do not depend on the routes."""

# Not in the ledger: constants, and what the database is asked for

BUILD: Final = _gauge(
    "tasks_build_info",
    "Always 1; the labels tell what runs.",
    ("version", "python", "schema"),
)
DATABASE_SIZE: Final = _gauge(
    "tasks_database_size_bytes", "Bytes of the database on disk, as last asked for."
)
MAILS: Final = _counter(
    "tasks_mails_total",
    "Attempts to send a mail, by what became of them, as last asked for.",
    ("outcome",),
    _each(("sent", "retried", "given_up")),
)
MAILS_DUE: Final = _gauge(
    "tasks_mails_due", "Mails that wait for a worker, 10001 for any more, as last asked for."
)
MAILS_OVERDUE: Final = _gauge(
    "tasks_mails_overdue_seconds",
    "Seconds that the first of these mails waits already, as last asked for.",
)
WEBHOOKS: Final = _counter(
    "tasks_webhooks_total",
    "Calls of webhooks, tests left out, by what became of them, as last asked for.",
    ("outcome",),
    _each(("delivered", "retried", "disabled")),
)
WEBHOOK_STATES: Final = ("answering", "failing")
WEBHOOKS_DUE: Final = _gauge(
    "tasks_webhooks_due",
    "Webhooks that are to be called now, 10001 for any more, as last asked for.",
    ("state",),
    _each(WEBHOOK_STATES),
)
WEBHOOKS_OVERDUE: Final = _gauge(
    "tasks_webhooks_overdue_seconds",
    "Seconds that the first of these webhooks waits already, as last asked for.",
    ("state",),
    _each(WEBHOOK_STATES),
)
STARTED: Final = _gauge("tasks_start_time_seconds", "When the server started, in seconds of 1970.")

# Metrics whose series depend on the routes

METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
UNMATCHED: Final = "unmatched"
"""The label `route` of requests that match no route."""

OTHER: Final = "other"
"""The label of any other method or status."""

_SUCCESSES: Final = {200, 201, 204, 206, 303, 304, 308}
STATUSES: Final[tuple[int | str, ...]] = (
    *sorted(_SUCCESSES | {kind.status for kind in KINDS.values()}),
    OTHER,
)


def pairs(url_map: Map) -> tuple[Labels, ...]:
    """Return the methods and routes that requests are counted by, UNMATCHED included."""
    routed = {(method, rule.rule) for rule in url_map.iter_rules() for method in rule.methods or ()}
    return (*sorted(routed), *((method, UNMATCHED) for method in (*METHODS, OTHER)))


def of_requests(routed: tuple[Labels, ...]) -> tuple[Family, Family]:
    """Return the metrics of how many requests were answered, and of how long they took."""
    requests = _counter(
        "tasks_http_requests_total",
        "Requests answered.",
        ("method", "route", "status"),
        tuple((*pair, str(status)) for pair in routed for status in STATUSES),
    )
    durations = _histogram(
        "tasks_http_request_duration_seconds",
        "Seconds from the start of a request in a thread until its response was ready, "
        "without the waiting time of long polls.",
        ("method", "route"),
        routed,
    )
    return requests, durations
