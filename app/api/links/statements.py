"""The statements of links in mails.

Where a link is written, its user's sessions are locked before, and where it is used, the account is
as well. So two requests follow each other, and the second sees what the first has done. The
statement that uses a link compares the account with what it was when the link was made.
"""

from typing import Any, Final

from sqlalchemy import (
    CTE,
    ColumnElement,
    Select,
    bindparam,
    case,
    delete,
    exists,
    func,
    literal_column,
    null,
    or_,
    select,
    true,
    update,
)
from sqlalchemy.dialects.postgresql import insert

from app.api.users.queries import UNCHANGED
from app.auth.addresses import given_up, taken
from app.auth.mail_kinds import PURPOSES, MailKind, Purpose
from app.auth.models import MailToken, PasswordReset, PersonalAccessToken, RefreshToken
from app.auth.outbox import HASH, RECIPIENT, below_limit, ended_links, is_kind, link, linked, told
from app.db.statement import Statement
from app.rows.owner import User
from app.rows.shape import ONE, USER_ID

Condition = ColumnElement[bool]

HAS_ADDRESS: Final = func.lower(User.email) == func.lower(MailToken.email)
NOBODY: Final = User.email.is_(None)
"""The account is only prepared."""


def _live(purpose: Purpose) -> tuple[Condition, ...]:
    """The user's link of this hash, if it is for this and has not expired."""
    kinds = (kind for kind, serves in PURPOSES.items() if serves is purpose)
    key = (MailToken.user_id == USER_ID, MailToken.token_hash == HASH)
    return (*key, MailToken.expires_at > func.now(), is_kind(*kinds))


def _used(purpose: Purpose) -> CTE:
    """Mark the link as used, if the account is still as it was when the link was made."""
    fits = case(
        (is_kind(MailKind.REGISTRATION, MailKind.INVITATION), NOBODY),
        (is_kind(MailKind.EMAIL_CHANGE), ~NOBODY),
        else_=HAS_ADDRESS,
    )
    # The row itself is returned as it is afterwards, without the hash.
    before = select(MailToken.token_hash, MailToken.password_hash).where(*_live(purpose))
    earlier = before.cte("earlier")
    same = earlier.c.token_hash == MailToken.token_hash
    account = (User.id == USER_ID, User.disabled_at.is_(None), fits)
    return (
        update(MailToken)
        .where(*_live(purpose), MailToken.used_at.is_(None), same, *account)
        .values(used_at=func.now(), password_hash=null())
        .returning(
            MailToken.kind,
            MailToken.email,
            earlier.c.password_hash,
            User.email.label("former"),
            User.email_verified.label("was_verified"),
        )
        .cte("used")
    )


def _moves(used: CTE) -> Condition:
    """Whether the account gets another address; the letter case of one does not matter."""
    return func.lower(used.c.former).is_distinct_from(func.lower(used.c.email))


def _taken(used: CTE) -> CTE:
    """Take the link's address, if it is another one. That of another account ends all this."""
    return taken(select(used.c.email).where(_moves(used)).cte("other").c.email)


def _free(used: CTE, address: CTE) -> tuple[Condition, ...]:
    """The account, if the link was marked and its address is not another's."""
    return (User.id == USER_ID, or_(~_moves(used), exists(select(address))))


def _given_up(used: CTE, account: CTE) -> CTE:
    """Give the former address up, once the account has another."""
    former = select(used.c.former.label("email"))
    return given_up(former.where(_moves(used), exists(select(account))))


