"""The commands of `flask` for operators: tokens, purging, settings and the version."""

from functools import partial
from typing import Any, Final
from uuid import UUID

import click
from flask import Flask, current_app
from flask.cli import AppGroup, with_appcontext
from werkzeug.local import LocalProxy

from app.api.tokens import queries as token_queries
from app.auth.access_tokens import ACCESS_SECONDS, MAX_SECONDS
from app.auth.policies import token_verifier
from app.core.config import Settings
from app.core.version import __version__
from app.db.base import db
from app.db.run import execute
from app.ops import composing, purging
from app.ops.accounts import find_user, the_user, users
from app.ops.cluster.command import cluster
from app.ops.doctor.command import doctor
from app.ops.importing import import_file
from app.ops.one_line import one_line_errors
from app.ops.worker import work
from app.rows.restoring import KEPT_DAYS

tokens: Final = AppGroup("tokens", help="Issue access tokens; revoke personal ones.")


@tokens.command("issue")
@click.option("--email", required=True, help="E-mail address of the account.")
@click.option(
    "--ttl",
    type=click.IntRange(1, MAX_SECONDS),
    default=ACCESS_SECONDS,
    show_default=True,
    help="Seconds until it expires.",
)
@one_line_errors
def issue_token(email: str, ttl: int) -> None:
    """Print an access token for an account."""
    click.echo(token_verifier().issue(find_user(email), seconds=ttl))


@tokens.command("revoke")
@click.option("--user", type=click.UUID, help="The user's id.")
@click.option("--email", help="The user's e-mail address, instead of the id.")
@one_line_errors
def revoke_tokens(user: UUID | None, email: str | None) -> None:
    """Revoke a user's personal access tokens, and print their ids.

    Takes effect immediately. `flask users sign-out` ends sessions.
    """
    for token in token_queries.revoke_all(the_user(user, email)):
        click.echo(token.id)


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
    for command in (
        *(users, tokens, import_file, work, purge, cluster, doctor, show_config, show_version),
    ):
        app.cli.add_command(command)
    app.extensions["migrate"] = LocalProxy(partial(migrations, app))  # initialised on first use
