"""Several round trips on one connection: a transaction that writes, or a snapshot to read."""

import time
from collections.abc import Iterator, Mapping
from typing import Any, Final

import psycopg2
from sqlalchemy import Connection

from app.core import deadline
from app.core.problem_kinds import DATABASE_BUSY
from app.core.problems import Problem
from app.db.nodes import Nodes
from app.db.scope import Scope
from app.db.sending import Rows, Sending
from app.db.statement import Statement

Sent = tuple[Statement, Mapping[str, Any]]
"""A statement and its parameters."""

PIECE_ROWS: Final = 250
"""Rows that a snapshot reads at a time: five megabytes of the largest tasks there can be."""

LONGEST_SNAPSHOT_SECONDS: Final = 60.0
"""A transaction that is open for longer keeps VACUUM from removing dead rows."""


class Transaction(Sending):
    """Several round trips that are one transaction, opened by the first of them.

    Nothing lasts before the last round trip, so a connection that dies on the way costs nothing.
    """

    begins = "begin; "

    def __init__(self, connection: Connection, scope: Scope, longest: float, nodes: Nodes) -> None:
        super().__init__(connection, scope, longest, nodes)
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
        text: bytes = cursor.mogrify(statement.text(self.nodes), statement.bind(parameters))
        return text.decode()


class Snapshot(Transaction):
    """A transaction that reads more rows than fit in memory, all as they were at one instant.

    Its cursors share the snapshot of REPEATABLE READ. They are declared in SQL, because psycopg2's
    named cursors do not work with a wait callback. Source: PostgreSQL, "DECLARE", "Transaction
    Isolation".
    """

    begins = "begin isolation level repeatable read read only; "

    def __init__(self, connection: Connection, scope: Scope, longest: float, nodes: Nodes) -> None:
        super().__init__(connection, scope, longest, nodes)
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
