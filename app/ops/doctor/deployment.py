"""The deployment that is looked at: its settings, its keys and its database."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from apiflask import APIFlask
from psycopg2.sql import Composable

from app.api.health import probe
from app.core.config import ROOT, Settings
from app.core.secrets import SETTING, Keys
from app.db.base import db
from app.db.pool import connect_options, connect_parameters
from app.ops.doctor.sessions import Row, opened, pool_mode, rows


class Deployment:
    """What the checks ask. Its connection is opened when it is needed, in autocommit."""

    def __init__(self, app: APIFlask) -> None:
        self.settings: Settings = app.config["SETTINGS"]
        self.keys: tuple[Keys, ...] = app.config[SETTING]
        self.head: str | None = app.extensions[probe.EXTENSION].head
        self.revisions = revisions(ROOT / "migrations" / "versions")
        self.url: str = app.config["SQLALCHEMY_DATABASE_URI"]
        self.migration_url: str = app.config["MIGRATION_URL"]
        with app.app_context():
            self.parameters = connect_parameters(db.engine, self.settings)
        self._connection: Any = None
        self._given_up = False

    @property
    def connection(self) -> Any:
        """A connection as the service makes them, but beside its pool. Raises psycopg2.Error."""
        if self._connection is None:
            self._connection = self.connect()
        return self._connection

    @property
    def lost(self) -> bool:
        """Whether the connection was made and is of no more use."""
        return self._given_up or (self._connection is not None and bool(self._connection.closed))

    @cached_property
    def pool_mode(self) -> str | None:
        """How a pooler shares connections, if there is one. Raises psycopg2.Error."""
        return pool_mode(self.connect)

    def connect(self) -> Any:
        """One more connection. Raises psycopg2.Error."""
        return opened(self.parameters, self.settings.db_connect_timeout)

    def connect_to_migrate(self) -> Any:
        """A connection to where migrations run. Raises psycopg2.Error."""
        dsn = urlsplit(self.migration_url)._replace(scheme="postgresql").geturl()
        options = connect_options(self.settings)
        return opened({"dsn": dsn, **options}, self.settings.db_connect_timeout)

    def ask(self, sql: str | Composable, *parameters: object) -> list[Row]:
        """The rows of a query. Raises psycopg2.Error."""
        return rows(self.connection, sql, *parameters)

    def one(self, sql: str, *parameters: object) -> Any:
        """The only value of a query. Raises psycopg2.Error."""
        [[value]] = self.ask(sql, *parameters)
        return value

    @contextmanager
    def undone(self) -> Iterator[None]:
        """A transaction of which nothing stays, whatever happens in it. Raises psycopg2.Error."""
        self.ask("begin")
        try:
            yield
        finally:
            if not self.lost:
                self.ask("rollback")

    def give_up(self) -> None:
        """Ask nothing more of the connection, as a thread still waits for it."""
        self._given_up = True

    def close(self) -> None:
        """End the connection, if there is one."""
        if self._connection is not None and not self._given_up:
            self._connection.close()


def revisions(versions: Path) -> set[str]:
    """The names of all migrations of this release."""
    texts = (path.read_text(encoding="utf-8") for path in versions.glob("*.py"))
    named = (probe.REVISION.findall(text) for text in texts)
    return {value.strip("\"'") for found in named for down, value in found if not down}


def listed(words: Sequence[str]) -> str:
    """Words in a line of text."""
    return ", ".join(sorted(words))
