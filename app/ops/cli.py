"""Operators' commands, from `flask users` to `flask version`, and how to `db`."""

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

from app.api.tokens import queries as personal_tokens
from app.api.users import queries
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


def one_line_errors(command: Callable[..., None]) -> Callable[..., None]:
    """Tell the operator in one line what this service refuses or its database cannot do."""

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


# PostgreSQL, "Error Codes": there is no such role, table or function yet.
UNMIGRATED: Final = ("22023", "42P01", "42883")


def _reason(error: BaseException | None) -> str | None:
    """What the database said, in one line, and what to do about it."""
    if isinstance(error, DBAPIError):  # SQLAlchemy wraps what befalls its first look
        error = error.orig
    if not isinstance(error, psycopg2.Error):
        return None
    if error.pgcode is None:
        return explained(error)
    said = str(error).splitlines()[0]
    return f"{said}: run `flask db upgrade`" if error.pgcode in UNMIGRATED else said


users = AppGroup("users", help="Create and list accounts.")
tokens = AppGroup("tokens", help="Issue access tokens; list and revoke personal ones.")


@users.command("create")
@click.option("--email", required=True, help="The address to sign in with.")
@click.option("--name", help="What to call the user.")
@click.password_option(help="Asked for if it is not given; at least 8 characters.")
@one_line_errors
def create_user(email: str, name: str | None, password: str) -> None:
    """Create an account and print its id."""
    user = Registration(email=email, name=name, password=password)
    password_hash = generate_password_hash(user.password)
    created = queries.create_user(new_id(), user.email, password_hash, user.name, None)
    if created is None:
        raise click.ClickException("an account with this e-mail address exists")
    click.echo(created["id"])


@users.command("list")
@one_line_errors
def list_users() -> None:
    """Print id, e-mail address and day of creation of each account, oldest first."""
    statement = select(User.id, User.email, User.created_at).order_by(User.created_at, User.id)
    for user in execute(purging.MAINTENANCE, Statement(statement)):
        click.echo(f"{user.id}  {user.created_at:%Y-%m-%d}  {user.email or '-'}")


@tokens.command("issue")
@click.option("--email", required=True, help="Whom the token speaks for.")
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
    login = queries.find_login(email)
    if login is None:
        raise click.ClickException("there is no account with this address")
    click.echo(token_verifier().issue(login.user_id, seconds=ttl))


def of_one_user(command: Callable[..., None]) -> Callable[..., None]:
    """Give the command options that name a user, and the user's id as `user_id`."""

    @click.option("--user", type=click.UUID, help="The user's id.")
    @click.option("--email", help="The user's e-mail address, in place of the id.")
    @wraps(command)
    def wrapper(user: UUID | None, email: str | None, **options: Any) -> None:
        if (user is None) == (email is None):
            raise click.ClickException("name one user, by --user or by --email")
        command(user_id=_user_id(user, email), **options)

    return wrapper


def _user_id(user: UUID | None, email: str | None) -> str:
    if email is None:
        return str(user)
    login = queries.find_login(email)
    if login is None:
        raise click.ClickException("there is no account with this address")
    return login.user_id


@tokens.command("list")
@one_line_errors
@of_one_user
def list_tokens(user_id: str) -> None:
    """Print a user's personal access tokens, oldest first.

    Of each its id, when it was created, when it expires, when it was used last, and its scopes.
    """
    for token in personal_tokens.list_all(user_id):
        days = (token.created_at, token.expires_at, token.last_used_at)
        texts = (f"{day:%Y-%m-%d}" if day else f"{'-':10}" for day in days)
        click.echo("  ".join((token.id, *texts, " ".join(token.scopes))))


@tokens.command("revoke")
@click.option("--id", "token_id", type=click.UUID, help="The one token to revoke; otherwise all.")
@one_line_errors
@of_one_user
def revoke_tokens(user_id: str, token_id: UUID | None) -> None:
    """Revoke a user's personal access tokens, or one, and print their ids.

    Takes effect immediately. Access tokens of a sign-in run out by themselves.
    """
    revoked = personal_tokens.revoke(user_id, str(token_id) if token_id else None)
    if not revoked:
        raise click.ClickException("there is no such token")
    for token in revoked:
        click.echo(token.id)


@click.command("purge")
@click.option(
    "--days",
    type=click.IntRange(0, 36_500),
    default=KEPT_DAYS,
    show_default=True,
    help="How long deleted tasks and categories are kept.",
)
@with_appcontext
@one_line_errors
def purge(days: int) -> None:
    """Remove for good what was deleted long ago, and keys and tokens that expired.

    Texts that the release before wrote meanwhile are brought to NFC.
    """
    for table, count in purging.purge(days):
        click.echo(f"{table}: {count}")
    for line in composing.compose(execute):
        click.echo(line)


@click.command("config")
@with_appcontext
def show_config() -> None:
    """Print the settings as they were read, secrets masked."""
    settings: Settings = current_app.config["SETTINGS"]
    for variable, value in settings.masked().items():
        click.echo(f"{variable}={value}")


@click.command("version")
def show_version() -> None:
    """Print the version of this release."""
    click.echo(__version__)


class Commands(AppGroup):
    """The commands of an application; `db` is loaded when it is asked for."""

    def __init__(self, app: Flask) -> None:
        super().__init__(app.name)
        self.app = app

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Their names, for `flask --help`."""
        return sorted({*super().list_commands(ctx), "db"})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of this name, if there is one."""
        if cmd_name == "db":
            migrations(self.app)
        return super().get_command(ctx, cmd_name)


def migrations(app: Flask) -> Any:
    """Flask-Migrate's part of the application, with `flask db`."""
    # It loads Alembic, a tenth of a worker's memory, for which serving has no use.
    from flask_migrate import Migrate

    Migrate(app, db)
    return app.extensions["migrate"]


def init_app(app: Flask) -> None:
    """Add the commands to `flask`."""
    app.cli = Commands(app)
    for command in (users, tokens, purge, doctor, show_config, show_version):
        app.cli.add_command(command)
    app.extensions["migrate"] = LocalProxy(partial(migrations, app))  # until it is looked at
