"""What is asked of refresh tokens; each function is one statement and one flight.

A sign-in begins a family of tokens; each is spent for the next. A spent token that comes back was
stolen from one side or the other, and ends the family (RFC 9700, section 4.14.2).
"""

from typing import Any, Final, NamedTuple

import orjson
from sqlalchemy import (
    CTE,
    BindParameter,
    ColumnElement,
    Select,
    bindparam,
    delete,
    exists,
    func,
    null,
    select,
    text,
    true,
    update,
)
from sqlalchemy.dialects.postgresql import insert

from app.auth.access_tokens import REFRESH_DAYS
from app.auth.models import RefreshToken
from app.core.problem_kinds import INVALID_CREDENTIALS
from app.core.problems import Problem
from app.core.secrets import Keys, present
from app.db.run import execute
from app.db.scope import writing_sessions
from app.db.statement import Statement
from app.rows import idempotency
from app.rows.idempotency import IdempotencyKey, Once
from app.rows.statements import USER_ID
from app.web.errors import CONSTRAINTS

# Whoever erases the account while they sign in has no account to sign in to.
for constraint in ("fk_refresh_tokens_users", "fk_idempotency_keys_users"):
    CONSTRAINTS[constraint] = Problem(INVALID_CREDENTIALS)

HASH: Final[BindParameter[Any]] = bindparam("token_hash")
NEW_HASH: Final[BindParameter[Any]] = bindparam("new_hash")
FAMILY: Final[BindParameter[Any]] = bindparam("family_id")
MOST_SESSIONS: Final = 100
"""That a user has at once: one more ends the one that was refreshed longest ago."""

MOST_SPENT: Final = 100
"""Spent tokens that are remembered of a session; an older one is unknown when it comes back."""

MOST_KEPT: Final = 1000
"""Answers that are kept of each of these routes for a user."""

MOST_REMOVED: Final = 1000
"""Rows that one request removes where there are too many, left by an earlier release."""

EXPIRY: Final = func.now() + text(f"interval '{REFRESH_DAYS} days'")


class Outcome(NamedTuple):
    """Whether it was done now, or else what the same request was answered before, if it was; and
    under which keys the answer is made.
    """

    done: bool
    earlier: dict[str, Any] | None
    keys: Keys


def start_session(
    user_id: str, new_hash: bytes, family_id: str, answer: dict[str, Any], once: Once | None
) -> Outcome:
    """Begin a family. Raises Problem 422 for a key that came with another body."""
    statement = START_ONCE if once else START
    return _run(statement, user_id, answer, once, new_hash=new_hash, family_id=family_id)


def rotate(
    user_id: str, token_hash: bytes, new_hash: bytes, answer: dict[str, Any], once: Once | None
) -> Outcome:
    """Spend a token for the next; one that is spent already takes its family with it.

    Raises Problem 422 for a key that came with another body.
    """
    statement = ROTATE_ONCE if once else ROTATE
    return _run(statement, user_id, answer, once, token_hash=token_hash, new_hash=new_hash)


def end_session(user_id: str, token_hash: bytes, once: Once | None) -> Outcome:
    """Delete the token's family. Raises Problem 422 for a key that came with another body."""
    return _run(END_ONCE if once else END, user_id, {}, once, token_hash=token_hash)


def _run(
    statement: Statement,
    user_id: str,
    answer: dict[str, Any],
    once: Once | None,
    **parameters: object,
) -> Outcome:
    if once:
        parameters |= {**once.parameters, "answer": orjson.dumps(answer).decode()}
    scope = writing_sessions(user_id, once=once is not None)
    [row] = execute(scope, statement, user_id=user_id, **parameters)
    if once is None:
        return Outcome(row.done, row.answer, present())
    if not row.known and not once.is_same(row.fingerprint):
        return Outcome(done=False, earlier=None, keys=present())
    return Outcome(row.done, row.answer, once.require_same(row.fingerprint))


def _start(once: bool) -> Select[Any]:
    replayed, fresh = _claim(once)
    family = select(USER_ID, NEW_HASH, FAMILY, EXPIRY).where(fresh)
    issued = _issued(family)
    return _answer(issued, replayed, true()).add_cte(_superseded(issued))


def _rotate(once: bool) -> Select[Any]:
    """Spend the token for the next, or end the family of one that was spent before.

    `spent` refers to `presented`, so that this is read first where the parts of a statement run one
    after the other, as on a sharded PostgreSQL: read afterwards, every token would look spent.
    """
    replayed, fresh = _claim(once)
    presented = _presented()
    spent = (
        update(RefreshToken)
        .where(
            RefreshToken.user_id == USER_ID,
            RefreshToken.token_hash == HASH,
            RefreshToken.spent_at.is_(None),
            RefreshToken.expires_at > func.now(),
            exists(select(presented).where(presented.c.spent_at.is_(None))),
            fresh,
        )
        .values(spent_at=func.now())
        .returning(RefreshToken.family_id)
        .cte("spent")
    )
    reused = _ended(presented, presented.c.spent_at.is_not(None), fresh).cte("reused")
    issued = _issued(select(USER_ID, NEW_HASH, spent.c.family_id, EXPIRY))
    statement = _answer(issued, replayed, exists(select(presented)))
    return statement.add_cte(reused, _forgotten(spent))


