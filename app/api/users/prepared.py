"""Accounts that come to be when a link is followed: of an invitation, or of a registration.

Until then they are rows without address and password, which nobody can sign in to, and which the
purge removes once the link has expired. So several may be prepared for one address, and none of
them shows whether the address has an account.
"""

import hashlib
from typing import Any, Final
from uuid import UUID, uuid5

from sqlalchemy import Select, Text, bindparam, cast, exists, select
from sqlalchemy.dialects.postgresql import insert

from app.auth.mail_kinds import MailKind
from app.auth.outbox import LINK_ENDS, RECIPIENT, draft, link, linked
from app.core.ids import new_id
from app.db.run import execute
from app.db.scope import Role, Scope
from app.db.statement import Statement
from app.rows.idempotency import Once
from app.rows.owner import User
from app.rows.shape import USER_ID

REGISTRATIONS: Final = UUID("f6f3f0d5-5f43-5d0e-8f5e-3b7c1f0c9a64")
"""The UUIDv5 namespace for accounts that are asked for with a key (RFC 9562, section 5.5)."""


def prepare_account(
    kind: MailKind,
    email: str,
    name: str | None,
    password_hash: str | None = None,
    once: Once | None = None,
) -> str:
    """Prepare an account, write the mail with its link, and return the account's id.

    A request with the same Idempotency-Key and body prepares none a second time.
    """
    user_id = _derived_id(email, once) if once else new_id()
    values = {"recipient": email, "name": name, "password_hash": password_hash}
    values |= draft(user_id, kind)
    scope = Scope(Role.AUTH, user_id, writes=True, once=True)
    execute(scope, PREPARE, user_id=user_id, **values)
    return user_id


def _derived_id(email: str, once: Once) -> str:
    """An id that the same request gets again."""
    content = "\n".join((email.lower(), once.route, once.key)).encode() + once.fingerprints[0]
    return str(uuid5(REGISTRATIONS, hashlib.sha256(content).hexdigest()))


def _prepare() -> Select[Any]:
    values = {"id": USER_ID, "name": bindparam("name"), "pending_until": LINK_ENDS}
    account = insert(User).values(**values).on_conflict_do_nothing().returning(User.id)
    prepared = exists(select(account.cte("account")))
    stored = link(RECIPIENT, prepared, password_hash=cast(bindparam("password_hash"), Text))
    return select(stored.c.email).add_cte(linked(stored))


PREPARE: Final = Statement(_prepare())
