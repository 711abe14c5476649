"""Queries of links in mails; each function is one statement and one round trip."""

from datetime import datetime
from typing import Any, NamedTuple

from app.api.links import statements
from app.api.users.queries import Login
from app.auth.mail_kinds import MailKind
from app.auth.mail_tokens import MailToken
from app.auth.outbox import Draft
from app.core.problem_kinds import CONFLICT
from app.core.problems import Problem
from app.db.run import execute, first
from app.db.scope import Role, Scope, using_link, writing_sessions


class Link(NamedTuple):
    """A link that has not expired, and the address and hash that its account has now, if any."""

    kind: MailKind
    email: str
    used_at: datetime | None
    present_email: str | None
    password_hash: str | None

    @property
    def is_change(self) -> bool:
        """Whether it gives the account another address, which the present one is to be told."""
        return self.kind is MailKind.EMAIL_CHANGE and not self.used_at


def ask_reset(email: str) -> None:
    """Note that somebody wants a new password for this address, whether it has an account or not.

    That takes the same time in both cases, because it is the worker who finds out.
    """
    execute(Scope(Role.AUTH), statements.ASK_RESET, email=email.lower())


def find_link(token: MailToken) -> Link | None:
    """Find the link of a token, unless it has expired or its account is disabled.

    Before it is used, because that waits for other requests of the user: nobody waits with a token
    that was never issued.
    """
    values = {"user_id": token.user_id, "link_hash": token.hash}
    scope = Scope(Role.LINKS, token.user_id)
    row = first(execute(scope, statements.FIND[token.purpose], **values))
    if row is None:
        return None
    return Link(MailKind(row.kind), row.email, row.used_at, row.present_email, row.password_hash)


def use_password_link(token: MailToken, password_hash: str, notice: Draft | None) -> bool:
    """Give the account this password and end its sessions; return False if the link is of no use
    any more.

    Whoever follows the link has the address, so it counts as verified. If it did not before, others
    may have signed up with it: personal access tokens are revoked, too. Raises Problem 409 for an
    invitation of an address that has an account by now.
    """
    values: dict[str, Any] = {"link_hash": token.hash, "password_hash": password_hash}
    values |= notice or {}
    statement = statements.USE_FOR_PASSWORD[notice is not None]
    scope = using_link(token.user_id)
    return bool(execute(scope, statement, user_id=token.user_id, **values))


def confirm_address(token: MailToken, notice: Draft | None) -> bool:
    """Give the account the address of the link, or note that it is verified; tell the old address
    if there is a notice.

    Returns False if the link is of no use any more. It may be used again, as long as the account
    has the address. Raises Problem 409 for an address that another account has.
    """
    scope = using_link(token.user_id, once=True)
    values = {"link_hash": token.hash, **(notice or {})}
    statement = statements.CONFIRM[notice is not None]
    return bool(execute(scope, statement, user_id=token.user_id, **values))


def ask_verification(user_id: str, draft: Draft) -> bool:
    """Write a mail that verifies the present address, unless it is verified; return False if the
    user may ask for no more at present.
    """
    scope = writing_sessions(user_id, once=True)
    row = first(execute(scope, statements.VERIFY, user_id=user_id, **draft))
    return row is None or bool(row.email_verified or row.is_stored)


def ask_change(login: Login, email: str, draft: Draft) -> bool:
    """Write a mail to a new address; return False if the user may ask for no more at present.

    Raises Problem 409 if the password is no longer that of the login. A new password ends the links
    of whoever knew the old one, so it must not be followed by another.
    """
    seen = login.password_changed_at
    values = {"recipient": email, "seen": seen, **draft}
    scope = writing_sessions(login.user_id, once=True)
    [row] = execute(scope, statements.CHANGE, user_id=login.user_id, **values)
    if not row.is_unchanged:
        raise Problem(CONFLICT, "The password was changed at the same time.")
    return bool(row.is_stored)
