"""The statements that start a session, rotate its refresh token and end it.

Each has a variant, by True, for requests with an Idempotency-Key, which also keeps the response.
"""

from collections.abc import Iterable
from typing import Any, Final

from sqlalchemy import (
    ARRAY,
    CTE,
    BindParameter,
    ColumnElement,
    Integer,
    Select,
    Text,
    Uuid,
    and_,
    any_,
    bindparam,
    cast,
    delete,
    exists,
    func,
    literal_column,
    null,
    or_,
    select,
    text,
    true,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP, distinct_on, insert

from app.auth.models import RefreshToken
from app.db.statement import Statement
from app.rows import idempotency
from app.rows.idempotency import IdempotencyKey
from app.rows.owner import User
from app.rows.shape import USER_ID

WHERE_COLUMNS: Final = ("user_agent", "address")
WHERE: Final = tuple(cast(bindparam(name), Text) for name in WHERE_COLUMNS)
"""Where the session is refreshed."""

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

MOST_AT_ONCE: Final = 10
"""Tokens of a session that are not spent: more than one where it is refreshed twice at once."""

GRACE: Final = text("interval '10 seconds'")
"""How long a spent token counts, so that two tabs that refresh at once both stay signed in."""

DAY: Final[ColumnElement[Any]] = literal_column("interval '1 day'")
EXPIRY: Final = func.now() + text(f"interval '{REFRESH_DAYS} days'")
LONGEST: Final = DAY * bindparam("session_days", type_=Integer)
"""How long a session lasts, however often it is refreshed."""


def _start(once: bool) -> Select[Any]:
    """Begin a family, unless the password was changed since it was compared."""
    replayed, fresh = _claim(once)
    seen = cast(bindparam("password_changed_at"), TIMESTAMP(timezone=True))
    unchanged = exists().where(
        User.id == USER_ID, User.password_changed_at.is_not_distinct_from(seen)
    )
    family = select(USER_ID, NEW_HASH, FAMILY, *_expiring(func.now()), *WHERE)
    issued = _issued(family.where(unchanged, fresh))
    return _answer(issued, replayed, true()).add_cte(_superseded(issued))


def _rotate(once: bool) -> Select[Any]:
    """Mark the token as spent and issue the next, or end the family of a token spent before.

    `spent` refers to `presented`, so that `presented` runs first on a sharded PostgreSQL, which
    runs the parts of a statement one by one. Read afterwards, every token would look spent.
    """
    replayed, fresh = _claim(once)
    presented = _presented()
    started_at = func.coalesce(presented.c.started_at, presented.c.created_at)
    is_fresh = or_(presented.c.spent_at.is_(None), presented.c.spent_at > func.now() - GRACE)
    counts = and_(
        is_fresh,
        presented.c.expires_at > func.now(),
        started_at + LONGEST > func.now(),
        ~exists().where(User.id == USER_ID, User.disabled_at.is_not(None)),
        fresh,
    )
    usable = select(presented.c.family_id, started_at.label("started_at")).where(counts)
    going_on = usable.cte("going_on").prefix_with("materialized")
    spent = (
        update(RefreshToken)
        .where(
            RefreshToken.user_id == USER_ID,
            RefreshToken.token_hash == HASH,
            exists(select(going_on)),
        )
        .values(spent_at=func.coalesce(RefreshToken.spent_at, func.clock_timestamp()))
        .returning(RefreshToken.family_id)
        .cte("spent")
    )
    reused = _ended(presented, ~is_fresh, fresh).cte("reused")
    row = select(USER_ID, NEW_HASH, spent.c.family_id, *_expiring(going_on.c.started_at), *WHERE)
    issued = _issued(row.join_from(spent, going_on, true()))
    statement = _answer(issued, replayed, exists(select(presented)))
    return statement.add_cte(reused, _surplus_spent(spent), _surplus_at_once(spent))


def _expiring(started_at: ColumnElement[Any]) -> tuple[ColumnElement[Any], ColumnElement[Any]]:
    """When a token of a session that began then expires, and when it began."""
    return func.least(EXPIRY, started_at + LONGEST), started_at


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


def _surplus_at_once(spent: CTE) -> CTE:
    """Delete the oldest tokens of a family that are not spent beyond MOST_AT_ONCE, counting the new
    one.
    """
    family = RefreshToken.family_id == select(spent.c.family_id).scalar_subquery()
    unspent = (family, RefreshToken.spent_at.is_(None))
    others = (*unspent, RefreshToken.token_hash.not_in((HASH, NEW_HASH)))
    return _surplus("surplus_at_once", RefreshToken, RefreshToken.token_hash, others, MOST_AT_ONCE)


def _surplus_kept(work: CTE) -> CTE:
    """Delete the oldest kept responses of this route beyond MOST_KEPT, counting the new one."""
    key, route = IdempotencyKey.key, IdempotencyKey.route == bindparam("route")
    others = (route, key != bindparam("key"))
    new = exists(select(work))
    return _surplus("surplus_kept", IdempotencyKey, key, others, MOST_KEPT, route, new)


def _surplus(
    name: str, model: Any, key: Any, others: Iterable[Any], most: int, *conditions: Any
) -> CTE:
    """Keep the new key and the newest of the others, `most` in all; delete the rows of the rest.

    Several rows may have one key; the newest of them says how old it is.
    """
    own = model.user_id == USER_ID
    newest_first = (func.max(model.created_at).desc(), key.desc())
    keys = select(key).where(own, *others).group_by(key).order_by(*newest_first)
    old = keys.offset(most - 1).limit(MOST_REMOVED)
    return delete(model).where(own, *conditions, key.in_(old)).returning(key).cte(name)


def _claim(once: bool) -> tuple[CTE | None, Any]:
    if not once:
        return None, true()
    replayed = idempotency.replayed()
    return replayed, ~exists(select(replayed))


def _presented() -> CTE:
    row = select(*RefreshToken.__table__.c).where(
        RefreshToken.user_id == USER_ID, RefreshToken.token_hash == HASH
    )
    return row.cte("presented").prefix_with("materialized")


def _ended(presented: CTE, *conditions: Any) -> Any:
    return delete(RefreshToken).where(
        RefreshToken.user_id == USER_ID,
        RefreshToken.family_id == presented.c.family_id,
        *conditions,
    )


def _issued(row: Select[Any]) -> CTE:
    columns = ["user_id", "token_hash", "family_id", "expires_at", "started_at", *WHERE_COLUMNS]
    insertion = insert(RefreshToken).from_select(columns, row)
    return insertion.returning(RefreshToken.family_id).cte("issued")


def _answer(work: CTE, replayed: CTE | None, known: ColumnElement[bool]) -> Select[Any]:
    """Select whether the work was done and, for a keyed request, the kept response.

    `known` says whether the caller presented a token of the user; anyone else must not learn which
    keys were used.
    """
    family = select(work.c.family_id).scalar_subquery()
    statement: Select[Any] = select(family.label("family_id"))
    if replayed is None:
        return statement.add_columns(null().label("answer"))
    answer = cast(bindparam("answer"), JSONB).op("||")(
        func.jsonb_build_object("family_id", work.c.family_id)
    )
    return statement.add_columns(
        select(replayed.c.answer).scalar_subquery().label("answer"),
        select(replayed.c.fingerprint).scalar_subquery().label("fingerprint"),
        known.label("known"),
    ).add_cte(idempotency.kept(answer, work), _surplus_kept(work))


def _sessions() -> Select[Any]:
    """The sessions as they were refreshed last, the newest first."""
    token = RefreshToken
    latest = (
        select(
            token.family_id.label("id"),
            func.coalesce(token.started_at, token.created_at).label("created_at"),
            token.created_at.label("last_used_at"),
            token.user_agent,
            token.address,
        )
        .where(token.user_id == USER_ID, token.spent_at.is_(None), token.expires_at > func.now())
        .ext(distinct_on(token.family_id))
        .order_by(token.family_id, token.created_at.desc())
        .subquery("latest")
    )
    return latest.select().order_by(latest.c.last_used_at.desc(), latest.c.id)


def _end_sessions() -> Select[Any]:
    ids = cast(bindparam("ids"), ARRAY(Uuid(as_uuid=False)))
    family = RefreshToken.family_id
    ended = (
        delete(RefreshToken)
        .where(
            RefreshToken.user_id == USER_ID,
            or_(ids.is_(None), family == any_(ids)),
            family.is_distinct_from(cast(bindparam("but"), Uuid(as_uuid=False))),
        )
        .returning(family)
        .cte("ended")
    )
    return select(ended.c.family_id).distinct()


SESSIONS: Final = Statement(_sessions())
END_SESSIONS: Final = Statement(_end_sessions())
START: Final = {once: Statement(_start(once)) for once in (False, True)}
ROTATE: Final = {once: Statement(_rotate(once)) for once in (False, True)}
END: Final = {once: Statement(_end(once)) for once in (False, True)}
