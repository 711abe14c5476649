"""`flask tokens`"""

from typing import Final
from uuid import UUID

import click
from flask.cli import AppGroup

from app.api.tokens import queries
from app.auth.access_tokens import ACCESS_SECONDS, MAX_SECONDS
from app.auth.policies import token_verifier
from app.ops.cli.one_line import one_line_errors
from app.ops.cli.users import find_user, of_one_user

tokens: Final = AppGroup("tokens", help="Issue access tokens; list and revoke personal ones.")


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


@tokens.command("list")
@one_line_errors
@of_one_user
def list_tokens(user_id: str) -> None:
    """Print a user's personal access tokens, oldest first.

    Each line has the id, the dates of creation, expiry and last use, and the scopes.
    """
    for token in queries.list_all(user_id):
        days = (token.created_at, token.expires_at, token.last_used_at)
        texts = (f"{day:%Y-%m-%d}" if day else f"{'-':10}" for day in days)
        click.echo("  ".join((token.id, *texts, " ".join(token.scopes))))


@tokens.command("revoke")
@click.option("--id", "token_id", type=click.UUID, help="The token to revoke; default: all.")
@one_line_errors
@of_one_user
def revoke_tokens(user_id: str, token_id: UUID | None) -> None:
    """Revoke a user's personal access tokens, or one, and print their ids.

    Takes effect immediately. Access tokens of a sign-in are not revoked; they expire.
    """
    revoked = queries.revoke(user_id, str(token_id) if token_id else None)
    if not revoked:
        raise click.ClickException("there is no such token")
    for token in revoked:
        click.echo(token.id)
