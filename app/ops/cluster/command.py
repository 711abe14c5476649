"""`flask cluster`: running on several servers with Citus."""

from typing import Final

import click
from flask import current_app
from flask.cli import AppGroup
from sqlalchemy.exc import DBAPIError

from app.ops.cluster.distribute import distribute
from app.ops.one_line import one_line_errors
from app.ops.owning import connected

cluster: Final = AppGroup("cluster", help="Run on several servers, with Citus.")


@cluster.command("distribute")
@one_line_errors
def distribute_tables() -> None:
    """Spread the tables over the servers of a cluster of Citus, user by user.

    Run it after `flask db upgrade`, on the coordinator, while the service is stopped. What is
    distributed already is left alone.
    """
    url = current_app.config["MIGRATION_URL"]
    try:
        with connected(url, "nothing was distributed") as connection, connection.begin():
            for line in distribute(connection):
                click.echo(line)
    except DBAPIError as error:
        raise error.orig or error from None
    click.echo("The database is a cluster.")
