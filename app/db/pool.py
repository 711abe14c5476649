"""The engine and its connection pool: how connections are opened, checked and closed."""

import logging
import select
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import psycopg2
from psycopg2.extensions import UNICODE, new_array_type, new_type, register_type
from sqlalchemy import Dialect, Engine, event
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import QueuePool

from app.core import deadline
from app.core.config import Settings
from app.core.database_url import overrule_environment
from app.core.metrics import tally
from app.core.metrics.families import POOL_TIMEOUTS, POOL_WAIT_SECONDS, POOL_WAITS
from app.db.breaker import Breaker

APPLICATION_NAME: Final = "tasks-api"
UUID_OID: Final = (2950,)
UUID_ARRAY_OID: Final = (2951,)


class Pool(QueuePool):
    """A LIFO pool in which a request waits for a connection no longer than its deadline allows.

    It counts the waits, for the metrics.
    """

    # SQLAlchemy's QueuePool reads this private attribute whenever a caller has to wait.
    @property
    def _timeout(self) -> float:
        return min(self._patience, max(0.0, deadline.left()))

    @_timeout.setter
    def _timeout(self, seconds: float) -> None:
        self._patience = seconds

    def _do_get(self) -> Any:
        if self._overflow < self._max_overflow or not self._pool.empty():
            return super()._do_get()
        started = time.perf_counter()
        try:
            return super()._do_get()
        except PoolTimeout:
            tally.add(POOL_TIMEOUTS)
            raise
        finally:
            tally.add(POOL_WAITS)
            tally.add(POOL_WAIT_SECONDS, amount=time.perf_counter() - started)


# SQLAlchemy's pool logs every invalidated connection at INFO; operators do not need it.
logging.getLogger(f"{Pool.__module__}.{Pool.__name__}").setLevel(logging.WARNING)


def options(settings: Settings) -> dict[str, Any]:
    """The options of `create_engine`."""
    return {
        "isolation_level": "AUTOCOMMIT",
        "skip_autocommit_rollback": True,
        "poolclass": Pool,
        "pool_size": settings.db_pool_size,
        "max_overflow": settings.db_max_overflow,
        "pool_timeout": settings.db_pool_timeout,
        "pool_recycle": 240,  # Neon suspends after five idle minutes
        "pool_use_lifo": True,
        "pool_reset_on_return": None,  # no state outlives a statement
        "use_native_hstore": False,
        "hide_parameters": True,
        "connect_args": connect_options(settings),
    }


def connect_options(settings: Settings) -> dict[str, Any]:
    """The connection parameters of libpq.

    Keepalives together with `tcp_user_timeout` detect a dropped link within seconds; neither does
    alone. Source: PostgreSQL, "Parameter Key Words".
    """
    return {
        "connect_timeout": settings.db_connect_timeout,
        "application_name": APPLICATION_NAME,
        "keepalives_idle": 5,
        "keepalives_interval": 2,
        "keepalives_count": 2,
        "tcp_user_timeout": 5000,
    }


def connect_parameters(engine: Engine, settings: Settings) -> dict[str, Any]:
    """The arguments of `psycopg2.connect` for a connection outside the pool."""
    return {**engine.dialect.create_connect_args(engine.url)[1], **connect_options(settings)}


@contextmanager
def beside_the_pool(parameters: dict[str, Any], seconds: float) -> Iterator[Any]:
    """Open a connection outside the pool, in autocommit, for at most `seconds` including its use.

    Raises psycopg2.Error.
    """
    with deadline.Within(seconds):
        connection = psycopg2.connect(**parameters)
        try:
            connection.autocommit = True
            yield connection
        finally:
            connection.close()


def guard(engine: Engine, settings: Settings) -> Breaker:
    """Check connections as they leave the pool, and create the breaker that guards the engine."""
    overrule_environment()
    parameters = connect_parameters(engine, settings)
    seconds = settings.db_connect_timeout

    def connect(dialect: Dialect, record: Any, arguments: Any, keywords: Any) -> Any:
        with deadline.Within(seconds):
            return dialect.connect(*arguments, **keywords)

    def probe() -> None:
        with beside_the_pool(parameters, seconds) as connection:
            connection.cursor().execute("select 1")

    event.listen(engine, "do_connect", connect)
    event.listen(engine, "connect", _read_ids_as_text)
    event.listen(engine, "checkout", _refuse_dead)
    return Breaker(probe)


def _read_ids_as_text(connection: Any, record: object) -> None:
    # SQLAlchemy registers a type caster that makes uuid.UUID objects; ids are text here.
    ids = new_type(UUID_OID, "ID", UNICODE)
    register_type(ids, connection)
    register_type(new_array_type(UUID_ARRAY_OID, "IDS", ids), connection)


def _refuse_dead(connection: Any, record: object, fairy: object) -> None:
    """Have the pool replace a connection that the server closed while it was idle.

    Such a server has left a message on the socket, so looking for input costs no
    round trip. An idle connection has nothing else to read, so the pool opens another.
    """
    poller = select.poll()
    poller.register(connection.fileno(), select.POLLIN)
    if poller.poll(0):
        raise DisconnectionError("closed by the server")
