"""Authenticate personal access tokens: find the user of one, and check that it is still valid."""

from typing import Final

from sqlalchemy import bindparam, func, literal_column, or_, select

from app.auth.models import PersonalAccessToken as Token
from app.auth.personal_token_format import PersonalToken
from app.core.principal import Principal, granted
from app.core.problems import invalid_token
from app.db.run import execute, first
from app.db.scope import Role, Scope, reading
from app.db.statement import Statement
from app.rows.shape import USER_ID

UNEXPIRED: Final = or_(Token.expires_at.is_(None), Token.expires_at > func.now())


def find_bearer(text: str) -> Principal:
    """Return the principal of a personal access token. Raises Problem 401.

    Malformed text is refused without a query. The result may be cached, because it never changes
    while the token exists, and every later statement checks that it is not revoked or expired.
    """
    token = PersonalToken.parse(text)
    if token is None:
        raise invalid_token()
    scope = Scope(Role.AUTH, token.user_id)
    row = first(execute(scope, FIND, user_id=token.user_id, token_hash=token.hash))
    if row is None:
        raise invalid_token()
    return Principal(token.user_id, False, granted(row.scopes), row.id, row.expires_at)


def require_token(user_id: str) -> None:
    """Check that the request's token is still valid, with an empty statement in the user's scope.

    Raises psycopg2.Error with SQLSTATE TA401 if it is not.
    """
    execute(reading(user_id), EMPTY)


FIND: Final = Statement(
    select(Token.id, Token.scopes, Token.expires_at).where(
        Token.user_id == USER_ID, Token.token_hash == bindparam("token_hash"), UNEXPIRED
    )
)
EMPTY: Final = Statement(select(literal_column("1").label("one")))
