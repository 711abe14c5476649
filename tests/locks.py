"""A user's row held by somebody else, so that a write of that user waits."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from threading import Event
from typing import Any

import psycopg2


@contextmanager
def held(connection: Any, *user_ids: str) -> Iterator[None]:
    """The rows of the users are locked while this is entered."""
    with connection.cursor() as cursor:
        cursor.execute("begin")
        for user_id in user_ids:
            cursor.execute("select from users where id = %s for update", (user_id,))
        try:
            yield
        finally:
            cursor.execute("rollback")


def waiting(connection: Any) -> list[int]:
    """The process ids of the application's sessions that wait for a lock."""
    with connection.cursor() as cursor:
        cursor.execute("select to_regclass('citus_stat_activity')")
        if cursor.fetchone() != (None,):
            return waiting_anywhere(connection)
        # Within a transaction the view would stay as it was first seen.
        cursor.execute("select pg_stat_clear_snapshot()")
        cursor.execute(
            "select pid from pg_stat_activity"
            " where wait_event_type = 'Lock' and application_name = 'tasks-api'"
        )
        return [pid for (pid,) in cursor.fetchall()]


def waiting_anywhere(connection: Any) -> list[int]:
    """As `waiting`, of a cluster, where a session may wait on another server: its number among all
    servers, which Citus's `pg_terminate_backend` takes, too.
    """
    password = connection.info.password  # which the text of a connection leaves out
    looking = psycopg2.connect(connection.dsn, password=password)
    with closing(looking), looking.cursor() as cursor:
        cursor.execute(
            "select distinct global_pid from citus_stat_activity where wait_event_type = 'Lock'"
            " and datname = current_database()"
            " and (application_name = 'tasks-api' or application_name like 'citus_internal%')"
        )
        return [pid for (pid,) in cursor.fetchall()]


def until(condition: Callable[[], object]) -> None:
    """Return when it is so. Raises AssertionError if that takes half a minute."""
    for _ in range(3000):
        if condition():
            return
        Event().wait(0.01)
    raise AssertionError("it never came")
