"""Statements of webhooks: claiming those that are due, and recording what became of a call.

Each is a short transaction. A claim ends by itself, so that another worker takes over when this one
dies; what was called in the meantime is then called again, with the same id. On a cluster, what is
due is found without locks, and claimed webhook by webhook (docs/decisions/0073).
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Final, NamedTuple

from sqlalchemy import text

from app.db.run import execute, first, perform
from app.db.scope import WORKER
from app.db.sending import Rows, Sending
from app.db.statement import Statement

LEASE_SECONDS: Final = 60
"""How long a claim lasts: longer than a call and what recording it may take."""

# Endpoints that answer soon, and those that fail or are slow, are found by indexes of their own, so
# that the second do not take the turns of the first. An account that is disabled is looked at again
# tomorrow.


def _due(lock: str = "") -> str:
    """Select what is due: `fresh` that answer soon, and `again` of the others."""
    return f"""
with fresh as (
    select user_id, id from webhooks where attempts = 0 and not slow and due_at <= now()
        order by due_at limit :fresh {lock}
), again as (
    select user_id, id from webhooks where (attempts > 0 or slow) and due_at <= now()
        order by due_at limit :again {lock}
), due as (
    select * from fresh union all select * from again
)"""  # noqa: S608 names of ours


def _claiming(user_id: str, owner: str) -> str:
    """Claim what is in `due`, and see what there is to tell.

    The arguments say whose webhooks these are, before and after they are claimed.
    """
    return f""", claimed as (
    update webhooks set claimed_until = now() + interval '{LEASE_SECONDS} seconds' from due
        where webhooks.user_id = {user_id} and webhooks.id = due.id
        returning webhooks.user_id, webhooks.id, url, events, secret, old_secret, old_secret_until,
            claimed_until, attempts, slow, test_requested_at, latest_version, latest_at,
            told_version, told_reminder_at, told_reminder_task_id, disabled_at
)
select claimed.user_id, claimed.id, claimed.url, claimed.secret,
    case when claimed.old_secret_until > now() then claimed.old_secret end as old_secret,
    claimed.claimed_until, claimed.attempts, claimed.slow, claimed.test_requested_at,
    claimed.latest_version, claimed.latest_at,
    'changes' = any (claimed.events) and claimed.latest_version > claimed.told_version
        as has_changes,
    ring.at as reminder_at, ring.task_id as reminder_task_id,
    claimed.disabled_at is not null as disabled,
    users.disabled_at is not null as account_disabled
from claimed join users on users.id = {owner} left join lateral (
    select at, task_id from task_reminders
        where 'reminder' = any (claimed.events) and user_id = {owner} and at <= now()
            and (at, task_id) > (claimed.told_reminder_at, claimed.told_reminder_task_id)
        order by at, task_id limit 1
) ring on true
"""  # noqa: S608 names of ours


DUE: Final = Statement(text(f"{_due()} select * from due"))  # noqa: S608 names of ours
CLAIM: Final = Statement(
    text(_due("for update skip locked") + _claiming("due.user_id", "claimed.user_id"))
)
"""Claims up to 80 webhooks of as many users in 2 ms; one by one they take 100."""

OF_ONE: Final = """
with due as (
    select id from webhooks where user_id = :user_id and id = :id and due_at <= now()
        for update skip locked
)"""
CLAIM_ONE: Final = Statement(text(OF_ONE + _claiming(":user_id", ":user_id")))
"""The same where rows of several users cannot be locked by one statement."""

MINE: Final = "user_id = :user_id and id = :id and claimed_until = :claimed_until"
"""Whether the claim is still this one."""

TOLD: Final = Statement(
    text(f"""
with told as (
    update webhooks
        set claimed_until = null, next_attempt_at = null, attempts = 0, slow = :slow,
            last_attempt_at = :attempted_at, last_status = :status, last_error = null,
            told_version = greatest(told_version, cast(:version as bigint)),
            told_reminder_at = coalesce(cast(:reminder_at as timestamptz), told_reminder_at),
            told_reminder_task_id
                = coalesce(cast(:reminder_task_id as uuid), told_reminder_task_id)
        where {MINE} returning id
), counted as (
    update worker_totals set total = total + 1 from told where name = 'webhooks_delivered'
)
select id from told
""")  # noqa: S608 names of ours
)
# Without a pause it was the last attempt.
FAILED: Final = Statement(
    text(f"""