def _use_for_password(notice: bool) -> Select[Any]:
    used = _used(Purpose.PASSWORD)
    shows = ~used.c.was_verified  # what the account's ETag is about changes
    address = _taken(used)
    account = (
        update(User)
        .where(*_free(used, address))
        .values(
            email=func.coalesce(User.email, used.c.email),
            email_verified=true(),
            password_hash=bindparam("password_hash"),
            password_changed_at=func.clock_timestamp(),
            pending_until=null(),
            change_seq=User.change_seq + case((shows, ONE), else_=literal_column("0")),
            version=case((shows, User.change_seq + ONE), else_=User.version),
            updated_at=case((shows, func.clock_timestamp()), else_=User.updated_at),
        )
        .returning(User.id)
        .cte("account")
    )
    done = exists(select(account))
    links = ended_links(MailToken.token_hash != HASH, done)
    session = RefreshToken.user_id == USER_ID
    ended = delete(RefreshToken).where(session, done).returning(RefreshToken.family_id).cte("ended")
    token = (PersonalAccessToken.user_id == USER_ID, exists(select(used).where(shows)), done)
    revoked = delete(PersonalAccessToken).where(*token).returning(PersonalAccessToken.id)
    statement = select(account.c.id).add_cte(links, ended, revoked.cte("revoked"))
    if notice:
        known = (used.c.former.is_not(None), done)
        statement = statement.add_cte(told(select(used.c.email).where(*known)))
    return statement


def _confirm(notice: bool) -> Select[Any]:
    used = _used(Purpose.ADDRESS)
    address = _taken(used)
    account = (
        update(User)
        .where(*_free(used, address))
        .values(
            email=used.c.email,
            email_verified=true(),
            password_hash=func.coalesce(User.password_hash, used.c.password_hash),
            pending_until=null(),
            change_seq=User.change_seq + ONE,
            version=User.change_seq + ONE,
            updated_at=func.clock_timestamp(),
        )
        .returning(User.id)
        .cte("account")
    )
    again = (
        select(User.id)
        .join(MailToken, MailToken.user_id == User.id)
        .where(
            *_live(Purpose.ADDRESS),
            MailToken.used_at.is_not(None),
            User.disabled_at.is_(None),
            HAS_ADDRESS,
        )
    )
    statement = select(select(account.c.id).union_all(again).subquery("done"))
    statement = statement.add_cte(_given_up(used, account))
    if notice:
        is_change = is_kind(MailKind.EMAIL_CHANGE, column=used.c.kind)
        differs = func.lower(used.c.former) != func.lower(used.c.email)
        former = select(used.c.former.label("email"))
        done = exists(select(account))
        statement = statement.add_cte(told(former.where(is_change, differs, done)))
    return statement


def _asked(stored: CTE) -> Condition:
    """Whether the link is stored, by this statement or since it was sent before."""
    key = (MailToken.user_id == USER_ID, MailToken.token_hash == HASH)
    return or_(exists(select(stored)), exists(select(MailToken.token_hash).where(*key)))


def _verify() -> Select[Any]:
    own = User.id == USER_ID
    stored = link(User.email, own, ~NOBODY, ~User.email_verified, below_limit())
    columns: list[Any] = [User.email_verified, _asked(stored).label("is_stored")]
    return select(*columns).where(own).add_cte(linked(stored))


def _change() -> Select[Any]:
    unchanged = (User.id == USER_ID, UNCHANGED)
    stored = link(RECIPIENT, *unchanged, below_limit())
    is_unchanged = exists(select(User.id).where(*unchanged))
    columns: list[Any] = [is_unchanged.label("is_unchanged"), _asked(stored).label("is_stored")]
    return select(*columns).add_cte(linked(stored))


ASK_RESET: Final = Statement(
    insert(PasswordReset).values(email=bindparam("email")).on_conflict_do_nothing()
)
FIND: Final = {
    purpose: Statement(
        select(
            MailToken.kind,
            MailToken.email,
            MailToken.used_at,
            User.email.label("present_email"),
            User.password_hash,
        )
        .join(User, User.id == MailToken.user_id)
        .where(*_live(purpose), User.disabled_at.is_(None))
    )
    for purpose in Purpose
}
USE_FOR_PASSWORD: Final = {each: Statement(_use_for_password(each)) for each in (False, True)}
CONFIRM: Final = {each: Statement(_confirm(each)) for each in (False, True)}
VERIFY: Final = Statement(_verify())
CHANGE: Final = Statement(_change())
