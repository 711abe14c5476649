"""The commands of `flask` for operators: accounts, tokens, purging, settings and the version."""

from collections.abc import Callable
from functools import partial, wraps
from typing import Any, Final
from uuid import UUID

import click
import psycopg2
from flask import Flask, current_app
from flask.cli import AppGroup, with_appcontext
from pydantic import ValidationError
from sqlalchemy import select
from sqlalchemy.exc import DBAPIError
from werkzeug.local import LocalProxy

from app.api.tokens import queries as token_queries
from app.api.users import queries as user_queries
from app.api.users.schemas import Registration
from app.auth.access_tokens import ACCESS_SECONDS, MAX_SECONDS
from app.auth.passwords import generate_password_hash
from app.auth.policies import token_verifier
from app.core.config import Settings
from app.core.ids import new_id
from app.core.problems import Problem
from app.core.version import __version__
from app.db.base import db
from app.db.failures import explained
from app.db.run import execute
from app.db.statement import Statement
from app.ops import composing, purging
from app.ops.doctor.command import doctor
from app.rows.owner import User
from app.rows.restoring import KEPT_DAYS

users: Final = AppGroup("users", help="Create and list accounts.")
tokens: Final = AppGroup("tokens", help="Issue access tokens; revoke personal ones.")

UNMIGRATED: Final = ("22023", "42P01", "42883")
"""SQLSTATEs of a missing role, table and function (PostgreSQL, appendix A)."""


def one_line_errors(command: Callable[..., None]) -> Callable[..., None]:
    """Decorate a command: print expected errors as one line, with exit code 1."""

    @wraps(command)
    def wrapper(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except ValidationError as error:
            first = error.errors()[0]
            raise click.ClickException(f"--{first['loc'][0]} {first['msg']}") from None
        except Problem as problem:
            raise click.ClickException(_reason(problem.__cause__) or problem.detail) from None
        except UnicodeError:
            raise click.ClickException("the arguments must be UTF-8") from None
        except psycopg2.Error as error:
            raise click.ClickException(_reason(error) or "the database failed") from None

    return wrapper


def _reason(error: BaseException | None) -> str | None:
    """Return what the database said in one line, and what to do about it."""
    if isinstance(error, DBAPIError):  # SQLAlchemy's own statements on a new connection
        error = error.orig
    if not isinstance(error, psycopg2.Error):
        return None
    if error.pgcode is None:
        return explained(error)
    said = str(error).splitlines()[0]
    return f"{said}: run `flask db upgrade`" if error.pgcode in UNMIGRATED else said


@users.command("create")
@click.option("--email", required=True, help="E-mail address to sign in with.")
@click.option("--name", help="The user's name.")
@click.password_option(help="At least 8 characters; prompts for it if not given.")
@one_line_errors
def create_user(email: str, name: str | None, password: str) -> None:
    """Create an account and print its id."""
    user = Registration(email=email, name=name, password=password)
    password_hash = generate_password_hash(user.password)
    created = user_queries.create_user(new_id(), user.email, password_hash, user.name, None)
    if created is None:
        raise click.ClickException("an account with this e-mail address exists")
    click.echo(created["id"])


@users.command("list")
@one_line_errors
def list_users() -> None:
    """Print each account's id, day of creation and e-mail address, oldest first."""
    statement = select(User.id, User.email, User.created_at).order_by(User.created_at, User.id)
    for user in execute(purging.MAINTENANCE, Statement(statement)):
        click.echo(f"{user.id}  {user.created_at:%Y-%m-%d}  {user.email or '-'}")


def find_user(email: str) -> str:
    """Return the id of the account with this address. Raises ClickException without one."""
    login = user_queries.find_login(email)
    if login is None:
        raise click.ClickException("there is no account with this address")
    return login.user_id


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

    Takes effect immediately. Access tokens of a sign-in are not revoked; they expire.
    """
    if (user is None) == (email is None):
        raise click.ClickException("name one user with --user or --email")
    for token in token_queries.revoke_all(str(user) if email is None else find_user(email)):
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
    for command in (users, tokens, purge, doctor, show_config, show_version):
        app.cli.add_command(command)
    app.extensions["migrate"] = LocalProxy(partial(migrations, app))  # initialised on first use
