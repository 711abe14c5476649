"""Answering those who asked for a new password: a mail, if there is an account."""

from typing import Final

from sqlalchemy import text

from app.auth.mail_kinds import MailKind
from app.auth.outbox import MOST_AN_HOUR, draft
from app.core.ids import new_id
from app.db.run import execute
from app.db.scope import WORKER
from app.db.statement import Statement

ANSWER: Final = Statement(
    text(f"""
with asked as (
    delete from password_resets where email = (
        select email from password_resets order by asked_at limit 1 for update skip locked
    ) returning email, asked_at
), account as (
    select users.id, users.email from asked join users on lower(users.email) = asked.email
        where disabled_at is null and asked_at > now() - interval '24 hours'
            and {MOST_AN_HOUR} > (
                select count(*) from mail_tokens
                    where user_id = users.id and created_at > now() - interval '1 hour'
                        and kind = :mail_kind
            )
), link as (
    insert into mail_tokens (user_id, token_hash, kind, email, expires_at)
        select id, :link_hash, :mail_kind, email, now() + :link_hours * interval '1 hour'
            from account
        returning user_id, email
), mail as (
    insert into mails (user_id, id, kind, recipient, seed, key_id, send_until)
        select user_id, :mail_id, :mail_kind, email, :mail_seed, :mail_key_id,
                now() + :mail_hours * interval '1 hour'
            from link
)
select email from asked
""")  # noqa: S608 a number of ours
)
"""Takes the oldest request, one that no other worker has, and writes link and mail with it.

A request that has waited for a day is dropped. So is one of an account that has asked often.
"""


def answer_next() -> bool:
    """Answer whoever asked first; return whether anybody had. Raises Problem or psycopg2.Error."""
    mail = draft(new_id(), MailKind.PASSWORD_RESET)  # its token's hash is that for any user
    return bool(execute(WORKER, ANSWER, **mail))
