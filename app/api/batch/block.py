"""The statements of a batch as one block of PL/pgSQL, which runs them in the order of operations.

The server parses and plans each statement once in a block, however many operations are it; what
they write travels as JSON, whose values get their types from a list of columns, never as SQL.
Source: PostgreSQL, "DO", "Plan Caching" in "PL/pgSQL under the Hood".
"""

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

import orjson
from sqlalchemy import ARRAY, BigInteger, Boolean, bindparam, func, select, text
from sqlalchemy.types import TypeEngine

from app.api.kinds import ACTIONS, KINDS, TYPES
from app.db.nodes import Nodes
from app.db.statement import DIALECT, Statement
from app.db.transactions import Sent
from app.rows.write import Write

GIVEN: Final[dict[str, TypeEngine[Any]]] = {
    **TYPES,
    **{name: type_ for action in ACTIONS.values() for name, type_ in action.types.items()},
    "versions": ARRAY(BigInteger()),
    "other_than": ARRAY(BigInteger()),
    "must_exist": Boolean(),
    "must_be_new": Boolean(),
    "size": BigInteger(),
    "quota_rows": BigInteger(),
    "quota_bytes": BigInteger(),
}
"""Whatever a write may be bound to."""

COLUMNS: Final = ", ".join(
    f"{name} {type_.compile(dialect=DIALECT)}" for name, type_ in GIVEN.items()
)
AS_FIELDS: Final = {name: f"op.{name}" for name in GIVEN}

# A violated constraint undoes the writes and is an answer like any other: as an error, PostgreSQL
# would log it, and with it what users wrote.
BODY: Final = """
declare
    op record;
    answered record;
    kept json;
    answers json[];
    violated text := '';
    said text;
    concerns text := '';
    usage record;
begin
    begin
        %s
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
        %s
    exception when integrity_constraint_violation then
        get stacked diagnostics violated = constraint_name, said = message_text,
            concerns = pg_exception_detail;
        violated := coalesce(nullif(violated, ''), said);
    end;
    select used_rows, used_bytes into usage from users where id = '%s';
    perform set_config('batch.answers', coalesce(array_to_json(answers), '[]')::text, true),
        set_config('batch.violated', violated, true),
        set_config('batch.concerns', coalesce(concerns, ''), true),
        set_config('batch.used_rows', usage.used_rows::text, true),
        set_config('batch.used_bytes', usage.used_bytes::text, true);
end
"""

TOLD: Final = ("answers", "violated", "concerns", "used_rows", "used_bytes")
DEFERRED: Final = [name for kind in KINDS.values() for name in kind.deferred]

OPERATIONS: Final = Statement(
    select(func.set_config("batch.operations", bindparam("operations"), True))
)
DO: Final = Statement(text("do :body"))
ANSWERS: Final = Statement(
    select(*(func.current_setting(f"batch.{name}").label(name) for name in TOLD))
)


def block(user_id: str, writes: Sequence[Write], nodes: Nodes) -> list[Sent]:
    """What runs these writes on such a database; the last answers with an array of JSON, a row for
    each of them, and with what the user has stored by then.

    Where one violates a constraint, its name is answered beside the rows of the writes before it,
    and nothing of any of them is left.
    """
    kinds: dict[Statement, int] = {}
    operations = [
        {"place": place, "kind": kinds.setdefault(write.statement, len(kinds)), **write.parameters}
        for place, write in enumerate(writes)
    ]
    cases = "\n".join(
        f"when {kind} then {one.text(nodes) % AS_FIELDS} into answered;"
        for one, kind in kinds.items()
    )
    user = str(UUID(user_id))
    defer, check = nodes.defer(DEFERRED), nodes.check(DEFERRED, user)
    return [
        (OPERATIONS, {"operations": orjson.dumps(operations).decode()}),
        (DO, {"body": BODY % (defer, COLUMNS, cases, check, user)}),
        (ANSWERS, {}),
    ]
