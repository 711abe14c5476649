"""What one of the workers does once a day: removing old rows, as `flask purge` does, and more."""

from collections import Counter
from collections.abc import Callable
from typing import Final

from sqlalchemy import bindparam, func, text, update

from app.db.run import execute
from app.db.scope import WORKER
from app.db.statement import Statement
from app.ops import composing, purging
from app.ops.hooks import resealing
from app.ops.models import Job
from app.rows.restoring import KEPT_DAYS

PURGE: Final = "purge"

CLAIM: Final = Statement(
    text("""
with due as (
    select name from jobs where name = :name and next_at <= now() for update skip locked
)
update jobs set next_at = now() + interval '1 hour' from due where jobs.name = due.name
    returning jobs.name
""")
)
"""Whoever claims a job has an hour; if it dies, another worker does the job then."""

DONE: Final = Statement(
    update(Job)
    .where(Job.name == bindparam("job"))
    .values(next_at=func.now() + text("interval '1 day'"))
)


def purge_if_due(is_stopping: Callable[[], bool]) -> Counter[str] | None:
    """Purge, if it was a day ago; return how much was removed of each table, or None.

    Raises Problem or psycopg2.Error if the database fails; the next attempt is in an hour.
    """
    if not execute(WORKER, CLAIM, name=PURGE):
        return None
    removed: Counter[str] = Counter()
    for table, count in purging.purge(KEPT_DAYS):
        removed[table] += count
        if is_stopping():
            return removed
    for _line in composing.compose(execute):
        if is_stopping():
            return removed
    resealing.reseal()
    execute(WORKER, DONE, job=PURGE)
    return removed
