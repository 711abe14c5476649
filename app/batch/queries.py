"""A batch in the database: one transaction, whose flights do not grow with it.

Each operation is the statement that it would be alone. What it answers is kept in a setting of the
transaction, as only the last statement of a flight can answer; that one collects the settings.
"""

from collections import namedtuple
from collections.abc import Sequence
from datetime import datetime
from functools import cache
from typing import Any, Final, NamedTuple

import orjson
import psycopg2
from sqlalchemy import Text, bindparam, cast, func, literal_column, select, text, true
from sqlalchemy.dialects.postgresql import TIMESTAMP

from app import idempotency
from app.batch.operations import failed
from app.conditional import entity_tag
from app.errors import CONSTRAINTS
from app.execution import Row, Statement, first
from app.idempotency import Once
from app.kinds import TYPES
from app.problems import Problem
from app.scope import writing
from app.statements import ONE
from app.transaction import Sent, Transaction, in_transaction
from app.versioned import NoAccount, Representation, Write

SETTING: Final = "batch.answer_"

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

    As many again where a constraint is violated: the database does not say by which operation.
    Raises NoAccount, Problem 409, 422.
    """
    try:
        return _attempt(user_id, writes, once, marked=False)
    except psycopg2.Error as error:
        if error.diag.constraint_name not in CONSTRAINTS:
            raise
    return _attempt(user_id, writes, once, marked=True)


def _attempt(user_id: str, writes: Sequence[Write], once: Once | None, *, marked: bool) -> Answer:
    def work(transaction: Transaction) -> Answer:
        if once and (earlier := _replayed(transaction, user_id, once)):
            return Answer(earlier, replayed=True)
        results = _results(transaction, writes, marked=marked)
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


def _results(
    transaction: Transaction, writes: Sequence[Write], *, marked: bool
) -> list[dict[str, Any]]:
    """What each operation would have been answered alone, in one flight."""
    steps: list[Sent] = []
    for index, write in enumerate(writes):
        place = {"place": f"{SETTING}{index}"}
        steps += [(_mark(index), {})] if marked else []
        steps.append((_captured(write.statement), {**write.parameters, **place}))
    try:
        [row] = transaction.send(*steps, (_answers(len(writes)), {}))
    except psycopg2.Error as error:
        problem = CONSTRAINTS.get(error.diag.constraint_name or "")
        if not (marked and problem):
            raise
        raise failed(_reached(transaction), problem) from error
    return [_result(index, write, row.answers[index]) for index, write in enumerate(writes)]


def _result(index: int, write: Write, answer: str) -> dict[str, Any]:
    try:
        representation, new = write.outcome(_row(answer))
    except NoAccount:
        raise
    except Problem as problem:
        raise failed(index, problem) from None
    if write.removes:
        return {"status": 204, "etag": None, "body": None}
    return _resource(representation, new=new)


def _resource(representation: Representation, *, new: bool) -> dict[str, Any]:
    etag = entity_tag(representation["version"])
    return {"status": 201 if new else 200, "etag": etag, "body": representation}


@cache
def _captured(statement: Statement) -> Statement:
    """The statement, its row kept in the setting `place`."""
    answer = statement.clause.subquery("answer")  # type: ignore[attr-defined]
    row = cast(func.to_json(literal_column("answer")), Text).label("row")
    kept = select(row).select_from(answer).subquery("kept")
    return Statement(select(func.set_config(bindparam("place"), kept.c.row, true())))


@cache
def _mark(index: int) -> Statement:
    """Tells that this operation comes next, so that an error can be told to be its."""
    return Statement(text(f"do $$ begin raise notice '{index:d}'; end $$"))


def _reached(transaction: Transaction) -> int:
    """The operation at which the server stopped."""
    return int(transaction.notices[-1].rsplit(maxsplit=1)[-1])


@cache
def _answers(count: int) -> Statement:
    """All that was kept."""
    settings = ", ".join(f"current_setting('{SETTING}{index}')" for index in range(count))
    return Statement(select(literal_column(f"array[{settings}]").label("answers")))


def _row(answer: str) -> Row:
    """The row that a statement would have answered alone."""
    values = orjson.loads(answer)
    for name in INSTANTS & values.keys():
        if values[name] is not None:
            values[name] = datetime.fromisoformat(values[name])
    return _row_of(tuple(values))(*values.values())


@cache
def _row_of(names: tuple[str, ...]) -> Any:
    return namedtuple("Row", names)
