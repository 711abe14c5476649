"""What one connection is used for: a single statement, a transaction, or a snapshot.

A statement travels with its scope as one simple-query string, `set local …; statement`, which
PostgreSQL runs as one transaction: isolation, timeout and work are one round trip.
Source: PostgreSQL, "Message Flow", "Multiple Statements in a Simple Query".
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from contextvars import ContextVar
from typing import Any, Final

import psycopg2
import sqlalchemy
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from app.core import deadline
from app.core.principal import PRESENTED
from app.core.problem_kinds import DATABASE_BUSY
from app.core.problems import Problem
from app.db.scope import Scope
from app.db.statement import Statement

Row = sqlalchemy.Row[Any]
Rows = list[Row]

Sent = tuple[Statement, Mapping[str, Any]]
"""A statement and its parameters."""

Recording = Callable[[Any, str], AbstractContextManager[str]]
"""Records one statement, given psycopg2's ConnectionInfo and a text without values; yields the
`traceparent` of its span."""

RECORDING: Final[ContextVar[Recording | None]] = ContextVar("recording", default=None)
"""How the statements of the current request are recorded; None if it is not sampled.

A comment before the statement names the span: pg_stat_activity shows only the first kilobyte.
Source: OpenTelemetry, "sqlcommenter".
"""

PARTING_SECONDS: Final = 0.5
"""How much longer than the server's own timeout we wait, so that its answer arrives."""

PIECE_ROWS: Final = 250
"""Rows that a snapshot reads at a time: five megabytes of the largest tasks there can be."""

LONGEST_SNAPSHOT_SECONDS: Final = 60.0
"""A transaction that is open for longer keeps VACUUM from removing dead rows."""


class Sending:
    """Sends the statements of one scope on one connection; `longest` is DB_STATEMENT_TIMEOUT."""

    begins = ""
    """SQL that opens a transaction of several round trips."""

    def __init__(self, connection: Connection, scope: Scope, longest: float) -> None:
        self.connection = connection
        self.scope = scope
        self.longest = longest
        self.may_be_done = scope.writes
        """Whether a write may have been committed if the connection dies now."""

    def execute(self, statement: Statement, parameters: Mapping[str, Any]) -> Rows:
        """Send a statement as a transaction of its own, and return its rows.

        The server stops it in time; if it does not, the connection is given up.
        """
        # A write waits for its owner's row first, a search for its user's turn.
        statements = 2 if self.scope.writes or self.scope.one_at_a_time else 1
        seconds = min(self.longest, self.scope.seconds, max(0.0, deadline.left()) / statements)
        bound = statement.bind(parameters)
        return self._exchange(statement.sql, bound, seconds * statements, timeout=seconds)

    def finish(self) -> None:
        """Commit; a statement sent on its own has committed already."""

    def undo(self) -> None:
        """Roll back; a statement sent on its own that failed has left nothing."""

    def _exchange(
        self,
        sql: str,
        bound: Mapping[str, Any] | None,
        patience: float,
        *,
        timeout: float | None = None,
        about: str = "",
    ) -> Rows:
        """Send a text, behind its scope if `timeout` says how long each of its statements may take.

        Waits at most `patience` seconds, and half a second, for the rows. `about` names the span of
        a text with values in it. Raises psycopg2.Error.
        """
        prefix = ""
        if timeout is not None:
            prefix = self.begins + self.scope.prefix(max(1, round(timeout * 1000)))
        with deadline.Within(patience + PARTING_SECONDS):
            if (recording := RECORDING.get()) is None:
                return self._rows(prefix, sql, bound)
            database: Any = self.connection.connection.dbapi_connection
            with recording(database.info, about or sql) as traceparent:
                return self._rows(f"/*traceparent='{traceparent}'*/ {prefix}", sql, bound)

    def _rows(self, prefix: str, sql: str, bound: Mapping[str, Any] | None) -> Rows:
        options = {"prefix": prefix, "no_parameters": bound is None}
        try:
            result = self.connection.exec_driver_sql(sql, bound, execution_options=options)
        except DBAPIError as error:
            if isinstance(error.orig, psycopg2.IntegrityError):  # its scope was passed
                self._note_token()
            raise error.orig or error from None
        self._note_token()
        return list(result.all()) if result.returns_rows else []

    def _note_token(self) -> None:
        """Note that the database has checked the request's personal access token."""
        if self.scope.token_id and (presented := PRESENTED.get()):
            presented.checked = True


