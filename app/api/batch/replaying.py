"""The kept answer of a batch, sent again without the content that has been erased since."""

from typing import Any, Final

import orjson
from sqlalchemy import (
    BigInteger,
    ColumnElement,
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
)
from sqlalchemy.dialects.postgresql import JSON, TIMESTAMP

from app.api.kinds import KINDS
from app.db.sending import Transaction
from app.db.statement import Statement
from app.rows.statements import outlasts

COLUMNS: Final = (
    column("place", Integer),
    column("kind", Text),
    column("id", Uuid),
    column("version", BigInteger),
    column("created_at", TIMESTAMP(True)),
)


def _erased() -> Select[Any]:
    """The places of those rows whose content has been erased."""
    rows = func.json_to_recordset(cast(bindparam("rows"), JSON))
    then = rows.table_valued(*COLUMNS).render_derived(name="then", with_types=True)
    lasting: dict[str, ColumnElement[bool]] = {
        name: outlasts(kind.table, then) for name, kind in KINDS.items()
    }
    lasts = case(*((then.c.kind == kind, lasts) for kind, lasts in lasting.items()))
    return select(then.c.place).where(~lasts)


ERASED: Final = Statement(_erased())


def replay(transaction: Transaction, user_id: str, answer: bytes) -> bytes:
    """The answer; where the row of a result was erased, the result has no body."""
    answered = orjson.loads(answer)
    bodies = {n: each["body"] for n, each in enumerate(answered["results"]) if each["body"]}
    if not bodies:
        return answer
    rows = [
        {
            "place": place,
            "kind": _kind_of(body),
            **{name: body[name] for name in ("id", "version", "created_at")},
        }
        for place, body in bodies.items()
    ]
    parameters = {"user_id": user_id, "rows": orjson.dumps(rows).decode()}
    erased = transaction.send((ERASED, parameters))
    for row in erased:
        answered["results"][row.place]["body"] = None
    return orjson.dumps(answered) if erased else answer


def _kind_of(body: dict[str, Any]) -> str:
    """Of which kind it is, which the kept answer of an earlier release does not say either."""
    return "task" if "title" in body else "category"
