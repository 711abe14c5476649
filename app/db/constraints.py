"""Which constraint a statement has violated."""

import re
from typing import Final

import psycopg2

NAMED: Final = re.compile(r'constraint "([^"]{1,63})"')
"""How PostgreSQL's messages, in English, name a constraint (PostgreSQL, src/backend/executor)."""

RAISED: Final = {
    "a task is below itself": "ck_tasks_cycle",
    "too many levels": "ck_tasks_depth",
    "there is no such parent": "fk_tasks_parents",
    "what repeats is due": "ck_tasks_due_required",
    "the start is too long ago": "ck_tasks_recurrence_age",
    "the rule has no occurrence": "ck_tasks_recurrence_rule",
    "start and due time are of two kinds": "ck_tasks_recurrence_start",
    "what reminds before a task is due needs a due time": "ck_tasks_reminders_due",
}
"""The constraints that our triggers stand for, by what they say."""

SHARD: Final = re.compile(r"_[0-9]{6,}$")
"""The number that Citus puts behind the names of a shard's constraints and indexes."""


def violated(error: psycopg2.Error) -> str:
    """The name of the constraint; empty if the error is about none."""
    return named(error.diag.constraint_name or error.diag.message_primary or "")


def named(text: str) -> str:
    """The constraint of this name or message. Errors of Citus have the name in the message only."""
    if name := RAISED.get(text):
        return name
    found = NAMED.search(text[:1000])
    return SHARD.sub("", found[1] if found else text if " " not in text else "")
