"""The outbox: mails that requests write as rows, and that the worker sends (app/ops/mail).

A mail is written by the statement that makes it necessary; neither exists without the other.

Mails are inserted `on conflict do nothing`, though their ids are new: Citus inserts what comes from
another part of the statement by COPY otherwise, which policies do not admit.
"""

from secrets import token_bytes
from typing import Any, Final

from flask import current_app
from sqlalchemy import (
    CTE,
    ColumnElement,
    Integer,
    LargeBinary,
    Select,
    Text,
    Uuid,
    bindparam,
    cast,
    delete,
    func,
    literal_column,
    null,
    select,
)
from sqlalchemy.dialects.postgresql import insert

from app.auth.mail_kinds import HOURS, MailKind
from app.auth.mail_tokens import MailToken
from app.auth.models import Mail
from app.auth.models import MailToken as Stored
from app.core.config import Settings
from app.core.ids import new_id
from app.core.problem_kinds import MAIL_UNAVAILABLE
from app.core.problems import Problem
from app.core.secrets import present
from app.rows.shape import USER_ID

SEED_BYTES: Final = 32

MOST_AN_HOUR: Final = 5
"""Mails with links that one account may ask for within an hour."""

ENDED_BY_PASSWORD: Final = (MailKind.PASSWORD_RESET, MailKind.EMAIL_CHANGE)

MAIL_ID: Final = cast(bindparam("mail_id"), Uuid)
KIND: Final = cast(bindparam("mail_kind"), Text)
RECIPIENT: Final = cast(bindparam("recipient"), Text)
SEED: Final = cast(bindparam("mail_seed"), LargeBinary)
KEY_ID: Final = cast(bindparam("mail_key_id"), Text)
HASH: Final = cast(bindparam("link_hash"), LargeBinary)
HOUR: Final[ColumnElement[Any]] = literal_column("interval '1 hour'")
LINK_ENDS: Final = func.now() + HOUR * cast(bindparam("link_hours"), Integer)
"""When a draft's link expires."""

MAIL_ENDS: Final = func.now() + HOUR * cast(bindparam("mail_hours"), Integer)
"""Until when a draft is tried to be sent."""


Draft = dict[str, Any]
"""A mail that is not in the outbox yet: the parameters of `link`, `linked` and `told`."""


def draft(user_id: str, kind: MailKind) -> Draft:
    """Write a mail of this user; its recipient is up to the statement."""
    mail: Draft = {
        "mail_id": new_id(),
        "mail_kind": str(kind),
        "mail_hours": min(kind.hours, HOURS),
    }
    if kind.purpose is None:
        return mail
    keys, seed = present(), token_bytes(SEED_BYTES)
    link_hash = MailToken.derive(user_id, kind, seed, keys).hash
    mail |= {"mail_seed": seed, "mail_key_id": keys.id}
    return mail | {"link_hash": link_hash, "link_hours": kind.hours}


def sends_mail() -> bool:
    """Whether this service sends mails or, outside production, logs them."""
    settings: Settings = current_app.config["SETTINGS"]
    return settings.sends_mail


def require_mail() -> None:
    """Raise Problem 503 where this service sends no mail; call it before anything is done."""
    if not sends_mail():
        raise Problem(MAIL_UNAVAILABLE)


def is_kind(*kinds: MailKind, column: Any = Stored.kind) -> ColumnElement[bool]:
    """Whether a link, or what a column says, is of one of these kinds."""
    condition: ColumnElement[bool] = column.in_([literal_column(f"'{kind}'") for kind in kinds])
    return condition


def link(email: Any, *conditions: Any, password_hash: Any = None) -> CTE:
    """Store the hash of a draft's token, for this address of the user, if the conditions hold.

    A second time it does nothing, so that a statement with it can be repeated.
    """
    columns = ["user_id", "token_hash", "kind", "email", "password_hash", "expires_at"]
    kept = null() if password_hash is None else password_hash
    row = select(USER_ID, HASH, KIND, email, cast(kept, Text), LINK_ENDS).where(*conditions)
    insertion = insert(Stored).from_select(columns, row).on_conflict_do_nothing()
    return insertion.returning(Stored.email).cte("link")


def linked(link: CTE) -> CTE:
    """Write the mail of a link that was stored, to the link's address."""
    row = select(USER_ID, MAIL_ID, KIND, link.c.email, SEED, KEY_ID, MAIL_ENDS)
    columns = ["user_id", "id", "kind", "recipient", "seed", "key_id", "send_until"]
    return insert(Mail).from_select(columns, row).on_conflict_do_nothing().cte("mail")


def ended_links(*conditions: Any) -> CTE:
    """Delete the user's links that a new password ends: those to choose another, and those to
    change the address, for which somebody who knew the old one may have asked.
    """
    ended = is_kind(*ENDED_BY_PASSWORD)
    links = delete(Stored).where(Stored.user_id == USER_ID, ended, *conditions)
    return links.returning(Stored.token_hash).cte("ended_links")


def told(recipients: Select[Any]) -> CTE:
    """Write a notice, to the address that is selected; none if there is none."""
    recipient = recipients.cte("recipient")
    row = select(USER_ID, MAIL_ID, KIND, recipient.c.email, MAIL_ENDS)
    columns = ["user_id", "id", "kind", "recipient", "send_until"]
    return insert(Mail).from_select(columns, row).on_conflict_do_nothing().cte("notice")


def below_limit() -> ColumnElement[bool]:
    """Whether the user may ask for one more mail with a link.

    Those to choose a password, for which anybody may ask, are counted by app/ops/mail/resets.py.
    """
    asked = (
        Stored.user_id == USER_ID,
        Stored.created_at > func.now() - HOUR,
        ~is_kind(MailKind.PASSWORD_RESET),
    )
    count = select(func.count()).select_from(Stored).where(*asked).scalar_subquery()
    return count < literal_column(str(MOST_AN_HOUR))
