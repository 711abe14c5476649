"""More rows than fit in memory, read piece by piece as they all were at one instant.

The cursors of one transaction in REPEATABLE READ share its snapshot. They are declared in SQL, as
psycopg2's own know nothing of a wait callback, and hold a connection: nobody else is waited for
while they are open. Source: PostgreSQL, "DECLARE" and "Transaction Isolation".
"""

import logging
import time
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import psycopg2

from app.core import deadline
from app.core.problems import DATABASE_BUSY, Problem
from app.db import base, execution, tracing
from app.db.execution import DIALECT, PARTING_SECONDS, Row, Statement
from app.db.failures import Cause, while_waiting
from app.db.scope import Scope

ROWS: Final = 250
"""Of a piece: five megabytes of the largest tasks there can be."""

LONGEST_SECONDS: Final = 60.0
"""A transaction that is open for longer keeps the database from tidying up (VACUUM)."""

BEGIN: Final = "begin isolation level repeatable read read only; "

logger = logging.getLogger(__name__)


class Lost(Exception):
    """The connection died. Nothing was changed, so all may be read again."""


def read(
    scope: Scope, statements: Mapping[str, Statement], **parameters: object
) -> Generator[tuple[str, list[Row]], None, None]:
    """The rows of each statement in turn, in pieces with its name; at least one piece of each.

    Raises Lost, Problem 503, or psycopg2.Error for what the database refused.
    """
    gate = base.gate()
    end = time.monotonic() + LONGEST_SECONDS
    timeout = min(gate.statement_timeout, max(0.001, deadline.left()))
    prefix = BEGIN + scope.prefix(round(timeout * 1000))
    with _connected(gate) as cursor:
        for name, statement in statements.items():
            declare = f"{prefix}declare {name} no scroll cursor for {statement.sql}; "
            fetch, prefix = f"fetch {ROWS} from {name}", ""
            rows = _fetch(cursor, timeout, declare + fetch, statement, parameters)
            execution.note_token(scope)
            yield name, rows
            while len(rows) == ROWS:
                if time.monotonic() > end:
                    raise Problem(DATABASE_BUSY, "The account is too large to be read in time.")
                rows = _fetch(cursor, timeout, fetch, statement)
                yield name, rows
        _send(cursor, timeout, "commit")


@contextmanager
def _connected(gate: base.Gate) -> Iterator[Any]:
    """A cursor on a connection, which is closed unless its transaction has come to its end."""
    connection = execution.connect(gate)
    try:
        yield tracing.cursor(connection)
    except psycopg2.Error as error:
        if not DIALECT.is_disconnect(error, connection.dbapi_connection, None):
            connection.invalidate(error)
            raise
        gate.pool.forget(connection, error)
        failure = while_waiting(error)
        if failure.cause is Cause.LOST:
            raise Lost from error
        execution.report(failure)
        raise execution.problem(failure) from error
    except BaseException as error:
        connection.invalidate(error)
        raise
    finally:
        connection.close()


def _fetch(
    cursor: Any,
    timeout: float,
    text: str,
    statement: Statement,
    parameters: Mapping[str, object] | None = None,
) -> list[Row]:
    bound = None if parameters is None else statement.constants | dict(parameters)
    _send(cursor, timeout, text, bound)
    return statement.rows(cursor)


def _send(
    cursor: Any, timeout: float, text: str, parameters: Mapping[str, object] | None = None
) -> None:
    started = time.perf_counter()
    try:
        with deadline.within(timeout + PARTING_SECONDS):
            cursor.execute(text, parameters)
    finally:
        deadline.note_wait(time.perf_counter() - started)
