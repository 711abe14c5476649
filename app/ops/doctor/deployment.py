"""The deployment that is looked at: its settings, its keys and its database."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import psycopg2
from apiflask import APIFlask
from psycopg2.sql import Composable
from sqlalchemy import create_engine

from app.api.health import probe
from app.core import deadline
from app.core.config import Settings
from app.core.secrets import SETTING, Keys
from app.db.nodes import IS_CLUSTER
from app.db.pool import connect_parameters

Row = tuple[Any, ...]


class Deployment:
    """What the checks ask. Its connection is opened when it is needed, in autocommit."""

    def __init__(self, app: APIFlask) -> None:
        self.settings: Settings = app.config["SETTINGS"]
        self.keys: tuple[Keys, ...] = app.config[SETTING]
        self.head: str | None = app.extensions[probe.EXTENSION].head
        self.url: str = app.config["SQLALCHEMY_DATABASE_URI"]
        self.migration_url: str = app.config["MIGRATION_URL"]

    @cached_property
    def connection(self) -> Any:
        """A connection like the service's, but not of its pool. Raises psycopg2.Error."""
        return self.connect(self.url)

    @property
    def lost(self) -> bool:
        """Whether the connection was made and has broken since."""
        return "connection" in vars(self) and bool(self.connection.closed)

    @cached_property
    def revisions(self) -> list[str]:
        """The revisions that the database's schema has. Raises psycopg2.Error."""
        with self.undone():
            self.ask("set local role tasks_app")
            return [name for (name,) in self.ask("select version_num from alembic_version")]

    @cached_property
    def is_cluster(self) -> bool:
        """Whether the database is a cluster of Citus. Raises psycopg2.Error."""
        [(found,)] = self.ask(f"select {IS_CLUSTER}")
        return bool(found)

    def connect(self, url: str) -> Any:
        """Open one more connection, in autocommit. Raises psycopg2.Error."""
        parameters = connect_parameters(create_engine(url), self.settings)
        with deadline.Within(self.settings.db_connect_timeout):
            connection = psycopg2.connect(**parameters)
        connection.autocommit = True
        return connection

    def ask(self, sql: str | Composable, *parameters: object) -> list[Row]:
        """The rows of a query; none of a statement that returns none. Raises psycopg2.Error."""
        with self.connection.cursor() as cursor:
            cursor.execute(sql, parameters or None)
            return list(cursor.fetchall()) if cursor.description else []

    @contextmanager
    def undone(self) -> Iterator[None]:
        """A transaction that is always rolled back. Raises psycopg2.Error."""
        self.ask("begin")
        try:
            yield
        finally:
            if not self.lost:
                self.ask("rollback")

    def close(self) -> None:
        """Close the connection, if there is one."""
        if "connection" in vars(self):
            self.connection.close()


def listed(words: Sequence[str]) -> str:
    """The words in alphabetical order, as one line of text."""
    return ", ".join(sorted(words))