def _end(once: bool) -> Select[Any]:
    replayed, fresh = _claim(once)
    presented = _presented()
    ended = _ended(presented, fresh).returning(RefreshToken.family_id).cte("ended")
    done = select(ended.c.family_id).distinct().cte("done")
    return _answer(done, replayed, exists(select(presented)))


def _superseded(issued: CTE) -> CTE:
    """End the sessions beyond the newest, of which the one that begins is one."""
    live = select(RefreshToken.family_id).where(
        RefreshToken.user_id == USER_ID,
        RefreshToken.spent_at.is_(None),
        RefreshToken.token_hash != NEW_HASH,
    )
    newest_first = live.order_by(RefreshToken.created_at.desc(), RefreshToken.family_id.desc())
    old = newest_first.offset(MOST_SESSIONS - 1).limit(MOST_SESSIONS)
    removal = delete(RefreshToken).where(
        RefreshToken.user_id == USER_ID,
        RefreshToken.family_id.in_(old),
        exists(select(issued)),
    )
    return removal.returning(RefreshToken.family_id).cte("superseded")


def _forgotten(spent: CTE) -> CTE:
    """Remove the spent tokens of a family beyond the newest, of which the one just spent is one."""
    family = select(spent.c.family_id).scalar_subquery()
    before = select(RefreshToken.token_hash).where(
        RefreshToken.user_id == USER_ID,
        RefreshToken.family_id == family,
        RefreshToken.spent_at.is_not(None),
        RefreshToken.token_hash != HASH,
    )
    newest_first = before.order_by(RefreshToken.created_at.desc(), RefreshToken.token_hash)
    old = newest_first.offset(MOST_SPENT - 1).limit(MOST_REMOVED)
    removal = delete(RefreshToken).where(
        RefreshToken.user_id == USER_ID, RefreshToken.token_hash.in_(old)
    )
    return removal.returning(RefreshToken.token_hash).cte("forgotten")


def _claim(once: bool) -> tuple[CTE | None, Any]:
    if not once:
        return None, true()
    replayed = idempotency.replayed()
    return replayed, ~exists(select(replayed))


def _presented() -> CTE:
    row = select(RefreshToken.family_id, RefreshToken.spent_at).where(
        RefreshToken.user_id == USER_ID, RefreshToken.token_hash == HASH
    )
    return row.cte("presented")


def _ended(presented: CTE, *conditions: Any) -> Any:
    return delete(RefreshToken).where(
        RefreshToken.user_id == USER_ID,
        RefreshToken.family_id == presented.c.family_id,
        *conditions,
    )


def _issued(row: Select[Any]) -> CTE:
    columns = ["user_id", "token_hash", "family_id", "expires_at"]
    insertion = insert(RefreshToken).from_select(columns, row)
    return insertion.returning(RefreshToken.token_hash).cte("issued")


def _answer(work: CTE, replayed: CTE | None, known: ColumnElement[bool]) -> Select[Any]:
    """Whether it was done, and for a keyed request what there is to know of an earlier one.

    `known` tells a user from a stranger, who must not learn which keys were used.
    """
    statement: Select[Any] = select(exists(select(work)).label("done"))
    if replayed is None:
        return statement.add_columns(null().label("answer"))
    return statement.add_columns(
        select(replayed.c.answer).scalar_subquery().label("answer"),
        select(replayed.c.fingerprint).scalar_subquery().label("fingerprint"),
        known.label("known"),
    ).add_cte(idempotency.kept(bindparam("answer"), work), _displaced(work))


def _displaced(work: CTE) -> CTE:
    """Remove the answers that are kept of this route beyond the newest."""
    own = (
        IdempotencyKey.user_id == USER_ID,
        IdempotencyKey.route == bindparam("route"),
    )
    others = select(IdempotencyKey.key).where(*own, IdempotencyKey.key != bindparam("key"))
    newest_first = others.order_by(IdempotencyKey.created_at.desc(), IdempotencyKey.key)
    old = newest_first.offset(MOST_KEPT - 1).limit(MOST_REMOVED)
    removal = delete(IdempotencyKey).where(*own, IdempotencyKey.key.in_(old), exists(select(work)))
    return removal.returning(IdempotencyKey.key).cte("displaced")


START: Final = Statement(_start(once=False))
START_ONCE: Final = Statement(_start(once=True))
ROTATE: Final = Statement(_rotate(once=False))
ROTATE_ONCE: Final = Statement(_rotate(once=True))
END: Final = Statement(_end(once=False))
END_ONCE: Final = Statement(_end(once=True))
