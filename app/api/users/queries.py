"""Queries of accounts; each function is one statement and one round trip."""

from collections.abc import Callable, Iterator
from datetime import datetime
from functools import lru_cache
from typing import Any, Final, NamedTuple, Self

from sqlalchemy import (
    CTE,
    Select,
    Text,
    Update,
    Uuid,
    bindparam,
    cast,
    delete,
    exists,
    false,
    func,
    null,
    or_,
    select,
    text,
    true,
    update,
)
from sqlalchemy.dialects.postgresql import TIMESTAMP, insert

from app.api.tasks import reminding
from app.api.users.schemas import FIELDS, represent
from app.auth.addresses import given_up, taken_if_free
from app.auth.mail_kinds import MailKind
from app.auth.models import RefreshToken
from app.auth.outbox import draft, ended_links, told
from app.core.problems import precondition_failed
from app.db.chunks import run_each
from app.db.run import execute, first
from app.db.scope import Role, Scope, reading, writing, writing_sessions
from app.db.sending import Row
from app.db.statement import Statement
from app.rows import idempotency, statements
from app.rows.idempotency import Once
from app.rows.owner import User
from app.rows.quotas import ZERO, NoAccount
from app.rows.shape import ONE, USER_ID, Preconditions
from app.rows.write import Representation

PUBLIC: Final = [getattr(User, name) for name in (*FIELDS, "used_rows", "used_bytes")]
OWN: Final = select(*PUBLIC).where(User.id == USER_ID)

KEPT_UPDATES: Final = 64
"""Cached statements: one for each set of fields that a patch can have."""

UNCHANGED: Final = User.password_changed_at.is_not_distinct_from(
    cast(bindparam("seen"), TIMESTAMP(timezone=True))
)
"""The condition that the password is still the one of a login."""

RENEWAL_SECONDS: Final = 1.0
"""The statement timeout of renewing a hash, which the response to a sign-in waits for."""


class Login(NamedTuple):
    """An account's id and address, the hash to compare a password with, when the password was
    changed last, if it ever was, and whether the account is disabled.
    """

    user_id: str
    email: str
    password_hash: str
    password_changed_at: datetime | None
    disabled: bool

    @classmethod
    def of(cls, row: Row | None) -> Self | None:
        """The login of a row; None without one."""
        if row is None:
            return None
        changed_at, disabled = row.password_changed_at, row.disabled_at is not None
        return cls(row.id, row.email, row.password_hash, changed_at, disabled)


class Registered(NamedTuple):
    """The answer to a registration, and the fingerprint that its idempotency key came with."""

    account: Representation
    fingerprint: bytes


def find_login(email: str) -> Login | None:
    """Find the account with this address, ignoring case. External users have none."""
    return Login.of(first(execute(Scope(Role.AUTH), FIND_LOGIN, email=email)))


def find_own_login(user_id: str) -> Login | None:
    """Find the login of the user. External users have none.

    Whatever is done with it is done as this user, not as the one whom the row names.
    """
    row = first(execute(Scope(Role.AUTH, user_id), FIND_OWN_LOGIN, user_id=user_id))
    login = Login.of(row)
    return login._replace(user_id=user_id) if login else None


def change_password(
    login: Login, password_hash: str, *, but: str | None = None, tells: bool
) -> bool:
    """Change the password, unless it has been changed since, end all sessions but one, and the
    links to change password or address; return whether it was changed. A mail tells the user, if
    one is to.
    """
    values = {"seen": login.password_changed_at, "password_hash": password_hash, "but": but}
    if tells:
        values |= draft(login.user_id, MailKind.PASSWORD_CHANGED)
    scope = writing_sessions(login.user_id)
    return bool(execute(scope, CHANGE_PASSWORD[tells], user_id=login.user_id, **values))


def create_user(
    user_id: str, email: str, password_hash: str, name: str | None, once: Once | None
) -> Representation | None:
    """Create an account; return None if the address is taken."""
    values: dict[str, Any] = {"email": email, "password_hash": password_hash, "name": name}
    if once:
        values |= once.parameters
    scope = Scope(Role.AUTH, user_id, writes=True, once=once is not None)
    row = first(execute(scope, CREATE[scope.once], user_id=user_id, **values))
    return represent(row) if row else None


def find_registration(user_id: str, once: Once) -> Registered | None:
    """Find the answer to an earlier registration with this idempotency key."""
    row = first(execute(Scope(Role.AUTH, user_id), REPLAY, user_id=user_id, **once.parameters))
    return Registered(represent(row), bytes(row.fingerprint)) if row else None


def renew_password_hash(login: Login, password_hash: str) -> None:
    """Store another hash of the password of this login, unless the account has another by now.

    Does not wait for the user's other writes: while one has the row, nothing is stored.
    """
    hashes = {"verified": login.password_hash, "password_hash": password_hash}
    scope = Scope(Role.AUTH, login.user_id, seconds=RENEWAL_SECONDS)
    execute(scope, RENEW, user_id=login.user_id, **hashes)


def get_user(user_id: str) -> Representation | None:
    """Return the user's own account, if there is one."""
    row = first(execute(reading(user_id), GET, user_id=user_id))
    return represent(row) if row else None


