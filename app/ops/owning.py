"""The connection on which the owner of the database changes its schema."""

from typing import Final

from click import ClickException
from flask import current_app
from sqlalchemy import Connection, create_engine, pool
from sqlalchemy.exc import DBAPIError

from app.core import deadline
from app.core.config import Settings
from app.db.failures import explained
from app.db.pool import connect_options

MIGRATION_LOCK: Final = 7_310_452_861
"""The advisory lock of whoever changes the schema: any constant, but the same in every release."""


def connected(url: str, undone: str) -> Connection:
    """Return a connection of its own, opened within DB_CONNECT_TIMEOUT.

    libpq's own timeout has no effect where the driver waits as app/core/deadline.py has it. Raises
    ClickException, which begins with what was not done.
    """
    settings: Settings = current_app.config["SETTINGS"]
    options = connect_options(settings)
    engine = create_engine(url, poolclass=pool.NullPool, connect_args=options, hide_parameters=True)
    try:
        with deadline.Within(settings.db_connect_timeout):
            return engine.connect()
    except DBAPIError as error:
        variable = "DATABASE_URL_UNPOOLED" if settings.database_url_unpooled else "DATABASE_URL"
        reason = explained(error.orig, variable)
        raise ClickException(f"{undone}: no connection: {reason}") from error
