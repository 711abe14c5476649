"""The statements of a batch as one block of PL/pgSQL, which runs them in the order of operations.

The server parses and plans each statement once in a block, however many operations are it; what
they write travels as JSON, whose values get their types from a list of columns, never as SQL.
Source: PostgreSQL, "DO", "Plan Caching" in "PL/pgSQL under the Hood".
"""

from collections.abc import Sequence
from typing import Any, Final

import orjson
from sqlalchemy import ARRAY, BigInteger, Boolean, bindparam, func, select, text
from sqlalchemy.types import TypeEngine

from app.execution import DIALECT, Statement
from app.kinds import TYPES
from app.transaction import Sent
from app.versioned import Write

GIVEN: Final[dict[str, TypeEngine[Any]]] = {
    **TYPES,
    "versions": ARRAY(BigInteger()),
    "must_exist": Boolean(),
    "must_be_new": Boolean(),
}
"""Whatever a write may be bound to."""

COLUMNS: Final = ", ".join(
    f"{name} {type_.compile(dialect=DIALECT)}" for name, type_ in GIVEN.items()
)
AS_FIELDS: Final = {name: f"op.{name}" for name in GIVEN}

# With a violated constraint comes the number of the operation, as a hint, and as details what those
# before it were answered.
BODY: Final = """
declare
    op record;
    answered record;
    kept json;
    answers json[];
    violated text;
begin
    for op in
        select * from json_to_recordset(current_setting('batch.operations')::json)
            as operation (place integer, kind integer, %s)
    loop
        case op.kind
            %s
        end case;
        kept := to_json(answered);
        answers := answers || kept;
    end loop;
    perform set_config('batch.answers', array_to_json(answers)::text, true);
exception when integrity_constraint_violation then
    get stacked diagnostics violated = constraint_name;
    raise exception using errcode = sqlstate, message = sqlerrm, constraint = violated,
        hint = op.place, detail = coalesce(array_to_json(answers), '[]')::text;
end
"""

OPERATIONS: Final = Statement(
    select(func.set_config("batch.operations", bindparam("operations"), True))
)
DO: Final = Statement(text("do :body"))
ANSWERS: Final = Statement(select(func.current_setting("batch.answers").label("answers")))


def block(writes: Sequence[Write]) -> list[Sent]:
    """What runs these writes; the last answers with an array of JSON, a row for each of them.

    A constraint that is violated is told with the number of the write as a hint, and with the rows
    of those before it as details.
    """
    kinds: dict[Statement, int] = {}
    operations = [
        {"place": place, "kind": kinds.setdefault(write.statement, len(kinds)), **write.parameters}
        for place, write in enumerate(writes)
    ]
    cases = "\n".join(f"when {kind} then {_kept(one)};" for one, kind in kinds.items())
    return [
        (OPERATIONS, {"operations": orjson.dumps(operations).decode()}),
        (DO, {"body": BODY % (COLUMNS, cases)}),
        (ANSWERS, {}),
    ]


def _kept(statement: Statement) -> str:
    """The statement, bound to an operation's fields, its row kept in a variable."""
    return f"{statement.sql % AS_FIELDS} into answered"
