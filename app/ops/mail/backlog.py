"""How many mails wait, since when, and how many attempts there were, for the metrics."""

from typing import Any, Final, NamedTuple

from app.db.scope import WORKER
from app.ops.mail.queries import WAITING

MOST_COUNTED: Final = 10_001
MILLISECONDS: Final = 800

# In the order of the index, so that it is read by it whatever the statistics say. What is of all
# users stands apart from the totals, as on a cluster it is asked of all servers.
QUERY: Final = f"""
with due as (
    select count(*) as number from (
        select due_at from mails where {WAITING} and due_at <= now()
            order by due_at limit {MOST_COUNTED}
    ) found
), first as (
    select min(due_at) as at from (
        select due_at from mails where {WAITING} order by due_at limit 1
    ) one
)
select array(
        select coalesce(total, 0)
            from unnest(array['mails_sent', 'mails_retried', 'mails_given_up'])
                with ordinality as each (name, place) left join worker_totals using (name)
            order by place
    ),
    due.number, coalesce(greatest(extract(epoch from now() - first.at)::float, 0), 0),
    first.at is not null
from due, first
"""  # noqa: S608 names of ours


class Backlog(NamedTuple):
    """The state of the outbox; the totals are those of mails sent, retried and given up."""

    totals: list[int]
    due: int
    overdue_seconds: float
    is_waiting: bool


def of(cursor: Any) -> Backlog:
    """Ask for it in a statement of its own. Raises psycopg2.Error."""
    cursor.execute(WORKER.prefix(MILLISECONDS) + QUERY)
    return Backlog(*cursor.fetchone())
