"""Statements of the outbox: claiming a mail that is due, and recording what became of it.

Each is a short transaction. A claim postpones the mail, so that no other worker takes it, and it is
due again if this worker dies. What is due is found among all users without locks, and claimed by a
statement of one user (docs/decisions/0073).
"""

from typing import Final, NamedTuple

from sqlalchemy import text

from app.db.run import execute, first
from app.db.scope import WORKER
from app.db.statement import Statement
from app.ops.mail.message import Mail

LEASE_MINUTES: Final = 10
"""How long a claim lasts: longer than any conversation with the mail server."""

WAITING: Final = "sent_at is null and given_up_at is null"
"""The condition of the index ix_mails_due_at."""

MOST_TRIED: Final = 10
"""Mails that a worker tries to claim one after the other, when others have been faster."""

DUE: Final = Statement(
    text(f"""
select user_id, id from mails where {WAITING} and due_at <= now() order by due_at limit :most
""")  # noqa: S608 names of ours
)
CLAIM: Final = Statement(
    text(f"""
with due as (
    select id, send_until < now() as expired from mails
        where user_id = :user_id and id = :id and {WAITING} and due_at <= now()
        for update skip locked
)
update mails
    set attempts = attempts + 1, due_at = now() + interval '{LEASE_MINUTES} minutes'
    from due where mails.user_id = :user_id and mails.id = due.id
    returning mails.user_id, mails.id, kind, recipient, seed, key_id, created_at, attempts,
        expired
""")  # noqa: S608 names of ours
)
SENT: Final = Statement(
    text(f"""
with sent as (
    update mails set sent_at = now(), seed = null, key_id = null, last_error = null
        where user_id = :user_id and id = :id and {WAITING} returning id
), counted as (
    update worker_totals set total = total + 1 from sent where name = 'mails_sent'
)
select id from sent
""")  # noqa: S608 names of ours
)
# Not if another worker has claimed it since. Times are computed before the UPDATE, in which a
# cluster takes no function that is not immutable.
POSTPONED: Final = Statement(
    text(f"""
with attempt as (
    select id, now() as at, now() + make_interval(secs => :pause) as again_at,
            cast(:permanent as boolean)
                or now() + make_interval(secs => :pause) > send_until as was_last
        from mails
        where user_id = :user_id and id = :id and attempts = :attempts and {WAITING}
        for update
), failed as (
    update mails
        set last_error = :error, due_at = attempt.again_at,
            given_up_at = case when was_last then attempt.at end,
            seed = case when not was_last then seed end,
            key_id = case when not was_last then key_id end
        from attempt where mails.user_id = :user_id and mails.id = attempt.id
        returning given_up_at is not null as given_up
), counted as (
    update worker_totals set total = total + 1 from failed
        where name = case when given_up then 'mails_given_up' else 'mails_retried' end
)
select given_up from failed
""")  # noqa: S608 names of ours
)


class Outcome(NamedTuple):
    """What became of an attempt: accepted if there is no error, otherwise due after a pause."""

    mail: Mail
    error: str | None = None
    permanent: bool = False
    pause: float = 0.0


def claim() -> Mail | None:
    """Claim the mail that has been due for longest, of those that nobody else has.

    Returns None if none is due, or if other workers have claimed all that were found.
    """
    for due in execute(WORKER, DUE, most=MOST_TRIED):
        if row := first(execute(WORKER, CLAIM, user_id=due.user_id, id=due.id)):
            return Mail(**row._mapping)
    return None


def record(outcome: Outcome) -> str:
    """Record an outcome; return what it amounts to: sent, retried or given up."""
    mail, key = outcome.mail, {"user_id": outcome.mail.user_id, "id": outcome.mail.id}
    if outcome.error is None:
        execute(WORKER, SENT, **key)
        return "sent"
    changes = {"error": outcome.error, "permanent": outcome.permanent, "pause": outcome.pause}
    row = first(execute(WORKER, POSTPONED, **key, **changes, attempts=mail.attempts))
    return "given up" if row and row.given_up else "retried"
