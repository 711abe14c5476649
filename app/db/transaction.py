"""Several flights that are one transaction: nothing of it lasts unless all of it does.

Nothing is done before the last flight, so that a connection that dies on the way costs nothing.
"""

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

import psycopg2

from app.core import deadline
from app.core.metrics import tally
from app.core.metrics.families import RETRIES
from app.core.problems import OUTCOME_UNKNOWN, Problem
from app.db import base, execution, tracing
from app.db.execution import DIALECT, PARTING_SECONDS, Row, Statement
from app.db.failures import Cause, while_waiting
from app.db.scope import Scope

Result = TypeVar("Result")

Sent = tuple[Statement, Mapping[str, Any]]
"""A statement and its parameters."""

BEGIN: Final = "begin; "

logger = logging.getLogger(__name__)


class Transaction:
    """One that is open, or is opened by what is sent first."""

    def __init__(self, cursor: Any, scope: Scope, longest: float) -> None:
        self.cursor = cursor
        self.scope = scope
        milliseconds = round(min(longest, max(0.0, deadline.left())) * 1000)
        self.prefix = BEGIN + scope.prefix(max(1, milliseconds))
        self.last: Sent | None = None
        """What is sent with the end, when all that it answers has been looked at."""
        self.ends = False
        """Whether the server has been told to make it last."""

    def send(self, *statements: Sent) -> list[Row]:
        """Run them in one flight, one after the other; the rows of the last."""
        self._execute(self.prefix.encode() + b"; ".join(map(self._text, statements)))
        if self.prefix:
            execution.note_token(self.scope)
            self.prefix = ""
        return statements[-1][0].rows(self.cursor)

    def commit(self) -> None:
        """Make it last."""
        self.ends = True
        self._execute(self._text(self.last) + b"; commit" if self.last else b"commit")

    def undo(self) -> None:
        """Leave everything as it was."""
        with deadline.within(PARTING_SECONDS):
            self.cursor.execute(b"rollback")

    def _text(self, sent: Sent) -> bytes:
        statement, parameters = sent
        text: bytes = self.cursor.mogrify(statement.sql, {**statement.constants, **parameters})
        return text

    def _execute(self, text: bytes) -> None:
        with deadline.within(max(0.0, deadline.left()) + PARTING_SECONDS):
            self.cursor.execute(text)


def in_transaction(scope: Scope, work: Callable[[Transaction], Result]) -> Result:
    """What the work returns; what it sent lasts then, and nothing of it if it raises.

    Where the connection dies, the work is done once more if that is harmless. Raises Problem 503,
    or psycopg2.Error for what the database refused.
    """
    started = time.perf_counter()
    try:
        return _attempt(scope, work, again=True)
    finally:
        deadline.note_wait(time.perf_counter() - started)


def _attempt(scope: Scope, work: Callable[[Transaction], Result], *, again: bool) -> Result:
    gate = base.gate()
    connection = execution.connect(gate)
    transaction = Transaction(tracing.cursor(connection), scope, gate.statement_timeout)
    try:
        result = work(transaction)
        transaction.commit()
    except psycopg2.Error as error:
        if not DIALECT.is_disconnect(error, connection.dbapi_connection, None):
            _undo(connection, transaction)
            raise
        gate.pool.forget(connection, error)
        failure = while_waiting(error)
        if again and failure.cause is Cause.LOST and (scope.once or not transaction.ends):
            return _attempt_again(scope, work, unknown=transaction.ends)
        execution.report(failure)
        unknown = Problem(OUTCOME_UNKNOWN)
        raise (unknown if transaction.ends else execution.problem(failure)) from error
    except Problem:
        _undo(connection, transaction)
        raise
    except BaseException as error:  # half of what was said may be on its way yet
        connection.invalidate(error)
        raise
    else:
        return result
    finally:
        connection.close()


def _undo(connection: Any, transaction: Transaction) -> None:
    try:
        transaction.undo()
    except psycopg2.Error as error:
        connection.invalidate(error)


def _attempt_again(scope: Scope, work: Callable[[Transaction], Result], *, unknown: bool) -> Result:
    logger.info("a connection to the database died; its transaction is done again")
    tally.add(RETRIES)
    try:
        return _attempt(scope, work, again=False)
    except (psycopg2.Error, Problem) as error:
        if unknown:
            raise Problem(OUTCOME_UNKNOWN) from error
        raise
