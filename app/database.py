"""The database: its engine, the base of the models, and the scope every statement runs in.

Connections run in autocommit and each statement travels as one simple-query string, `set local …;
statement`, which PostgreSQL runs as one transaction: isolation, timeout and work are one flight.
Source: PostgreSQL, "Message Flow", "Multiple Statements in a Simple Query".
"""

import os
import time
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from flask import Flask, g
from flask_sqlalchemy import SQLAlchemy
from psycopg2.extensions import UNICODE, new_type, register_type
from sqlalchemy import (
    ClauseElement,
    Connection,
    CursorResult,
    Dialect,
    Engine,
    MetaData,
    create_engine,
    event,
)
from sqlalchemy.dialects.postgresql.psycopg2 import dialect as psycopg2_dialect
from sqlalchemy.orm import DeclarativeBase

from app.config import Settings

APPLICATION_NAME: Final = "tasks-api"
UUID_OID: Final = (2950,)
DIALECT: Final[Dialect] = psycopg2_dialect(paramstyle="pyformat")  # type: ignore[no-untyped-call]


class Base(DeclarativeBase):
    """The base of every model; constraints are named, so that migrations can speak of them."""

    metadata = MetaData(
        naming_convention={
            "pk": "pk_%(table_name)s",
            "fk": "fk_%(table_name)s_%(referred_table_name)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "ix": "ix_%(table_name)s_%(column_0_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
        }
    )


class Database(SQLAlchemy):
    """Flask-SQLAlchemy with the engine's options as they are given."""

    def _make_engine(self, bind_key: str | None, options: dict[str, Any], app: Flask) -> Engine:
        # The stock method reads them as text from a file, and cuts a timeout to whole seconds.
        return create_engine(**options)


db: Final = Database(model_class=Base, disable_autonaming=True)


class Role(StrEnum):
    """The roles of the first migration; each may do only what its kind of request needs."""

    APP = "tasks_app"
    AUTH = "tasks_auth"
    MAINTENANCE = "tasks_maintenance"


@dataclass(frozen=True, slots=True)
class Scope:
    """As whom a statement runs: a role and, for the policies, a user.

    A scope that writes first locks the user's row, so that one user's writes follow each other and
    each sees all that came before: `READ COMMITTED` takes a new snapshot for each statement.
    """

    role: Role
    user_id: str | None = None
    writes: bool = False

    def prefix(self, timeout: int) -> str:
        """The settings that travel before the statement; timeout in milliseconds.

        Formatted, not bound: nothing but a role, a parsed UUID and an integer gets in.
        """
        user = UUID(self.user_id) if self.user_id else ""
        settings = (
            f"set local role {self.role}; set local app.user_id = '{user}'; "
            f"set local statement_timeout = {timeout:d}; "
        )
        if not self.writes:
            return settings
        return f"{settings}select from users where id = '{user}' for no key update; "


def reading(user_id: str) -> Scope:
    """The scope of a user's read."""
    return Scope(Role.APP, user_id)


def writing(user_id: str) -> Scope:
    """The scope of a user's write."""
    return Scope(Role.APP, user_id, writes=True)


class Statement:
    """One statement, compiled once to text with named parameters.

    Building and compiling a statement takes longer than running it; a request only binds.
    """

    def __init__(self, statement: ClauseElement) -> None:
        compiled = statement.compile(dialect=DIALECT)
        self.sql: Final[str] = compiled.string
        self.constants: Final = {k: v for k, v in compiled.params.items() if v is not None}


def execute(scope: Scope, statement: Statement, **parameters: object) -> CursorResult[Any]:
    """Run the statement in the scope: one flight, one transaction, committed when it returns.

    Raises sqlalchemy.exc.DBAPIError or TimeoutError, which errors.py turns into answers.
    """
    started = time.perf_counter()
    try:
        return db.session.connection().exec_driver_sql(
            statement.sql,
            statement.constants | parameters,
            execution_options={"scope": scope},
        )
    finally:
        g.database_seconds = g.get("database_seconds", 0.0) + time.perf_counter() - started


def connect_options(settings: Settings) -> dict[str, Any]:
    """What libpq is told at each connection; keepalives and the timeout of unacknowledged data
    find a dropped link within seconds, and only together (PostgreSQL, "Parameter Key Words").
    """
    return {
        "connect_timeout": settings.db_connect_timeout,
        "application_name": APPLICATION_NAME,
        "keepalives_idle": 5,
        "keepalives_interval": 2,
        "keepalives_count": 2,
        "tcp_user_timeout": 5000,
    }


def init_app(app: Flask, settings: Settings, url: str) -> None:
    """Open the engine of this application on the database at `url`."""
    # libpq sends it at connect, and PgBouncer keeps it for each client; it refuses `options`.
    os.environ["PGTZ"] = "UTC"
    app.config["SQLALCHEMY_DATABASE_URI"] = url
    app.config["SQLALCHEMY_ENGINE_OPTIONS"] = {
        "isolation_level": "AUTOCOMMIT",
        "skip_autocommit_rollback": True,
        "pool_size": settings.db_pool_size,
        "max_overflow": settings.db_max_overflow,
        "pool_timeout": settings.db_pool_timeout,
        "pool_recycle": 240,  # Neon suspends after five idle minutes
        "pool_use_lifo": True,
        "pool_reset_on_return": None,  # nothing outlives a statement
        "use_native_hstore": False,
        "hide_parameters": True,
        "connect_args": connect_options(settings),
    }
    db.init_app(app)
    timeout = round(settings.db_statement_timeout * 1000)

    def send_scope(
        connection: Connection, cursor: Any, sql: str, parameters: Any, context: Any, many: bool
    ) -> tuple[str, Any]:
        scope = context.execution_options.get("scope")
        if not isinstance(scope, Scope):
            raise TypeError("a statement without a scope is never sent")
        return scope.prefix(timeout) + sql, parameters

    with app.app_context():
        event.listen(db.engine, "before_cursor_execute", send_scope, retval=True)
        event.listen(db.engine, "connect", read_ids_as_text)


def read_ids_as_text(connection: Any, record: object) -> None:
    """Ids are text everywhere here; SQLAlchemy would have psycopg2 make objects of them."""
    register_type(new_type(UUID_OID, "ID", UNICODE), connection)
