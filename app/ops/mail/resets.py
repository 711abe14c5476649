"""Answering those who asked for a new password: a mail, if there is an account."""

from typing import Final

from sqlalchemy import text

from app.auth.mail_kinds import MailKind
from app.auth.outbox import MOST_AN_HOUR, draft
from app.db.run import execute, first, perform
from app.db.scope import WORKER
from app.db.statement import Statement
from app.db.transactions import Transaction

ASKED: Final = Statement(text("select email from password_resets limit 1"))

TAKE: Final = Statement(
    text("""
delete from password_resets where email = (
    select email from password_resets order by asked_at limit 1 for update skip locked
) returning email, asked_at > now() - interval '24 hours' as is_recent
""")
)
"""Takes the oldest request, one that no other worker has."""

FIND: Final = Statement(text("select user_id from sign_in_addresses where address = :email"))

ANSWER: Final = Statement(
    text(f"""
with account as materialized (
    select id, email from users
        where id = :user_id and disabled_at is null
            and {MOST_AN_HOUR} > (
                select count(*) from mail_tokens
                    where user_id = :user_id and created_at > now() - interval '1 hour'
                        and kind = :mail_kind
            )
), link as (
    insert into mail_tokens (user_id, token_hash, kind, email, expires_at)
        select id, :link_hash, :mail_kind, email, now() + :link_hours * interval '1 hour'
            from account
        returning user_id, email
)
insert into mails (user_id, id, kind, recipient, seed, key_id, send_until)
    select user_id, :mail_id, :mail_kind, email, :mail_seed, :mail_key_id,
            now() + :mail_hours * interval '1 hour'
        from link
    on conflict do nothing
""")  # noqa: S608 a number of ours
)
"""Writes link and mail, unless the account is disabled or has asked often."""


def answer_next() -> bool:
    """Answer whoever asked first; return whether anybody had. Raises Problem or psycopg2.Error.

    A request that has waited for a day is dropped.
    """
    return bool(execute(WORKER, ASKED)) and perform(WORKER, Transaction, _answer)


def _answer(transaction: Transaction) -> bool:
    asked = first(transaction.send((TAKE, {})))
    if asked is None or not asked.is_recent:
        return asked is not None
    found = first(transaction.send((FIND, {"email": asked.email})))
    if found:
        mail = draft(found.user_id, MailKind.PASSWORD_RESET)
        transaction.last = (ANSWER, {"user_id": found.user_id, **mail})
    return True
