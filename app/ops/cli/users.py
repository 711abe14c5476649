"""`flask users`, and the options by which other commands name a user."""

from collections.abc import Callable
from functools import wraps
from typing import Any, Final
from uuid import UUID

import click
from flask.cli import AppGroup
from sqlalchemy import select

from app.api.users import queries
from app.api.users.schemas import Registration
from app.auth.passwords import generate_password_hash
from app.core.ids import new_id
from app.db.run import execute
from app.db.statement import Statement
from app.ops.cli.one_line import one_line_errors
from app.ops.purging import MAINTENANCE
from app.rows.owner import User

users: Final = AppGroup("users", help="Create and list accounts.")


@users.command("create")
@click.option("--email", required=True, help="E-mail address to sign in with.")
@click.option("--name", help="The user's name.")
@click.password_option(help="At least 8 characters; prompts for it if not given.")
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
    """Print each account's id, day of creation and e-mail address, oldest first."""
    statement = select(User.id, User.email, User.created_at).order_by(User.created_at, User.id)
    for user in execute(MAINTENANCE, Statement(statement)):
        click.echo(f"{user.id}  {user.created_at:%Y-%m-%d}  {user.email or '-'}")


def of_one_user(command: Callable[..., None]) -> Callable[..., None]:
    """Decorate a command: `--user` or `--email` names the user whose id it gets as `user_id`."""

    @click.option("--user", type=click.UUID, help="The user's id.")
    @click.option("--email", help="The user's e-mail address, instead of the id.")
    @wraps(command)
    def wrapper(user: UUID | None, email: str | None, **options: Any) -> None:
        if (user is None) == (email is None):
            raise click.ClickException("name one user with --user or --email")
        command(user_id=str(user) if email is None else find_user(email), **options)

    return wrapper


def find_user(email: str) -> str:
    """Return the id of the account with this address. Raises ClickException without one."""
    login = queries.find_login(email)
    if login is None:
        raise click.ClickException("there is no account with this address")
    return login.user_id
