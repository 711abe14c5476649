"""The idempotency key of an import, which is no single statement.

It is claimed before the first line, with no answer, and answered after the last. An import that
broke off under a key is done again under it, as each line may be.
"""

from typing import Any, Final

import orjson
from sqlalchemy import bindparam, cast, exists, literal_column, select, true, update
from sqlalchemy.dialects.postgresql import JSONB

from app import idempotency
from app.execution import Statement, execute, first
from app.idempotency import IdempotencyKey, Once
from app.scope import writing
from app.statements import USER_ID
from app.users.models import User
from app.versioned import NoAccount

NO_ANSWER: Final = literal_column("'null'::jsonb", JSONB)


def _claim() -> Any:
    replayed = idempotency.replayed()
    fresh = select(User.id).where(User.id == USER_ID, ~exists().select_from(replayed)).cte("fresh")
    return (
        select(User.id, replayed.c.fingerprint, replayed.c.answer)
        .select_from(User)
        .outerjoin(replayed, true())
        .where(User.id == USER_ID)
        .add_cte(idempotency.kept(NO_ANSWER, fresh))
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
    earlier = select(IdempotencyKey.answer).where(*own, IdempotencyKey.answer != NO_ANSWER)
    return earlier.add_cte(settled)


CLAIM: Final = Statement(_claim())
SETTLE: Final = Statement(_settle())


def claim(user_id: str, once: Once) -> dict[str, Any] | None:
    """What the key was answered before, if it was. Raises NoAccount, Problem 422."""
    scope = writing(user_id, once=True)
    row = first(execute(scope, CLAIM, user_id=user_id, **once.parameters))
    if row is None:
        raise NoAccount
    once.require_same(row.fingerprint)
    answer: dict[str, Any] | None = row.answer
    return answer


def settle(user_id: str, once: Once, answer: dict[str, Any]) -> dict[str, Any] | None:
    """Keep the answer under its key; or what the same request was answered meanwhile."""
    scope, text = writing(user_id, once=True), orjson.dumps(answer).decode()
    parameters = {"route": once.route, "key": once.key, "answer": text}
    row = first(execute(scope, SETTLE, user_id=user_id, **parameters))
    return row.answer if row else None
