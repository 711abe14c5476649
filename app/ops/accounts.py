"""`flask users`: what operators do with accounts."""

from collections.abc import Callable
from functools import wraps
from typing import Any, Final
from uuid import UUID

import click
from flask.cli import AppGroup
from pydantic import BaseModel
from sqlalchemy import func, null, select, update

from app.api.users import queries
from app.api.users.prepared import prepare_account
from app.api.users.schemas import Name, Password, Registration
from app.auth.mail_kinds import MailKind
from app.auth.outbox import require_mail, sends_mail
from app.auth.password_rules import weakness
from app.auth.passwords import generate_password_hash
from app.auth.refresh_tokens import end_sessions, list_sessions
from app.core.ids import new_id
from app.db.run import execute
from app.db.statement import Statement
from app.ops.one_line import one_line_errors
from app.ops.purging import MAINTENANCE
from app.rows.owner import User
from app.rows.shape import ID, Preconditions
from app.web.fields.identifiers import Email

users: Final = AppGroup("users", help="Create accounts, look at them, and help their users.")

Command = Callable[..., None]


class Invitation(BaseModel):
    """Who is invited."""

    email: Email
    name: Name | None


class NewPassword(BaseModel):
    """A password that the API would accept, as the option is named."""

    password: Password


@users.command("create")
@click.option("--email", required=True, help="E-mail address to sign in with.")
@click.option("--name", help="The user's name.")
@click.password_option(
    help="At least 8 characters, no common password; prompts for it if not given."
)
@one_line_errors
def create_user(email: str, name: str | None, password: str) -> None:
    """Create an account and print its id."""
    user = Registration(email=email, name=name, password=password)
    password_hash = generate_password_hash(user.password)
    created = queries.create_user(new_id(), user.email, password_hash, user.name, None)
    if created is None:
        raise click.ClickException("an account with this e-mail address exists")
    click.echo(created["id"])


@users.command("invite")
@click.option("--email", required=True, help="E-mail address to send the invitation to.")
@click.option("--name", help="The user's name.")
@one_line_errors
def invite_user(email: str, name: str | None) -> None:
    """Send a mail in which somebody can accept an account, and print its id.

    The link in it can be used for a week. Without MAIL_URL, nothing is sent.
    """
    invited = Invitation(email=email, name=name)
    require_mail()
    if queries.find_login(invited.email):
        raise click.ClickException("an account with this e-mail address exists")
    click.echo(prepare_account(MailKind.INVITATION, invited.email, invited.name))


@users.command("list")
@one_line_errors
def list_users() -> None:
    """Print each account's id, day of creation and e-mail address, oldest first."""
    for user in execute(MAINTENANCE, LIST):
        state = "  disabled" if user.disabled_at else "  prepared" if user.pending_until else ""
        click.echo(f"{user.id}  {user.created_at:%Y-%m-%d}  {user.email or '-'}{state}")


def find_user(email: str) -> str:
    """Return the id of the account with this address. Raises ClickException without one."""
    login = queries.find_login(email)
    if login is None:
        raise click.ClickException("there is no account with this address")
    return login.user_id


def of_one_user(command: Command) -> Command:
    """Decorate a command: it names one account by --user or --email, and is given its id."""

    @click.option("--user", type=click.UUID, help="The user's id.")
    @click.option("--email", help="The user's e-mail address, instead of the id.")
    @one_line_errors
    @wraps(command)
    def wrapper(user: UUID | None, email: str | None, **options: Any) -> None:
        command(the_user(user, email), **options)

    return wrapper


def the_user(user: UUID | None, email: str | None) -> str:
    """Return the id of the account that is named. Raises ClickException unless it is one."""
    if (user is None) == (email is None):
        raise click.ClickException("name one user with --user or --email")
    if email is not None:
        return find_user(email)
    if not execute(MAINTENANCE, FIND, id=str(user)):
        raise click.ClickException("there is no account with this id")
    return str(user)


@users.command("show")
@of_one_user
def show_user(user_id: str) -> None:
    """Print an account: who it is of, its sessions, and how much it stores."""
    account, [found] = queries.get_user(user_id), execute(MAINTENANCE, FIND, id=user_id)
    if account is None:
        raise click.ClickException("there is no account with this id")
    for name in ("id", "email", "name", "time_zone", "created_at"):
        click.echo(f"{name}: {account[name] or '-'}")
    click.echo(f"email_verified: {'yes' if account['email_verified'] else 'no'}")
    click.echo(f"disabled_at: {found.disabled_at or '-'}")
    click.echo(f"prepared until: {found.pending_until or '-'}")
    click.echo(f"rows: {account['usage']['rows']}")
    click.echo(f"bytes: {account['usage']['bytes']}")
    for session in list_sessions(user_id):
        when = f"{session.last_used_at:%Y-%m-%d %H:%M}Z"
        click.echo(f"session: {when}  {session.address or '-'}  {session.user_agent or '-'}")


@users.command("set-password")
@of_one_user
@click.password_option(
    help="At least 8 characters, no common password; prompts for it if not given."
)
def set_password(user_id: str, password: str) -> None:
    """Set a password for an account, and end its sessions."""
    wanted = NewPassword(password=password)
    login = queries.find_own_login(user_id)
    if login is None:
        raise click.ClickException("this user signs in with another issuer")
    if weak := weakness(password, login.email):
        raise click.ClickException(f"--password {weak.detail}")
    made = generate_password_hash(wanted.password)
    if not queries.change_password(login, made, tells=sends_mail()):
        raise click.ClickException("the password was changed at the same time: run it again")


@users.command("disable")
@of_one_user
def disable_user(user_id: str) -> None:
    """Refuse an account, and all its tokens, from now on; nothing of it is lost."""
    execute(MAINTENANCE, DISABLE, id=user_id)


@users.command("enable")
@of_one_user
def enable_user(user_id: str) -> None:
    """Admit a disabled account again, and its tokens that have not expired."""
    execute(MAINTENANCE, ENABLE, id=user_id)


@users.command("sign-out")
@of_one_user
def sign_out_user(user_id: str) -> None:
    """End the sessions of an account, and print how many there were.

    Personal access tokens stay valid; `flask tokens revoke` ends them.
    """
    click.echo(end_sessions(user_id, None))


@users.command("delete")
@of_one_user
@click.confirmation_option(prompt="Erase the account and all that is in it, permanently?")
def delete_user(user_id: str) -> None:
    """Erase an account and all that is in it, permanently."""
    queries.delete_user(user_id, Preconditions())


ACCOUNT: Final = (User.id, User.email, User.created_at, User.disabled_at, User.pending_until)
LIST: Final = Statement(select(*ACCOUNT).order_by(User.created_at, User.id))
FIND: Final = Statement(select(*ACCOUNT).where(User.id == ID))
DISABLE: Final = Statement(
    update(User)
    .where(User.id == ID, User.disabled_at.is_(None))
    .values(disabled_at=func.now())
    .returning(User.id)
)
ENABLE: Final = Statement(
    update(User).where(User.id == ID).values(disabled_at=null()).returning(User.id)
)
