"""What becomes of a task's recurrence when it is written, as `settle_recurrence` decides it."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson
from sqlalchemy import text

from app.api.transfer.rows import Violation
from app.db.run import execute
from app.db.scope import reading
from app.db.sending import Row
from app.db.statement import Statement

# The trigger's own steps and functions, in its order (migration 0014).
SETTLED: Final = Statement(
    text("""
select given.id, settled.recurrence,
    case when settled.violated is null
        then occurrence_at(settled.recurrence, settled.due) end as occurrence,
    settled.violated
from json_to_recordset(cast(:lines as json))
    as given (id uuid, recurrence jsonb, due_date date, due_at timestamptz)
cross join (
    select known_zone(coalesce(:zone, (select time_zone from users where id = :user_id), 'UTC'),
        'UTC') as zone
) as account
cross join lateral (
    select coalesce(given.recurrence->>'time_zone', account.zone) as zone
) as own
cross join lateral (
    select coalesce(given.due_date, date_trunc('second', local_of(given.due_at, own.zone))) as due
) as time
cross join lateral (
    select jsonb_build_object(
        'rule', given.recurrence->>'rule', 'overflow', given.recurrence->>'overflow',
        'after', given.recurrence->>'after', 'time_zone', own.zone,
        'start', coalesce(given.recurrence->>'start', to_char(time.due,
            case when given.due_at is null then 'YYYY-MM-DD'
                else 'YYYY-MM-DD"T"HH24:MI:SS' end))) as recurrence
) as made
cross join lateral (
    select made.recurrence, time.due, case
        when (made.recurrence->>'start')::timestamp < time.due - interval '100 years'
            then 'ck_tasks_recurrence_age'
        when occurrences_of(made.recurrence->>'rule', (made.recurrence->>'start')::timestamp,
                made.recurrence->>'overflow', own.zone, null, 1) = '{}'
            then 'ck_tasks_recurrence_rule'
        when has_time(made.recurrence) <> (given.due_at is not null)
            then 'ck_tasks_recurrence_start'
    end as violated
) as settled
""")
)

FIELDS: Final = ("id", "recurrence", "due_date", "due_at")


def settle(
    user_id: str,
    zone: str | None,
    rows: Mapping[str, dict[str, Any]],
    before: Mapping[str, Mapping[str, Any]],
) -> None:
    """Give tasks the recurrences and occurrences that the database would. Raises Violation.

    `zone` is the account's time zone if it is not that of the database, and `before` are those of
    the tasks that exist, as they are.
    """
    for row in rows.values():
        if row["recurrence"] is None:
            row["occurrence"] = None
    lines = [
        {name: row[name] for name in FIELDS}
        for row in rows.values()
        if row["recurrence"] is not None
    ]
    if not lines:
        return
    for found in _settled(user_id, zone, lines):
        if found.violated:
            raise Violation(found.violated)
        row, old = rows[found.id], before.get(found.id)
        if row["occurrence"] is None or _starts_over(row, found.recurrence, old):
            row["occurrence"] = found.occurrence
        row["recurrence"] = found.recurrence


def violations(user_id: str, rows: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Return which of these tasks repeat in a way that the database refuses, and by which
    constraint.
    """
    lines = [{name: row[name] for name in FIELDS} for row in rows if row["recurrence"] is not None]
    found = _settled(user_id, None, lines) if lines else []
    return {row.id: row.violated for row in found if row.violated}


def _settled(user_id: str, zone: str | None, lines: Sequence[Mapping[str, Any]]) -> Sequence[Row]:
    parameters = {"user_id": user_id, "zone": zone, "lines": orjson.dumps(lines).decode()}
    return execute(reading(user_id), SETTLED, **parameters)


def _starts_over(
    row: Mapping[str, Any], recurrence: Mapping[str, Any], old: Mapping[str, Any] | None
) -> bool:
    """Whether a task gets another rule, and is said to stay at its occurrence."""
    if old is None or old["recurrence"] is None or row["occurrence"] != old["occurrence"]:
        return False
    zones = {"time_zone": None}
    return {**recurrence, **zones} != {**old["recurrence"], **zones}
