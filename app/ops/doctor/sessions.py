"""Connections to a database, and what stands between that may share them out."""

from collections.abc import Callable
from contextlib import closing
from typing import Any, Final

import psycopg2
from psycopg2.sql import Composable

from app.core import deadline

Row = tuple[Any, ...]

PID: Final = "select pg_backend_pid()"
ROUNDS: Final = 10


def opened(parameters: dict[str, Any], seconds: float) -> Any:
    """A connection in autocommit, made within so many seconds. Raises psycopg2.Error."""
    with deadline.within(seconds):
        connection = psycopg2.connect(**parameters)
    connection.autocommit = True
    return connection


def rows(connection: Any, sql: str | Composable, *parameters: object) -> list[Row]:
    """The rows of a query; none of a statement that gives none. Raises psycopg2.Error."""
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters or None)
        return list(cursor.fetchall()) if cursor.description else []


def pool_mode(connect: Callable[[], Any]) -> str | None:
    """How a pooler before the database shares connections, if there is one. Raises psycopg2.Error.

    The database itself tells each client the number of its process (PostgreSQL, "Message Formats",
    BackendKeyData). What stands between gives out numbers of its own, as does Neon's proxy, which
    shares nothing: so it is tried what is shared.
    """
    with closing(connect()) as one, closing(connect()) as other:
        processes = {process(one), process(other)}
        if one.info.backend_pid in processes:
            return None
        if refuses_transactions(one):
            return "statement"
        if shares(one, other):
            return "transaction"
    return "session" if hands_on(connect, processes) else None


def process(connection: Any) -> int:
    """The number of the server's process that a statement comes to."""
    [(number,)] = rows(connection, PID)
    return int(number)


def refuses_transactions(connection: Any) -> bool:
    """Whether each statement may come to another process."""
    try:
        rows(connection, "begin")
    except psycopg2.Error as error:
        if "statement pooling" in str(error):
            return True
        raise
    rows(connection, "rollback")
    return False


def shares(one: Any, other: Any) -> bool:
    """Whether two idle connections come to the same process, or one of them to several."""
    first = process(one)
    return any(process(other) == process(one) or process(one) != first for _ in range(ROUNDS))


def hands_on(connect: Callable[[], Any], processes: set[int]) -> bool:
    """Whether a new connection comes to the process of one that has ended."""
    for _ in range(ROUNDS):
        with closing(connect()) as later:
            if process(later) in processes:
                return True
    return False
