"""How many webhooks are due, since when, and how many calls there were, for the metrics."""

from typing import Any, Final, NamedTuple

from app.db.scope import WORKER

MOST_COUNTED: Final = 10_001
MILLISECONDS: Final = 800

ANSWERING: Final = "attempts = 0 and not slow and due_at is not null"
FAILING: Final = "(attempts > 0 or slow) and due_at is not null"


def _count(condition: str) -> str:
    return f"""select count(*) as number from (
        select due_at from webhooks where {condition} and due_at <= now()
            order by due_at limit {MOST_COUNTED}
    ) found"""  # noqa: S608 names of ours


def _first(condition: str) -> str:
    return f"""select min(due_at) as at from (
        select due_at from webhooks where {condition} order by due_at limit 1
    ) one"""  # noqa: S608 names of ours


# In the order of the indexes, so that it is read by them whatever the statistics say. What is of
# all users stands apart from the totals, as on a cluster it is asked of all servers.
QUERY: Final = f"""
with due as ({_count(ANSWERING)}), again as ({_count(FAILING)}),
    first as ({_first(ANSWERING)}), first_again as ({_first(FAILING)})
select array(
        select coalesce(total, 0)
            from unnest(array['webhooks_delivered', 'webhooks_retried', 'webhooks_disabled'])
                with ordinality as each (name, place) left join worker_totals using (name)
            order by place
    ),
    array[due.number, again.number],
    array[
        coalesce(greatest(extract(epoch from now() - first.at)::float, 0), 0),
        coalesce(greatest(extract(epoch from now() - first_again.at)::float, 0), 0)
    ],
    extract(epoch from least(first.at, first_again.at) - now())::float
from due, again, first, first_again
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
