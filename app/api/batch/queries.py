"""A batch in the database: one transaction, whose flights do not grow with it."""

from collections import namedtuple
from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, Final, NamedTuple

import orjson
import psycopg2
from sqlalchemy import Select, Text, bindparam, cast, func, select, update
from sqlalchemy.dialects.postgresql import TIMESTAMP

from app.api.batch.block import block
from app.api.batch.operations import failed
from app.api.batch.replaying import replay
from app.api.kinds import TYPES
from app.core.problems import Problem
from app.db.run import first, in_transaction
from app.db.scope import writing
from app.db.sending import Row, Transaction
from app.db.statement import Statement
from app.rows import idempotency
from app.rows.idempotency import Once
from app.rows.owner import User
from app.rows.quotas import ROW_BYTES, ROW_SIZE, SIZE, Growth, NoRoom, quota, within_quota
from app.rows.shape import ONE, USER_ID
from app.rows.versioned import Write
from app.web.conditional import entity_tag
from app.web.errors import CONSTRAINTS

INSTANTS: Final = {name for name, type_ in TYPES.items() if isinstance(type_, TIMESTAMP)}

REPLAYED: Final = Statement(select(idempotency.replayed()))


def _kept() -> Select[Any]:
    """Keep the answer, and count it among what the user has stored."""
    growth = Growth(ONE, SIZE + ROW_SIZE).values()
    owner = update(User).where(User.id == USER_ID).values(growth).returning(User.id).cte("owner")
    return select(idempotency.kept(func.to_jsonb(cast(bindparam("answer"), Text)), owner))


KEPT: Final = Statement(_kept())


class Answer(NamedTuple):
    """A body of JSON, and whether an earlier request with the same key was given it."""

    body: bytes
    replayed: bool


def run(user_id: str, writes: Sequence[Write], once: Once | None) -> Answer:
    """Do all of them or none: two flights, or three with an idempotency key.

    Raises NoAccount, NoRoom, Problem 409, 422.
    """

    def work(transaction: Transaction) -> Answer:
        if once and (earlier := _replayed(transaction, user_id, once)):
            return Answer(earlier, replayed=True)
        [row] = transaction.send(*block(user_id, writes))
        results = _results(row, writes)
        body = orjson.dumps({"results": results}, option=orjson.OPT_UTC_Z)
        if once:
            _require_room(row, len(body))
            kept = {"user_id": user_id, "answer": body.decode(), "size": len(body)}
            transaction.last = (KEPT, kept | once.parameters)
        return Answer(body, replayed=False)

    scope = writing(user_id, once=once is not None)
    try:
        return within_quota(user_id, lambda: in_transaction(scope, work))
    except NoRoom as full:
        if full.operation is None:
            raise
        raise failed(full.operation, full) from full


def _replayed(transaction: Transaction, user_id: str, once: Once) -> bytes | None:
    """What the key was answered, without what has been erased since."""
    parameters = {"user_id": user_id, **once.parameters}
    row = first(transaction.send((REPLAYED, parameters)))
    if row is None:
        return None
    once.require_same(row.fingerprint)
    return replay(transaction, user_id, str(row.answer).encode())


def _require_room(row: Row, size: int) -> None:
    """Raises NoRoom if an answer of this size cannot be kept as well."""
    limits = quota()
    rows, total = row.used_rows + 1, row.used_bytes + size + ROW_BYTES
    if rows > limits["quota_rows"] or total > limits["quota_bytes"]:
        raise NoRoom(rows=1)


def _results(row: Row, writes: Sequence[Write]) -> list[dict[str, Any]]:
    """What each operation would have been answered alone. Raises Problem 409, 422."""
    results = _judged(writes, row.answers)  # one of them may have failed before a constraint did
    if len(results) == len(writes):
        return results
    if problem := CONSTRAINTS.get(row.violated):
        raise failed(len(results), problem)
    raise psycopg2.IntegrityError(f"a batch violates the constraint {row.violated}")


def _judged(writes: Sequence[Write], answers: str) -> list[dict[str, Any]]:
    """What the operations that have an answer would have been answered alone. Raises Problem."""
    return [
        _result(index, write, _row(answer))
        for index, (write, answer) in enumerate(zip(writes, orjson.loads(answers), strict=False))
    ]


def _result(index: int, write: Write, row: Row) -> dict[str, Any]:
    try:
        representation, new = write.outcome(row)
    except NoRoom as full:
        full.operation = index
        raise
    except Problem as problem:
        raise failed(index, problem) from None
    if write.removes:
        return {"status": 204, "etag": None, "body": None}
    etag = entity_tag(representation["version"])
    return {"status": 201 if new else 200, "etag": etag, "body": representation}


def _row(answer: dict[str, Any]) -> Any:
    """The row that a statement would have answered alone, of an object of JSON."""
    for name in INSTANTS & answer.keys():
        if answer[name] is not None:
            answer[name] = datetime.fromisoformat(answer[name])
    return _row_type(tuple(answer))(*answer.values())


@lru_cache(maxsize=64)
def _row_type(names: tuple[str, ...]) -> Any:
    return namedtuple("Row", names)
