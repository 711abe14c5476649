"""Sending a statement on a connection.

A statement travels with its scope as one simple-query string, `set local …; statement`, which
PostgreSQL runs as one transaction: isolation, timeout and work are one round trip.
Source: PostgreSQL, "Message Flow", "Multiple Statements in a Simple Query".
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from contextvars import ContextVar
from typing import Any, Final

import psycopg2
import sqlalchemy
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from app.core import deadline
from app.db.nodes import Nodes
from app.db.scope import Scope
from app.db.statement import Statement

Row = sqlalchemy.Row[Any]
Rows = list[Row]

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


class Sending:
    """Sends the statements of one scope on one connection; `longest` is DB_STATEMENT_TIMEOUT."""

    begins = ""
    """SQL that opens a transaction of several round trips."""

    def __init__(self, connection: Connection, scope: Scope, longest: float, nodes: Nodes) -> None:
        self.connection = connection
        self.scope = scope
        self.nodes = nodes
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
        return self._exchange(
            statement.text(self.nodes), bound, seconds * statements, timeout=seconds
        )

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
            prefix = self.begins + self.scope.prefix(max(1, round(timeout * 1000)), self.nodes)
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
        """Note that the database has checked the request's token."""
        if self.scope.presented:
            self.scope.presented.checked = True
