"""How many webhooks are due, since when, and how many calls there were, for the metrics."""

from typing import Any, Final, NamedTuple

from app.db.scope import WORKER

MOST_COUNTED: Final = 10_001
MILLISECONDS: Final = 800

ANSWERING: Final = "attempts = 0 and not slow and due_at is not null"
FAILING: Final = "(attempts > 0 or slow) and due_at is not null"


def _count(condition: str) -> str:
    return f"""(select count(*) from (
        select from webhooks where {condition} and due_at <= now()
            order by due_at limit {MOST_COUNTED}
    ) due)"""  # noqa: S608 names of ours


def _first(condition: str) -> str:
    return f"(select due_at from webhooks where {condition} order by due_at limit 1)"  # noqa: S608


# In the order of the indexes, so that it is read by them whatever the statistics say.
QUERY: Final = f"""
select array(
        select coalesce((select total from worker_totals where name = each.name), 0)
            from unnest(array['webhooks_delivered', 'webhooks_retried', 'webhooks_disabled'])
                with ordinality as each (name, place) order by place
    ),
    array[{_count(ANSWERING)}, {_count(FAILING)}],
    array(
        select coalesce(greatest(extract(epoch from now() - at)::float, 0), 0)
            from unnest(array[answering, failing]) with ordinality as first (at, place)
            order by place
    ),
    extract(epoch from least(answering, failing) - now())::float
from (select {_first(ANSWERING)} as answering, {_first(FAILING)} as failing) first
"""  # noqa: S608 names of ours


class Backlog(NamedTuple):
    """The state of the webhooks.

    The totals are those of messages accepted, of attempts to be repeated, and of webhooks disabled.
    Of the pairs the first number is of webhooks that accepted their last message.
    """

    totals: list[int]
    due: list[int]
    overdue_seconds: list[float]
    due_in: float | None
    """Seconds until the first one is due; None if there is nothing to tell."""


def of(cursor: Any) -> Backlog:
    """Ask for it in a statement of its own. Raises psycopg2.Error."""
    cursor.execute(WORKER.prefix(MILLISECONDS) + QUERY)
    return Backlog(*cursor.fetchone())