def update_user(user_id: str, values: dict[str, Any], conditions: Preconditions) -> Representation:
    """Change the given fields and return the account.

    Raises NoAccount, Problem 412, 503 `unfinished` if there is no time to bring all local reminders
    to another time zone.
    """
    parameters = {"user_id": user_id, **conditions._asdict(), **values}
    [row] = execute(writing(user_id), _update(frozenset(values)), **parameters)
    account = represent(_settle(row, conditions))
    if row.behind >= (reminding.CHUNK if row.changed else 1):
        run_each(_followed(user_id, account["time_zone"]), begun=True)
    return account


def _followed(user_id: str, zone: str) -> Iterator[Callable[[], object]]:
    """The chunks in which further local reminders follow the account's time zone; none any more
    once it is another one again.
    """
    behind, present = reminding.CHUNK, zone

    def chunk() -> None:
        nonlocal behind, present
        [row] = execute(writing(user_id, once=True), FOLLOW, user_id=user_id)
        behind, present = row.behind, row.time_zone

    while behind == reminding.CHUNK and present == zone:
        yield chunk


def delete_user(user_id: str, conditions: Preconditions) -> None:
    """Erase the account and all its rows. Raises NoAccount, Problem 412."""
    [row] = execute(writing(user_id), DELETE, user_id=user_id, **conditions._asdict())
    _settle(row, conditions)


def _settle(row: Row, conditions: Preconditions) -> Row:
    if row.id is None:
        raise NoAccount
    if not row.changed and not conditions.admit(row.version):
        raise precondition_failed(represent(row))
    return row


def _create(once: bool) -> Select[Any]:
    names = ("email", "password_hash", "name")
    given = {name: cast(bindparam(name), Text) for name in names}
    address = taken_if_free(given["email"])
    row = select(USER_ID, *given.values()).select_from(address)
    after = insert(User).from_select(["id", *names], row).returning(*PUBLIC).cte("after")
    statement = select(after)
    if not once:
        return statement
    return statement.add_cte(idempotency.kept(func.to_jsonb(text("after")), after, new_owner=True))


def _replay() -> Select[Any]:
    replayed = idempotency.replayed()
    record = func.jsonb_populate_record(text("null::users"), replayed.c.answer).table_valued(
        *(column.name for column in PUBLIC), name="record"
    )
    return select(record, replayed.c.fingerprint).select_from(replayed.join(record, true()))


def _renew() -> Update:
    verified = (User.id == USER_ID, User.password_hash == bindparam("verified"))
    free = select(User.id).where(*verified).with_for_update(key_share=True, skip_locked=True)
    renewal = update(User).where(*verified, User.id == free.scalar_subquery())
    return renewal.values(password_hash=bindparam("password_hash"))


@lru_cache(maxsize=KEPT_UPDATES)
def _update(fields: frozenset[str]) -> Statement:
    values: dict[str, Any] = {name: bindparam(name) for name in sorted(fields)}
    differs = (getattr(User, name).is_distinct_from(value) for name, value in values.items())
    moves = "time_zone" in fields
    tasks = reminding.behind(bindparam("time_zone"))
    count = reminding.size_of(tasks) if moves else ZERO

    def others(after: CTE) -> list[CTE]:
        return [reminding.moved(tasks, after.c.version, after.c.updated_at)] if moves else []

    write = (
        update(User)
        .where(User.id == USER_ID, or_(false(), *differs))
        .values(
            **values,
            change_seq=User.change_seq + ONE + count,
            version=User.change_seq + ONE,
            updated_at=func.clock_timestamp(),
        )
    )
    statement = statements.if_expected(write, OWN, others)
    return Statement(statement.add_columns(count.label("behind")))


def _change_password(tells: bool) -> Select[Any]:
    changed = (
        update(User)
        .where(User.id == USER_ID, UNCHANGED)
        .values(
            password_hash=bindparam("password_hash"), password_changed_at=func.clock_timestamp()
        )
        .returning(User.id, User.email)
        .cte("changed")
    )
    ended = (
        delete(RefreshToken)
        .where(
            RefreshToken.user_id == USER_ID,
            RefreshToken.family_id.is_distinct_from(cast(bindparam("but"), Uuid(as_uuid=False))),
            exists(select(changed)),
        )
        .returning(RefreshToken.family_id)
        .cte("ended")
    )
    notices = [told(select(changed.c.email))] if tells else []
    links = ended_links(exists(select(changed)))
    return select(changed.c.id).add_cte(ended, links, *notices)


def _delete() -> Select[Any]:
    return statements.if_expected(
        delete(User).where(User.id == USER_ID),
        OWN,
        lambda after: [given_up(select(after.c.email))],
    )


LOGINS: Final = select(
    User.id, User.email, User.password_hash, User.password_changed_at, User.disabled_at
).where(User.password_hash.is_not(null()))
CHANGE_PASSWORD: Final = {tells: Statement(_change_password(tells)) for tells in (False, True)}
FIND_OWN_LOGIN: Final = Statement(LOGINS.where(User.id == USER_ID))
FIND_LOGIN: Final = Statement(
    select(func.find_login(bindparam("email")).table_valued(*LOGINS.selected_columns.keys()))
)
RENEW: Final = Statement(_renew())
GET: Final = Statement(OWN)
CREATE: Final = {once: Statement(_create(once)) for once in (False, True)}
REPLAY: Final = Statement(_replay())
DELETE: Final = Statement(_delete())
FOLLOW: Final = Statement(reminding.following())
