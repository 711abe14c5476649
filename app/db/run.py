"""Running statements: through the session, in a scope, within the deadline, with one retry.

What is run is tried once more where its connection died and doing it twice is harmless: it reads,
it was not committed yet, or an idempotency key makes it happen once (docs/decisions/0014).
"""

import logging
import math
import time
from collections.abc import Callable
from typing import TypeVar

import psycopg2
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError, InvalidRequestError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from app.core import deadline, news
from app.core.metrics import tally
from app.core.metrics.families import FAILURES, RETRIES
from app.core.problem_kinds import DATABASE_BUSY, DATABASE_UNAVAILABLE, OUTCOME_UNKNOWN, OVERLOADED
from app.core.problems import Problem
from app.db.base import Gate, db, gate
from app.db.failures import (
    LOST,
    POOL_FULL,
    Cause,
    Failure,
    of_node,
    while_connecting,
    while_waiting,
)
from app.db.scope import Role, Scope
from app.db.sending import Row, Rows, Sending
from app.db.statement import Statement

Result = TypeVar("Result")
Way = TypeVar("Way", bound=Sending)

logger = logging.getLogger(__name__)


class Broken(Exception):
    """A connection died; `may_be_done` if what was sent on it may have been committed."""

    def __init__(self, failure: Failure, sending: Sending) -> None:
        super().__init__(failure.advice)
        self.failure = failure
        self.may_be_done = sending.may_be_done and (failure.sent or bool(sending.begins))

    def reported(self) -> Problem:
        """The problem that a client is answered, after operators were told."""
        return report(self.failure, may_be_done=self.may_be_done)


def execute(scope: Scope, statement: Statement, **parameters: object) -> Rows:
    """The rows of a statement, run in the scope and committed in one round trip.

    Raises Problem 503, or psycopg2.Error for what the database refused.
    """
    return perform(scope, Sending, lambda sending: sending.execute(statement, parameters))


def first(rows: Rows) -> Row | None:
    """The first row, if there is one."""
    return rows[0] if rows else None


def perform(scope: Scope, way: type[Way], work: Callable[[Way], Result]) -> Result:
    """What the work returns; all that it sent is committed then, and nothing of it if it raises.

    The work is called once more, on another connection, if the first one died before the commit.
    Its time counts as time that the request waited for the database. Raises as `execute` does.
    """
    started = time.perf_counter()
    try:
        try:
            return _attempt(scope, way, work)
        except Broken as broken:
            if broken.failure.cause is not Cause.LOST or (broken.may_be_done and not scope.once):
                raise broken.reported() from broken
            lost = broken
        logger.info("a connection to the database died; its work is done again")
        tally.add(RETRIES)
        try:
            return _attempt(scope, way, work)
        except (Broken, psycopg2.Error, Problem) as error:
            problem = error.reported() if isinstance(error, Broken) else error
            raise (Problem(OUTCOME_UNKNOWN) if lost.may_be_done else problem) from error
    finally:
        deadline.note_wait(time.perf_counter() - started)


def _attempt(scope: Scope, way: type[Way], work: Callable[[Way], Result]) -> Result:
    """Do the work on one connection. Raises Broken if that dies."""
    passed = gate()
    try:
        connection = _connect(passed)
        sending = way(connection, scope, passed.statement_timeout, passed.topology.nodes)
        try:
            result = work(sending)
            sending.finish()
        except psycopg2.Error as error:
            if connection.invalidated:
                broken = Broken(while_waiting(error), sending)
                if broken.may_be_done:
                    _tell(scope)
                raise broken from error
            sending.undo()
            if failure := of_node(error):
                raise Broken(failure, sending) from error
            raise
        except Problem:
            sending.undo()
            raise
        except BaseException:  # the protocol's state is unknown
            connection.invalidate()
            raise
        _tell(scope)
        return result
    finally:
        db.session.remove()  # which Flask-SQLAlchemy would do at the end of the request


def _tell(scope: Scope) -> None:
    """Tell that the user may have news: rows that were written, or a session that was ended.

    Signing in and refreshing tokens, which the role AUTH does, are no news.
    """
    if scope.writes and scope.user_id and scope.role is not Role.AUTH:
        news.tell(scope.user_id)


def _connect(passed: Gate) -> Connection:
    """The session's connection, as long as the request has time left; nothing is sent on it.

    Raises Problem 503.
    """
    left = deadline.left()
    if left <= 0:
        raise Problem(OVERLOADED)
    passed.breaker.check()
    try:
        with deadline.Within(left):
            return db.session.connection()
    except PoolTimeout:
        raise report(POOL_FULL) from None
    except InvalidRequestError:  # each new connection died before it was used; the pool gave up
        raise report(LOST) from None
    except DBAPIError as error:
        raise report(while_connecting(error.orig)) from error


def report(failure: Failure, *, may_be_done: bool = False) -> Problem:
    """The problem that a client is answered, after operators were told of the failure.

    It opens the breaker if every request would meet it, and is logged otherwise. An operator's
    command, which has no deadline, prints its failure itself.
    """
    if not math.isinf(deadline.left()):
        tally.add(FAILURES, failure.cause.name.lower())
        if failure.for_all:
            gate().breaker.open(failure)
        else:
            logger.warning("the database did not serve a request: %s", failure.advice)
    if may_be_done:
        return Problem(OUTCOME_UNKNOWN)
    return Problem(DATABASE_BUSY if failure.cause is Cause.FULL else DATABASE_UNAVAILABLE)
