"""`flask users` and `flask tokens`, and how commands report what goes wrong: in one line."""

from collections.abc import Callable
from functools import wraps
from typing import Any, Final
from uuid import UUID

import click
import psycopg2
from flask.cli import AppGroup
from pydantic import ValidationError
from sqlalchemy import select
from sqlalchemy.exc import DBAPIError

from app.api.tokens import queries as token_queries
from app.api.users import queries as user_queries
from app.api.users.schemas import Registration
from app.auth.access_tokens import ACCESS_SECONDS, MAX_SECONDS
from app.auth.passwords import generate_password_hash
from app.auth.policies import token_verifier
from app.core.ids import new_id
from app.core.problems import Problem
from app.db.failures import explained
from app.db.run import execute
from app.db.statement import Statement
from app.ops.purging import MAINTENANCE
from app.rows.owner import User

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
    for user in execute(MAINTENANCE, Statement(statement)):
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
