"""A batch in the database: one transaction, whose flights do not grow with it."""

from collections import namedtuple
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

import orjson
import psycopg2
from sqlalchemy import (
    BigInteger,
    Integer,
    Select,
    Text,
    Uuid,
    bindparam,
    case,
    cast,
    column,
    func,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import JSON, TIMESTAMP

from app.api.batch.block import block
from app.api.batch.operations import concerning, failed
from app.api.batch.schemas import Operation
from app.api.kinds import KINDS, TYPES
from app.core.problems import Problem
from app.db.constraints import named
from app.db.run import first, perform
from app.db.scope import writing
from app.db.sending import Row
from app.db.statement import Statement
from app.db.transactions import Transaction
from app.rows import idempotency
from app.rows.idempotency import Once
from app.rows.owner import User
from app.rows.quotas import ROW_BYTES, ROW_SIZE, SIZE, Growth, NoRoom, quota, within_quota
from app.rows.replays import outlasts
from app.rows.shape import ONE, USER_ID, instants_of, read_instants
from app.rows.write import Write
from app.web.conditional import entity_tag
from app.web.errors import CONSTRAINTS

INSTANTS: Final = instants_of(TYPES)

REPLAYED: Final = Statement(select(idempotency.replayed()))


def _kept() -> Select[Any]:
    """Keep the answer, and count it among what the user has stored."""
    growth = Growth(ONE, SIZE + ROW_SIZE).values()
    owner = update(User).where(User.id == USER_ID).values(growth).returning(User.id).cte("owner")
    return select(idempotency.kept(func.to_jsonb(cast(bindparam("answer"), Text)), owner))


def _erased() -> Select[Any]:
    """The places of those results whose row has been erased since, or purged."""
    then = (
        func.json_to_recordset(cast(bindparam("rows"), JSON))
        .table_valued(
            column("place", Integer),
            column("kind", Text),
            column("id", Uuid),
            column("version", BigInteger),
            column("created_at", TIMESTAMP(True)),
        )
        .render_derived(name="then", with_types=True)
    )
    lasts = case(
        *((then.c.kind == name, outlasts(kind.table, then)) for name, kind in KINDS.items())
    )
    return select(then.c.place).where(~lasts)


KEPT: Final = Statement(_kept())
ERASED: Final = Statement(_erased())


def run(
    user_id: str, operations: Sequence[Operation], writes: Sequence[Write], once: Once | None
) -> tuple[bytes, bool]:
    """Do the writes of these operations, all or none, in two flights, or three with a key.

    Returns the body of the answer, and whether an earlier request with the key was given it.
    Raises NoAccount, NoRoom, Problem 409, 422.
    """

    def work(transaction: Transaction) -> tuple[bytes, bool]:
        if once and (earlier := _replayed(transaction, user_id, operations, once)):
            return earlier, True
        [row] = transaction.send(*block(user_id, writes, transaction.nodes))
        results = _results(row, operations, writes)
        body = orjson.dumps({"results": results}, option=orjson.OPT_UTC_Z)
        if once:
            _require_room(row, len(body))
            kept = {"user_id": user_id, "answer": body.decode(), "size": len(body)}
            transaction.last = (KEPT, kept | once.parameters)
        return body, False

    scope = writing(user_id, once=once is not None)
    try:
        return within_quota(user_id, lambda: perform(scope, Transaction, work))
    except NoRoom as full:
        if full.operation is None:
            raise
        raise failed(full.operation, full) from full


def _replayed(
    transaction: Transaction, user_id: str, operations: Sequence[Operation], once: Once
) -> bytes | None:
    """What the key was answered; where the row of a result was erased, the result has no body."""
    parameters = {"user_id": user_id, **once.parameters}
    row = first(transaction.send((REPLAYED, parameters)))
    if row is None:
        return None
    once.require_same(row.fingerprint)
    answer = orjson.loads(row.answer)
    rows = [
        {
            "place": place,
            "kind": operation.type,
            **{name: result["body"][name] for name in ("id", "version", "created_at")},
        }
        for place, (operation, result) in enumerate(zip(operations, answer["results"], strict=True))
        if result["body"]
    ]
    if rows:
        parameters = {"user_id": user_id, "rows": orjson.dumps(rows).decode()}
        for erased in transaction.send((ERASED, parameters)):
            answer["results"][erased.place]["body"] = None
    return orjson.dumps(answer)


def _require_room(row: Row, size: int) -> None:
    """Raises NoRoom if an answer of this size cannot be kept as well."""
    limits = quota()
    rows, total = int(row.used_rows) + 1, int(row.used_bytes) + size + ROW_BYTES
    if rows > limits["quota_rows"] or total > limits["quota_bytes"]:
        raise NoRoom(rows=1)


def _results(
    row: Row, operations: Sequence[Operation], writes: Sequence[Write]
) -> list[dict[str, Any]]:
    """What each operation would have been answered alone. Raises Problem 409, 422."""
    # One of them may have failed before another one violated a constraint.
    results = [
        _result(index, write, _row(answer))
        for index, (write, answer) in enumerate(
            zip(writes, orjson.loads(row.answers), strict=False)
        )
    ]
    if not row.violated:
        return results
    # What is deferred is only found when all of them are done.
    index = concerning(operations, row.concerns) if len(results) == len(writes) else len(results)
    constraint = named(row.violated)
    if problem := CONSTRAINTS.get(constraint):
        raise failed(index, problem)
    raise psycopg2.IntegrityError(f"a batch violates the constraint {constraint}")


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
    read_instants(answer, INSTANTS)
    return _row_type(tuple(answer))(*answer.values())


@lru_cache(maxsize=64)
def _row_type(names: tuple[str, ...]) -> Any:
    return namedtuple("Row", names)
