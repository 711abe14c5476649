"""A batch in the database: one transaction, whose flights do not grow with it."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

import orjson
import psycopg2
from sqlalchemy import Text, bindparam, cast, func, select
from sqlalchemy.dialects.postgresql import TIMESTAMP

from app import idempotency
from app.batch.block import block
from app.batch.operations import failed
from app.conditional import entity_tag
from app.errors import CONSTRAINTS
from app.execution import Row, Statement, first, row_of
from app.idempotency import Once
from app.kinds import TYPES
from app.problems import Problem
from app.scope import writing
from app.statements import ONE
from app.transaction import Transaction, in_transaction
from app.versioned import NoAccount, Write

INSTANTS: Final = {name for name, type_ in TYPES.items() if isinstance(type_, TIMESTAMP)}

REPLAYED: Final = Statement(select(idempotency.replayed()))
KEPT: Final = Statement(
    select(
        idempotency.kept(
            func.to_jsonb(cast(bindparam("answer"), Text)), select(ONE.label("one")).cte("one")
        )
    )
)


class Answer(NamedTuple):
    """A body of JSON, and whether an earlier request with the same key was given it."""

    body: bytes
    replayed: bool


def run(user_id: str, writes: Sequence[Write], once: Once | None) -> Answer:
    """Do all of them or none: two flights, or three with an idempotency key.

    Raises NoAccount, Problem 409, 422.
    """

    def work(transaction: Transaction) -> Answer:
        if once and (earlier := _replayed(transaction, user_id, once)):
            return Answer(earlier, replayed=True)
        results = _results(transaction, writes)
        body = orjson.dumps({"results": results}, option=orjson.OPT_UTC_Z)
        if once:
            kept = {"user_id": user_id, "answer": body.decode(), **once.parameters}
            transaction.last = (KEPT, kept)
        return Answer(body, replayed=False)

    return in_transaction(writing(user_id, once=once is not None), work)


def _replayed(transaction: Transaction, user_id: str, once: Once) -> bytes | None:
    parameters = {"user_id": user_id, **once.parameters}
    row = first(transaction.send((REPLAYED, parameters)))
    if row is None:
        return None
    once.require_same(row.fingerprint)
    return str(row.answer).encode()


def _results(transaction: Transaction, writes: Sequence[Write]) -> list[dict[str, Any]]:
    """What each operation would have been answered alone, in one flight."""
    try:
        [row] = transaction.send(*block(writes))
    except psycopg2.Error as error:
        problem = CONSTRAINTS.get(error.diag.constraint_name or "")
        if problem is None:
            raise
        _judged(writes, error.diag.message_detail)  # one of those before may have failed already
        raise failed(int(error.diag.message_hint), problem) from error
    return _judged(writes, row.answers)


def _judged(writes: Sequence[Write], answers: str) -> list[dict[str, Any]]:
    """What the operations that have an answer would have been answered alone. Raises Problem."""
    return [
        _result(index, write, _row(answer))
        for index, (write, answer) in enumerate(zip(writes, orjson.loads(answers), strict=False))
    ]


def _result(index: int, write: Write, row: Row) -> dict[str, Any]:
    try:
        representation, new = write.outcome(row)
    except NoAccount:
        raise
    except Problem as problem:
        raise failed(index, problem) from None
    if write.removes:
        return {"status": 204, "etag": None, "body": None}
    etag = entity_tag(representation["version"])
    return {"status": 201 if new else 200, "etag": etag, "body": representation}


def _row(answer: dict[str, Any]) -> Row:
    """The row that a statement would have answered alone, of an object of JSON."""
    for name in INSTANTS & answer.keys():
        if answer[name] is not None:
            answer[name] = datetime.fromisoformat(answer[name])
    return row_of(tuple(answer))(answer.values())
