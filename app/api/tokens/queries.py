"""Queries of personal access tokens; each function is one statement and one round trip."""

from collections.abc import Sequence
from secrets import token_hex
from typing import Any, Final

from sqlalchemy import (
    CTE,
    ColumnElement,
    Select,
    Table,
    Text,
    bindparam,
    case,
    cast,
    delete,
    exists,
    func,
    insert,
    literal_column,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, TIMESTAMP

from app.api.tokens.schemas import FIELDS, represent
from app.auth.models import PersonalAccessToken as Token
from app.auth.personal_tokens import UNEXPIRED, PersonalToken
from app.core.problem_kinds import TOO_MANY_TOKENS
from app.core.problems import Problem, invalid, not_found, precondition_failed
from app.core.secrets import present
from app.db.run import execute
from app.db.scope import writing
from app.db.sending import Row
from app.db.statement import Statement
from app.rows import idempotency, statements
from app.rows.idempotency import Once
from app.rows.listing import OldestFirst
from app.rows.owner import OWNER, User, beside_owner
from app.rows.quotas import ROW_SIZE, Growth, NoAccount, NoRoom, quota, within_quota
from app.rows.replays import stored_answer
from app.rows.shape import ID, ONE, USER_ID, Preconditions
from app.web.errors import CONSTRAINTS

MOST: Final = 100
"""Tokens of a user that have not expired."""

EXTERNAL_DAYS: Final = 365
"""The longest life of an external user's token."""

PUBLIC: Final = [getattr(Token, name) for name in FIELDS]
THIS: Final = (Token.user_id == USER_ID, Token.id == ID)

CONSTRAINTS["ck_personal_access_tokens_expires_at"] = invalid(
    "must be in the future", "past", pointer="/expires_at"
)


def create_token(
    user_id: str, token_id: str, values: dict[str, Any], once: Once | None
) -> tuple[Row, PersonalToken, bool]:
    """Create a token, or return that of an earlier request with the same key, and whether it is.

    A replay derives the token from its stored seed, which is worth nothing without the keys.
    Raises NoAccount, NoRoom for the stored answer, Problem 409 if the user has too many, 422.
    """
    seed, scope = token_hex(32), writing(user_id, once=once is not None)
    token = PersonalToken.derive(user_id, seed, present())
    values = {**values, "id": token_id, "token_hash": token.hash, "last_four": str(token)[-4:]}
    if once:
        values |= {**once.parameters, "seed": seed, **quota()}

    def write() -> tuple[Row, PersonalToken, bool]:
        [row] = execute(scope, CREATE[scope.once], user_id=user_id, **values)
        keys = once.require_same(row.fingerprint) if once else present()
        if row.id is None and not row.has_room:
            raise Problem(TOO_MANY_TOKENS)
        if row.id is None:
            raise NoRoom(rows=1) if once else NoAccount
        made = PersonalToken.derive(user_id, seed if row.changed else row.seed, keys)
        return row, made, not row.changed

    return within_quota(user_id, write)


def delete_token(user_id: str, token_id: str, conditions: Preconditions) -> None:
    """Revoke a token. Statements of requests that come with it fail immediately.

    Raises Problem 404, 412.
    """
    parameters = {"user_id": user_id, "id": token_id, **conditions._asdict()}
    [row] = execute(writing(user_id), DELETE, **parameters)
    if row.id is None:
        raise not_found()
    if not row.changed:
        raise precondition_failed(represent(row))


def revoke_all(user_id: str) -> Sequence[Row]:
    """Delete all tokens of the user, and return their ids."""
    return execute(writing(user_id, once=True), REVOKE_ALL, user_id=user_id)


def _create(once: bool) -> Select[Any]:
    own = Token.user_id == USER_ID
    count = select(func.count()).select_from(Token).where(own, UNEXPIRED).scalar_subquery()
    has_room: ColumnElement[bool] = count < literal_column(str(MOST))
    if not once:
        after = _inserted(None, has_room)
        statement = statements.answer([("has_room", has_room)], after, FIELDS)
        return statement.add_cte(_expired_removed())
    replayed = idempotency.replayed()
    growth = Growth(ONE, ROW_SIZE)
    after = _inserted(growth, has_room, ~exists().select_from(replayed))
    table: Table = Token.__table__  # type: ignore[assignment]
    stored = stored_answer(table, replayed).cte("stored")
    seed = func.jsonb_build_object("seed", cast(bindparam("seed"), Text))
    kept = idempotency.kept(func.to_jsonb(text("after")).op("||")(seed), after)
    statement = statements.answer([("has_room", has_room)], after, FIELDS, otherwise=stored)
    return statement.add_columns(
        select(replayed.c.fingerprint).scalar_subquery().label("fingerprint"),
        select(replayed.c.answer["seed"].astext).scalar_subquery().label("seed"),
    ).add_cte(kept, _expired_removed())


def _inserted(growth: Growth | None, *conditions: ColumnElement[bool]) -> Any:
    bump = statements.count_change(*conditions, growth=growth)
    row = {
        "user_id": OWNER.c.id,
        "id": ID,
        "name": bindparam("name"),
        "scopes": cast(bindparam("scopes"), ARRAY(Text)),
        "token_hash": bindparam("token_hash"),
        "last_four": bindparam("last_four"),
        "expires_at": _end(bump),
        "version": bump.c.version,
        "created_at": bump.c.at,
    }
    new_row = select(*row.values()).select_from(beside_owner(bump))
    insertion = insert(Token).from_select(list(row), new_row)
    return insertion.returning(*PUBLIC).cte("after")


def _end(bump: CTE) -> ColumnElement[Any]:
    """Return when the token expires: for external users, who have no address, within a year.

    This service does not learn when their accounts are closed.
    """
    given = cast(bindparam("expires_at"), TIMESTAMP(timezone=True))
    latest = func.least(given, bump.c.at + text(f"interval '{EXTERNAL_DAYS} days'"))
    external = select(User.email.is_(None)).where(User.id == USER_ID).scalar_subquery()
    return case((external, latest), else_=given)


def _expired_removed() -> Any:
    """Remove expired tokens to make room, except those that `flask purge` has locked."""
    old = select(Token.id).where(Token.user_id == USER_ID, Token.expires_at <= func.now())
    free = old.with_for_update(skip_locked=True)
    removal = delete(Token).where(Token.user_id == USER_ID, Token.id.in_(free))
    return removal.returning(Token.id).cte("expired")


CREATE: Final = {once: Statement(_create(once)) for once in (False, True)}
DELETE: Final = Statement(
    statements.if_expected(delete(Token).where(*THIS), select(*PUBLIC).where(*THIS))
)
REVOKE_ALL: Final = Statement(delete(Token).where(Token.user_id == USER_ID).returning(Token.id))
LISTING: Final = OldestFirst(
    select(*PUBLIC).where(Token.user_id == USER_ID), Token.created_at, Token.id
)
