"""Statements of the outbox: claiming a mail that is due, and recording what became of it.

Each is a short transaction. A claim postpones the mail, so that no other worker takes it, and it is
due again if this worker dies.
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

ENDS: Final = """
(cast(:permanent as boolean)
    or now() + make_interval(secs => :pause) > send_until)
"""
"""Whether an attempt that failed was the last."""

CLAIM: Final = Statement(
    text(f"""
with due as (
    select user_id, id from mails where {WAITING} and due_at <= now()
        order by due_at limit 1 for update skip locked
)
update mails
    set attempts = attempts + 1, due_at = now() + interval '{LEASE_MINUTES} minutes'
    from due where mails.user_id = due.user_id and mails.id = due.id
    returning mails.user_id, mails.id, kind, recipient, seed, key_id, created_at, attempts,
        send_until < now() as expired
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
# Not if another worker has claimed it since.
POSTPONED: Final = Statement(
    text(f"""
with failed as (
    update mails
        set last_error = :error, due_at = now() + make_interval(secs => :pause),
            given_up_at = case when {ENDS} then now() end,
            seed = case when not {ENDS} then seed end,
            key_id = case when not {ENDS} then key_id end
        where user_id = :user_id and id = :id and attempts = :attempts and {WAITING}
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
    """Claim the mail that has been due for longest, if one is due and nobody else has it."""
    row = first(execute(WORKER, CLAIM))
    return Mail(**row._mapping) if row else None


def record(outcome: Outcome) -> str:
    """Record an outcome; return what it amounts to: sent, retried or given up."""
    mail, key = outcome.mail, {"user_id": outcome.mail.user_id, "id": outcome.mail.id}
    if outcome.error is None:
        execute(WORKER, SENT, **key)
        return "sent"
    changes = {"error": outcome.error, "permanent": outcome.permanent, "pause": outcome.pause}
    row = first(execute(WORKER, POSTPONED, **key, **changes, attempts=mail.attempts))
    return "given up" if row and row.given_up else "retried"
