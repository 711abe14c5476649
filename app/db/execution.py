"""The execution of a statement: in its scope, in the request's time, past a connection that died.

Each travels as one simple-query string, `set local …; statement`, which PostgreSQL runs as one
transaction: isolation, timeout and work are one flight.
Source: PostgreSQL, "Message Flow", "Multiple Statements in a Simple Query".
"""

import logging
import math
import time
from collections import namedtuple
from collections.abc import Callable, Iterable
from functools import lru_cache, partial
from typing import Any, Final

import psycopg2
from sqlalchemy import ClauseElement, Dialect, PoolProxiedConnection
from sqlalchemy.dialects.postgresql.psycopg2 import dialect as psycopg2_dialect
from sqlalchemy.exc import DBAPIError, InvalidRequestError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from app.core import deadline
from app.core.metrics import tally
from app.core.metrics.families import FAILURES, RETRIES
from app.core.principal import PRESENTED
from app.core.problems import (
    DATABASE_BUSY,
    DATABASE_UNAVAILABLE,
    OUTCOME_UNKNOWN,
    OVERLOADED,
    Problem,
)
from app.db import base, tracing
from app.db.base import Gate
from app.db.failures import LOST, POOL_FULL, Cause, Failure, while_connecting, while_waiting
from app.db.scope import Scope

DIALECT: Final[Dialect] = psycopg2_dialect(paramstyle="pyformat", dbapi=psycopg2)  # type: ignore[no-untyped-call]

PARTING_SECONDS: Final = 0.5
"""How much longer than the server's own timeout we wait, so that its answer is what we hear."""

Row = Any
"""A named tuple of a statement's columns."""

logger = logging.getLogger(__name__)


class Statement:
    """One statement, compiled once to text with named parameters.

    Building and compiling a statement takes longer than running it; a request only binds. Only the
    text is kept: what it was built of takes ten times as much memory.
    """

    def __init__(self, statement: ClauseElement) -> None:
        compiled = statement.compile(dialect=DIALECT)
        self.sql: Final[str] = compiled.string
        self.constants: Final = {k: v for k, v in compiled.params.items() if v is not None}
        self.row: Callable[[Iterable[Any]], Row] | None = None

    def rows(self, cursor: Any) -> list[Row]:
        """What the cursor has got, as named tuples."""
        if cursor.description is None:
            return []
        if self.row is None:
            self.row = row_of(tuple(column.name for column in cursor.description))
        return [*map(self.row, cursor.fetchall())]


@lru_cache(maxsize=256)
def row_of(names: tuple[str, ...]) -> Callable[[Iterable[Any]], Row]:
    """What makes a row of its values; all statements that answer with these columns share it."""
    named: Any = namedtuple("Row", names, rename=True)  # type: ignore[misc]
    return partial(tuple.__new__, named)  # _make, less its count of the columns


def execute(scope: Scope, statement: Statement, **parameters: object) -> list[Row]:
    """The rows of the statement, run in the scope: one flight, one transaction, and committed.

    All that it waits for ends with the request's deadline. Where the connection dies, it is sent
    once more if that is harmless. Raises Problem 503, or psycopg2.Error for what the database
    refused, which errors.py turns into answers.
    """
    started = time.perf_counter()
    try:
        return _attempt(scope, statement, parameters, again=scope.repeatable)
    finally:
        deadline.note_wait(time.perf_counter() - started)


def first(rows: list[Row]) -> Row | None:
    """The first row, if there is one."""
    return rows[0] if rows else None


def _attempt(
    scope: Scope, statement: Statement, parameters: dict[str, object], *, again: bool
) -> list[Row]:
    gate = base.gate()
    connection = connect(gate)
    try:
        return _send(connection, gate.statement_timeout, scope, statement, parameters)
    except psycopg2.Error as error:
        if not DIALECT.is_disconnect(error, connection.dbapi_connection, None):
            raise
        gate.pool.forget(connection, error)
        failure = while_waiting(error)
        if again and failure.cause is Cause.LOST:
            return _attempt_again(scope, statement, parameters)
        report(failure)
        unknown = scope.writes and failure.sent
        raise (Problem(OUTCOME_UNKNOWN) if unknown else problem(failure)) from error
    except BaseException as error:  # half of what was said may be on its way yet
        connection.invalidate(error)
        raise
    finally:
        connection.close()


def _attempt_again(scope: Scope, statement: Statement, parameters: dict[str, object]) -> list[Row]:
    logger.info("a connection to the database died; its statement is sent again")
    tally.add(RETRIES)
    try:
        return _attempt(scope, statement, parameters, again=False)
    except (psycopg2.Error, Problem) as error:
        if scope.writes:  # whatever became of it now, the first attempt may have been done
            raise Problem(OUTCOME_UNKNOWN) from error
        raise


def connect(gate: Gate) -> PoolProxiedConnection:
    """A connection, as long as the request has time left; nothing is sent before there is one."""
    left = deadline.left()
    if left <= 0:
        raise Problem(OVERLOADED)
    gate.breaker.check()
    try:
        with deadline.within(left):
            return gate.pool.connect()
    except PoolTimeout:
        report(POOL_FULL)
        raise Problem(DATABASE_BUSY) from None
    except InvalidRequestError:  # each new connection died before it was used; the pool gave up
        report(LOST)
        raise Problem(DATABASE_UNAVAILABLE) from None
    except (psycopg2.Error, DBAPIError) as error:  # SQLAlchemy wraps what befalls its first look
        failure = while_connecting(error.orig if isinstance(error, DBAPIError) else error)
        report(failure)
        raise problem(failure) from error


def _send(
    connection: PoolProxiedConnection,
    longest: float,
    scope: Scope,
    statement: Statement,
    parameters: dict[str, object],
) -> list[Row]:
    """Let the server stop in time, and give it up if it does not."""
    # A write waits for its owner's row first, a search for its user's turn.
    statements = 2 if scope.writes or scope.one_at_a_time else 1
    seconds = min(longest, scope.seconds, max(0.0, deadline.left()) / statements)
    prefix = scope.prefix(max(1, round(seconds * 1000)))
    with deadline.within(seconds * statements + PARTING_SECONDS):
        cursor = tracing.cursor(connection)
        try:
            cursor.execute(prefix + statement.sql, statement.constants | parameters)
        except psycopg2.IntegrityError:  # what stands before the statement was passed
            note_token(scope)
            raise
        note_token(scope)
        return statement.rows(cursor)


def note_token(scope: Scope) -> None:
    """Remember that the database has checked the request's personal access token."""
    if scope.token_id and (presented := PRESENTED.get()):
        presented.checked = True


def report(failure: Failure) -> None:
    """Spare other requests the same, or tell at least; a command of an operator tells by itself."""
    if math.isinf(deadline.left()):
        return
    tally.add(FAILURES, failure.cause.name.lower())
    if failure.for_all:
        base.gate().breaker.open(failure)
    else:
        logger.warning("the database did not serve a request: %s", failure.advice)


def problem(failure: Failure) -> Problem:
    """What the client is told of it, where nothing was changed."""
    return Problem(DATABASE_BUSY if failure.cause is Cause.FULL else DATABASE_UNAVAILABLE)
