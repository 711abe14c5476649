"""The base of the models, the session, and the event that puts a scope before each statement.

Connections are in autocommit mode. A statement without a scope is refused.
"""

from typing import Any, Final, NamedTuple, cast

from flask import Flask, current_app
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import Connection, Engine, MetaData, create_engine, event
from sqlalchemy.orm import DeclarativeBase

from app.core.config import Settings
from app.db import pool
from app.db.breaker import Breaker
from app.db.nodes import Topology
from app.db.pool import Pool
from app.db.scope import Scope

GATE: Final = "database_gate"


class Base(DeclarativeBase):
    """The base of every model. Constraints have names, which migrations refer to."""

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
    """Flask-SQLAlchemy, passing the engine's options on unchanged."""

    def _make_engine(self, bind_key: str | None, options: dict[str, Any], app: Flask) -> Engine:
        # Flask-SQLAlchemy uses engine_from_config, which converts a timeout to whole seconds.
        return create_engine(**options)


db: Final = Database(model_class=Base, disable_autonaming=True)


class Gate(NamedTuple):
    """What every statement passes: the breaker, the pool, DB_STATEMENT_TIMEOUT in seconds, and
    what the database is.
    """

    breaker: Breaker
    pool: Pool
    statement_timeout: float
    topology: Topology


def gate() -> Gate:
    """The gate of the current application."""
    found: Gate = current_app.extensions[GATE]
    return found


def put_scope(
    connection: Connection, cursor: Any, sql: str, parameters: Any, context: Any, many: bool
) -> tuple[str, Any]:
    """Put the scope before a statement: its option `scope`, or `prefix`, the text of one.

    Raises TypeError for a statement without a scope.
    """
    prefix = context.execution_options.get("prefix")
    if prefix is None:
        scope = context.execution_options.get("scope")
        if not isinstance(scope, Scope):
            raise TypeError("a statement without a scope is never sent")
        passed = gate()
        nodes = passed.topology.nodes
        prefix = scope.prefix(round(passed.statement_timeout * 1000), nodes)
        sql = nodes.written(sql)
    return prefix + sql, parameters


def init_app(app: Flask, settings: Settings, url: str) -> None:
    """Create the engine for the database at `url`, and register its events."""
    app.config["SQLALCHEMY_DATABASE_URI"] = url
    app.config["SQLALCHEMY_ENGINE_OPTIONS"] = pool.options(settings)
    db.init_app(app)
    with app.app_context():
        breaker, connections = pool.guard(db.engine, settings), cast(Pool, db.engine.pool)
        topology = Topology(db.engine)
        app.extensions[GATE] = Gate(breaker, connections, settings.db_statement_timeout, topology)
        event.listen(db.engine, "before_cursor_execute", put_scope, retval=True)