class Transaction(Sending):
    """Several round trips that are one transaction, opened by the first of them.

    Nothing lasts before the last round trip, so a connection that dies on the way costs nothing.
    """

    begins = "begin; "

    def __init__(self, connection: Connection, scope: Scope, longest: float) -> None:
        super().__init__(connection, scope, longest)
        self.may_be_done = False
        self.opened = False
        self.last: Sent | None = None
        """A statement to send together with the commit."""

    def send(self, *statements: Sent) -> Rows:
        """Send statements in one round trip, to run one after the other; the rows of the last."""
        return self._piece("; ".join(map(self._text, statements)), "batch")

    def _piece(self, sql: str, about: str) -> Rows:
        """Send a text without parameters within the transaction; its rows."""
        timeout = None if self.opened else min(self.longest, max(0.0, deadline.left()))
        rows = self._exchange(sql, None, self.patience(), timeout=timeout, about=about)
        self.opened = True
        return rows

    def patience(self) -> float:
        """Seconds to wait for one round trip."""
        return max(0.0, deadline.left())

    def finish(self) -> None:
        """Commit, together with the last statement if there is one."""
        self.may_be_done = self.scope.writes
        last = f"{self._text(self.last)}; " if self.last else ""
        self._exchange(f"{last}commit", None, self.patience(), about="commit")

    def undo(self) -> None:
        """Roll back. A connection that does not answer in half a second is given up."""
        try:
            self._exchange("rollback", None, 0, about="rollback")
        except psycopg2.Error:
            self.connection.invalidate()

    def _text(self, sent: Sent) -> str:
        """A statement with its parameters as literals, as several of them cannot be bound."""
        statement, parameters = sent
        cursor: Any = self.connection.connection.cursor()
        text: bytes = cursor.mogrify(statement.sql, statement.bind(parameters))
        return text.decode()


class Snapshot(Transaction):
    """A transaction that reads more rows than fit in memory, all as they were at one instant.

    Its cursors share the snapshot of REPEATABLE READ. They are declared in SQL, because psycopg2's
    named cursors do not work with a wait callback. Source: PostgreSQL, "DECLARE", "Transaction
    Isolation".
    """

    begins = "begin isolation level repeatable read read only; "

    def __init__(self, connection: Connection, scope: Scope, longest: float) -> None:
        super().__init__(connection, scope, longest)
        self.end = time.monotonic() + LONGEST_SNAPSHOT_SECONDS
        self.seconds = min(longest, max(0.001, deadline.left()))

    def patience(self) -> float:
        """Seconds to wait for one piece: a long export outlasts the request's deadline."""
        return self.seconds

    def read(self, name: str, statement: Statement, **parameters: object) -> Iterator[Rows]:
        """Yield the rows of a statement in pieces, at least one; `name` is that of its cursor.

        Raises Problem 503 for an account that takes longer than a minute to read.
        """
        declare = f"declare {name} no scroll cursor for {self._text((statement, parameters))}"
        fetch = f"fetch {PIECE_ROWS} from {name}"
        rows = self._piece(f"{declare}; {fetch}", statement.sql)
        yield rows
        while len(rows) == PIECE_ROWS:
            if time.monotonic() > self.end:
                raise Problem(DATABASE_BUSY, "The account is too large to be read in time.")
            rows = self._piece(fetch, fetch)
            yield rows