with failed as (
    update webhooks
        set claimed_until = null, attempts = attempts + 1, slow = :slow,
            last_attempt_at = :attempted_at, last_status = :status, last_error = :error,
            next_attempt_at = now() + make_interval(secs => :pause),
            disabled_at = case when cast(:pause as double precision) is null then now() end
        where {MINE} returning disabled_at is not null as disabled
), counted as (
    update worker_totals set total = total + 1 from failed
        where name = case when disabled then 'webhooks_disabled' else 'webhooks_retried' end
)
select disabled from failed
""")  # noqa: S608 names of ours
)
TESTED: Final = Statement(
    text(f"""
update webhooks
    set claimed_until = null, slow = :slow, last_attempt_at = :attempted_at, last_status = :status,
        last_error = :error, test_requested_at = case
            when test_requested_at > :test_requested_at then test_requested_at end
    where {MINE} returning id
""")  # noqa: S608 names of ours
)  # What has nothing to be told any more is not due by an attempt that failed before.
RELEASED: Final = Statement(
    text(f"""
update webhooks
    set claimed_until = null, next_attempt_at = now() + make_interval(secs => :pause)
    where {MINE} returning id
""")  # noqa: S608 names of ours
)


class Claim(NamedTuple):
    """A webhook that is due, claimed until an instant, with what there is to tell."""

    user_id: str
    id: str
    url: str
    secret: str
    old_secret: str | None
    claimed_until: datetime
    attempts: int
    slow: bool
    test_requested_at: datetime | None
    latest_version: int
    latest_at: datetime
    has_changes: bool
    reminder_at: datetime | None
    reminder_task_id: str | None
    disabled: bool
    account_disabled: bool

    @property
    def is_behind(self) -> bool:
        """Whether it has one of the places of endpoints that fail or are slow."""
        return self.attempts > 0 or self.slow

    @property
    def key(self) -> dict[str, object]:
        """The parameters of MINE."""
        return {"user_id": self.user_id, "id": self.id, "claimed_until": self.claimed_until}


def claim(fresh: int, again: int) -> Iterator[Claim]:
    """Claim webhooks that are due: at most so many that answered last, and that did not.

    Yields each as soon as it is claimed; what another worker claims at the same time is left out.
    """
    places: dict[str, object] = {"fresh": fresh, "again": again}
    claimed, due = perform(WORKER, Sending, lambda sending: _claim(sending, places))
    yield from (Claim(**row._mapping) for row in claimed)
    for each in due:
        yield from claim_one(each.user_id, each.id)


def claim_one(user_id: str, webhook_id: str) -> list[Claim]:
    """Claim a webhook, if it is due yet and nobody else is claiming it."""
    rows = execute(WORKER, CLAIM_ONE, user_id=user_id, id=webhook_id)
    return [Claim(**row._mapping) for row in rows]


def _claim(sending: Sending, places: dict[str, object]) -> tuple[Rows, Rows]:
    """Return what was claimed, or else what is to be claimed one by one."""
    if sending.nodes.locks_across_users:
        return sending.execute(CLAIM, places), []
    return [], sending.execute(DUE, places)


def release(claimed: Claim, pause: float | None = None) -> None:
    """Give a claim back, to be due at once or after a pause."""
    execute(WORKER, RELEASED, **claimed.key, pause=pause)


def record_told(claimed: Claim, **progress: object) -> None:
    """Record that a message was accepted."""
    execute(WORKER, TOLD, **claimed.key, **progress)


def record_failed(claimed: Claim, **outcome: object) -> bool:
    """Record that a message was not; return whether the webhook is disabled by that."""
    row = first(execute(WORKER, FAILED, **claimed.key, **outcome))
    return bool(row and row.disabled)


def record_tested(claimed: Claim, **outcome: object) -> None:
    """Record how a test ended."""
    execute(WORKER, TESTED, **claimed.key, **outcome)
