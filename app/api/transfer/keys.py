"""The idempotency key of an import, which takes many statements.

The key is claimed before the first line and gets its answer after the last one. An interrupted
import is run again under the same key, as repeating lines is harmless.
"""

from typing import Any, Final

import orjson
from sqlalchemy import bindparam, cast, exists, literal_column, select, update
from sqlalchemy.dialects.postgresql import JSONB

from app.db.run import execute, first
from app.db.scope import writing
from app.db.statement import Statement
from app.rows import idempotency
from app.rows.idempotency import IdempotencyKey, Once
from app.rows.owner import User
from app.rows.quotas import ROW_SIZE, SIZE, ZERO, Growth, NoRoom, quota, within_quota
from app.rows.shape import ONE, USER_ID
from app.rows.statements import count_change

NO_ANSWER: Final = literal_column("'null'::jsonb", JSONB)


def _claim() -> Any:
    replayed = idempotency.replayed()
    unknown = ~exists().select_from(replayed)
    fresh = count_change(unknown, step=ZERO, growth=Growth(ONE, ROW_SIZE))
    kept = idempotency.kept(NO_ANSWER, fresh)
    return select(
        select(replayed.c.fingerprint).scalar_subquery().label("fingerprint"),
        select(replayed.c.answer).scalar_subquery().label("answer"),
        exists().select_from(kept).label("claimed"),
    )


def _settle() -> Any:
    own = (
        IdempotencyKey.user_id == USER_ID,
        IdempotencyKey.route == bindparam("route"),
        IdempotencyKey.key == bindparam("key"),
    )
    settled = (
        update(IdempotencyKey)
        .where(*own, IdempotencyKey.answer == NO_ANSWER)
        .values(answer=cast(bindparam("answer"), JSONB))
        .returning(IdempotencyKey.key)
        .cte("settled")
    )
    # The import is done, so its report is stored even beyond the quota.
    growth = Growth(None, SIZE).values()
    counted = (
        update(User)
        .where(User.id == USER_ID, exists().select_from(settled))
        .values(growth)
        .returning(User.id)
        .cte("counted")
    )
    earlier = select(IdempotencyKey.answer).where(*own, IdempotencyKey.answer != NO_ANSWER)
    return earlier.add_cte(counted)


CLAIM: Final = Statement(_claim())
SETTLE: Final = Statement(_settle())


def claim(user_id: str, once: Once) -> dict[str, Any] | None:
    """Claim the key; return its earlier answer, if any. Raises NoAccount, NoRoom, Problem 422."""
    scope = writing(user_id, once=True)

    def write() -> dict[str, Any] | None:
        [row] = execute(scope, CLAIM, user_id=user_id, **once.parameters, **quota())
        once.require_same(row.fingerprint)
        if row.fingerprint is None and not row.claimed:
            raise NoRoom(rows=1)
        answer: dict[str, Any] | None = row.answer
        return answer

    return within_quota(user_id, write)


def settle(user_id: str, once: Once, answer: dict[str, Any]) -> dict[str, Any] | None:
    """Store the answer under its key, or return the one that a concurrent request stored."""
    scope, text = writing(user_id, once=True), orjson.dumps(answer).decode()
    parameters = {"route": once.route, "key": once.key, "answer": text, "size": len(text)}
    row = first(execute(scope, SETTLE, user_id=user_id, **parameters))
    return row.answer if row else None
