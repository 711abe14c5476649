"""The statements that start a session, rotate its refresh token and end it.

Each has a variant, by True, for requests with an Idempotency-Key, which also keeps the response.
"""

from collections.abc import Iterable
from typing import Any, Final

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

from app.auth.models import RefreshToken
from app.db.statement import Statement
from app.rows import idempotency
from app.rows.idempotency import IdempotencyKey
from app.rows.shape import USER_ID

HASH: Final[BindParameter[Any]] = bindparam("token_hash")
NEW_HASH: Final[BindParameter[Any]] = bindparam("new_hash")
FAMILY: Final[BindParameter[Any]] = bindparam("family_id")
REFRESH_DAYS: Final = 30

MOST_SESSIONS: Final = 100
"""Sessions of a user; one more ends the session that was refreshed longest ago."""

MOST_SPENT: Final = 100
"""Spent tokens that are stored for a session; older ones are unknown when they are reused."""

MOST_KEPT: Final = 1000
"""Responses that are kept for a user and each of these routes."""

MOST_REMOVED: Final = 1000
"""Surplus rows of an earlier release that one request removes."""

EXPIRY: Final = func.now() + text(f"interval '{REFRESH_DAYS} days'")


def _start(once: bool) -> Select[Any]:
    replayed, fresh = _claim(once)
    family = select(USER_ID, NEW_HASH, FAMILY, EXPIRY).where(fresh)
    issued = _issued(family)
    return _answer(issued, replayed, true()).add_cte(_superseded(issued))


def _rotate(once: bool) -> Select[Any]:
    """Mark the token as spent and issue the next, or end the family of a token spent before.

    `spent` refers to `presented`, so that `presented` runs first on a sharded PostgreSQL, which
    runs the parts of a statement one by one. Read afterwards, every token would look spent.
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
    return statement.add_cte(reused, _surplus_spent(spent))


def _end(once: bool) -> Select[Any]:
    replayed, fresh = _claim(once)
    presented = _presented()
    ended = _ended(presented, fresh).returning(RefreshToken.family_id).cte("ended")
    done = select(ended.c.family_id).distinct().cte("done")
    return _answer(done, replayed, exists(select(presented)))


def _superseded(issued: CTE) -> CTE:
    """Delete the oldest sessions beyond MOST_SESSIONS, counting the new one."""
    others = (RefreshToken.spent_at.is_(None), RefreshToken.token_hash != NEW_HASH)
    key, new = RefreshToken.family_id, exists(select(issued))
    return _surplus("superseded", RefreshToken, key, others, MOST_SESSIONS, new)


def _surplus_spent(spent: CTE) -> CTE:
    """Delete the oldest spent tokens of a family beyond MOST_SPENT, counting the one just spent."""
    family = RefreshToken.family_id == select(spent.c.family_id).scalar_subquery()
    others = (family, RefreshToken.spent_at.is_not(None), RefreshToken.token_hash != HASH)
    key = RefreshToken.token_hash
    return _surplus("surplus_spent", RefreshToken, key, others, MOST_SPENT)


def _surplus_kept(work: CTE) -> CTE:
    """Delete the oldest kept responses of this route beyond MOST_KEPT, counting the new one."""
    key, route = IdempotencyKey.key, IdempotencyKey.route == bindparam("route")
    others = (route, key != bindparam("key"))
    new = exists(select(work))
    return _surplus("surplus_kept", IdempotencyKey, key, others, MOST_KEPT, route, new)


def _surplus(
    name: str, model: Any, key: Any, others: Iterable[Any], most: int, *conditions: Any
) -> CTE:
    """Keep the new row and the newest of the others, `most` in all; delete the rest by key."""
    own = model.user_id == USER_ID
    newest_first = select(key).where(own, *others).order_by(model.created_at.desc(), key.desc())
    old = newest_first.offset(most - 1).limit(MOST_REMOVED)
    return delete(model).where(own, *conditions, key.in_(old)).returning(key).cte(name)


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
    """Select whether the work was done and, for a keyed request, the kept response.

    `known` says whether the caller presented a token of the user; anyone else must not learn which
    keys were used.
    """
    statement: Select[Any] = select(exists(select(work)).label("done"))
    if replayed is None:
        return statement.add_columns(null().label("answer"))
    return statement.add_columns(
        select(replayed.c.answer).scalar_subquery().label("answer"),
        select(replayed.c.fingerprint).scalar_subquery().label("fingerprint"),
        known.label("known"),
    ).add_cte(idempotency.kept(bindparam("answer"), work), _surplus_kept(work))


START: Final = {once: Statement(_start(once)) for once in (False, True)}
ROTATE: Final = {once: Statement(_rotate(once)) for once in (False, True)}
END: Final = {once: Statement(_end(once)) for once in (False, True)}
