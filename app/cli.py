"""Operators' commands: `flask users`, `flask tokens`, `flask purge`, `flask config`."""

from collections.abc import Callable
from functools import wraps
from typing import Any

import click
import psycopg2
from flask import Flask, current_app
from flask.cli import AppGroup, with_appcontext
from pydantic import ValidationError
from sqlalchemy import delete, func, inspect, literal, select, text, tuple_
from sqlalchemy.sql.dml import ReturningDelete
from werkzeug.security import generate_password_hash

from app.auth import token_verifier
from app.categories.models import Category
from app.config import Settings
from app.database import Base
from app.exchange import new_id
from app.execution import Statement, execute
from app.idempotency import IdempotencyKey
from app.problems import Problem
from app.scope import Role, Scope
from app.tasks.models import Task
from app.users import queries
from app.users.models import RefreshToken, User
from app.users.schemas import Registration
from app.users.tokens import ACCESS_SECONDS, MAX_SECONDS

PURGE_CHUNK = 1000

MAINTENANCE = Scope(Role.MAINTENANCE)


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


def _reason(error: BaseException | None) -> str | None:
    """What the database said, in one line."""
    return str(error).splitlines()[0] if isinstance(error, psycopg2.Error) else None


users = AppGroup("users", help="Create and list accounts.")
tokens = AppGroup("tokens", help="Issue access tokens.")


@users.command("create")
@click.option("--email", required=True, help="The address to sign in with.")
@click.option("--name", help="What to call the user.")
@click.password_option(help="Asked for if it is not given; at least 8 characters.")
@one_line_errors
def create_user(email: str, name: str | None, password: str) -> None:
    """Create an account and print its id."""
    user = Registration(email=email, name=name, password=password)
    password_hash = generate_password_hash(user.password)
    created, _ = queries.create_user(new_id(), user.email, password_hash, user.name, None)
    click.echo(created["id"])


@users.command("list")
@one_line_errors
def list_users() -> None:
    """Print id, e-mail address and day of creation of each account, oldest first."""
    for user in execute(MAINTENANCE, LIST_USERS):
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


@click.command("purge")
@click.option(
    "--days",
    type=click.IntRange(0, 36_500),
    default=30,
    show_default=True,
    help="How long deleted tasks and categories are kept.",
)
@with_appcontext
@one_line_errors
def purge(days: int) -> None:
    """Remove for good what was deleted long ago, and keys and tokens that expired."""
    # One instant for all, as a category cannot go before the tasks that were in it.
    [(at,)] = execute(MAINTENANCE, NOW)
    for name, statement in PURGES.items():
        count = 0
        while deleted := execute(MAINTENANCE, statement, at=at, days=days):
            count += len(deleted)
        click.echo(f"{name}: {count}")


@click.command("config")
@with_appcontext
def show_config() -> None:
    """Print the settings as they were read, secrets masked."""
    settings: Settings = current_app.config["SETTINGS"]
    for variable, value in settings.masked().items():
        click.echo(f"{variable}={value}")


def _purge(table: type[Base], condition: str) -> ReturningDelete[Any]:
    keys = inspect(table).primary_key
    chunk = select(*keys).where(text(condition)).limit(PURGE_CHUNK)
    return delete(table).where(tuple_(*keys).in_(chunk)).returning(literal(1).label("deleted"))


LIST_USERS = Statement(
    select(User.id, User.email, User.created_at).order_by(User.created_at, User.id)
)
NOW = Statement(select(func.now()))
OLD = "deleted_at <= cast(:at as timestamptz) - make_interval(days => :days)"
PURGES = {
    "tasks": Statement(_purge(Task, OLD)),
    "categories": Statement(_purge(Category, OLD)),
    "idempotency_keys": Statement(
        _purge(IdempotencyKey, "created_at < cast(:at as timestamptz) - interval '24 hours'")
    ),
    "refresh_tokens": Statement(_purge(RefreshToken, "expires_at < cast(:at as timestamptz)")),
}


def init_app(app: Flask) -> None:
    """Add the commands to `flask`."""
    for command in (users, tokens, purge, show_config):
        app.cli.add_command(command)
