"""The commands of `flask` for operators."""

from functools import partial
from typing import Any

import click
from flask import Flask, current_app
from flask.cli import AppGroup, with_appcontext
from werkzeug.local import LocalProxy

from app.core.config import Settings
from app.core.version import __version__
from app.db.base import db
from app.db.run import execute
from app.ops import composing, purging
from app.ops.cli.accounts import one_line_errors, tokens, users
from app.ops.doctor.command import doctor
from app.rows.restoring import KEPT_DAYS


@click.command("purge")
@click.option(
    "--days",
    type=click.IntRange(0, 36_500),
    default=KEPT_DAYS,
    show_default=True,
    help="Days after which deleted rows are removed.",
)
@with_appcontext
@one_line_errors
def purge(days: int) -> None:
    """Permanently remove rows deleted long ago, and expired keys and tokens; convert texts to NFC.

    The texts are those that the previous release wrote in the meantime.
    """
    for table, count in purging.purge(days):
        click.echo(f"{table}: {count}")
    for line in composing.compose(execute):
        click.echo(line)


@click.command("config")
@with_appcontext
def show_config() -> None:
    """Print the settings in effect, with secrets masked."""
    settings: Settings = current_app.config["SETTINGS"]
    for variable, value in settings.masked().items():
        click.echo(f"{variable}={value}")


@click.command("version")
def show_version() -> None:
    """Print the version of this release."""
    click.echo(__version__)


class Commands(AppGroup):
    """The commands; `db` is loaded on first use, as Alembic takes a tenth of a worker's memory."""

    def __init__(self, app: Flask) -> None:
        super().__init__(app.name)
        self.app = app

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names for `flask --help`."""
        return sorted({*super().list_commands(ctx), "db"})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command of this name, or None."""
        if cmd_name == "db":
            migrations(self.app)
        return super().get_command(ctx, cmd_name)


def migrations(app: Flask) -> Any:
    """Initialise Flask-Migrate, which adds `flask db`, and return its extension."""
    from flask_migrate import Migrate

    Migrate(app, db)
    return app.extensions["migrate"]


def init_app(app: Flask) -> None:
    """Add the commands to `flask`."""
    app.cli = Commands(app)
    for command in (users, tokens, purge, doctor, show_config, show_version):
        app.cli.add_command(command)
    app.extensions["migrate"] = LocalProxy(partial(migrations, app))  # initialised on first use
