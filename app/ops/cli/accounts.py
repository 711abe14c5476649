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
tokens: Final = AppGroup("tokens", help="Issue access tokens; list and revoke personal ones.")

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
@click.option("--email", required=True, help="The address to sign in with.")
@click.option("--name", help="What to call the user.")
@click.password_option(help="Asked for if it is not given; at least 8 characters.")
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
    """Print id, e-mail address and day of creation of each account, oldest first."""
    statement = select(User.id, User.email, User.created_at).order_by(User.created_at, User.id)
    for user in execute(MAINTENANCE, Statement(statement)):
        click.echo(f"{user.id}  {user.created_at:%Y-%m-%d}  {user.email or '-'}")


def of_one_user(command: Callable[..., None]) -> Callable[..., None]:
    """Decorate a command: `--user` or `--email` names the user whose id it gets as `user_id`."""

    @click.option("--user", type=click.UUID, help="The user's id.")
    @click.option("--email", help="The user's e-mail address, in place of the id.")
    @wraps(command)
    def wrapper(user: UUID | None, email: str | None, **options: Any) -> None:
        if (user is None) == (email is None):
            raise click.ClickException("name one user, by --user or by --email")
        command(user_id=str(user) if email is None else find_user(email), **options)

    return wrapper


def find_user(email: str) -> str:
    """Return the id of the account with this address. Raises ClickException without one."""
    login = user_queries.find_login(email)
    if login is None:
        raise click.ClickException("there is no account with this address")
    return login.user_id


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
    click.echo(token_verifier().issue(find_user(email), seconds=ttl))


@tokens.command("list")
@one_line_errors
@of_one_user
def list_tokens(user_id: str) -> None:
    """Print a user's personal access tokens, oldest first.

    Of each its id, when it was created, when it expires, when it was used last, and its scopes.
    """
    for token in token_queries.list_all(user_id):
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
    revoked = token_queries.revoke(user_id, str(token_id) if token_id else None)
    if not revoked:
        raise click.ClickException("there is no such token")
    for token in revoked:
        click.echo(token.id)
