"""The scope of a statement: its role and user, timeout and locks, and whether it may be retried."""

from dataclasses import dataclass, field
from enum import StrEnum
from math import inf
from typing import Final
from uuid import UUID

from app.core.principal import PRESENTED, PresentedToken
from app.db.nodes import ONE_SERVER, Nodes

TURN_MILLISECONDS: Final = 500
"""How long a search waits for another search of its user."""

SESSION_MILLISECONDS: Final = 1000
"""How long a write of a user's sessions waits for a lock."""

SEARCH_SECONDS: Final = 1.0
"""The statement timeout of a search."""


class Role(StrEnum):
    """The database roles; each has only the rights that its kind of request needs."""

    APP = "tasks_app"
    AUTH = "tasks_auth"
    MAINTENANCE = "tasks_maintenance"
    LINKS = "tasks_links"
    WORKER = "tasks_worker"


ROLES: Final = (*map(str, Role), "tasks_search")
"""All roles of the service; the last is that which the function of searches runs as."""


@dataclass(frozen=True, slots=True)
class Scope:
    """The role of a statement and the user that row-level policies compare with.

    A scope that writes first locks the user's row, so that one user's writes follow each other and
    each sees all that came before: `READ COMMITTED` takes a new snapshot for each statement.
    """

    role: Role
    user_id: str | None = None
    writes: bool = False
    once: bool = False
    """Whether an idempotency key makes it harmless to send a write twice."""
    seconds: float = inf
    """The statement timeout, if it is less than DB_STATEMENT_TIMEOUT."""
    one_at_a_time: bool = False
    """Whether statements like this run one at a time for each user, across all processes."""
    sessions: bool = False
    """Whether it writes only the user's sessions, and so does not wait for their other writes."""
    account: bool = False
    """Whether it writes the user's row beside the sessions."""
    presented: PresentedToken | None = field(default_factory=PRESENTED.get)
    """The token of the request, which must still count when the statement runs."""

    def prefix(self, timeout: int, nodes: Nodes = ONE_SERVER) -> str:
        """The SQL to send before the statement; timeout in milliseconds.

        Formatted, not bound: nothing but a role, a parsed UUID and an integer gets in.
        """
        user = str(UUID(self.user_id)) if self.user_id else ""
        settings = nodes.assume(self.role, user, timeout)
        if self.sessions:
            settings += _session_lock(self.user_id, nodes)
        if self.writes and (self.account or not self.sessions):
            settings += f"select from users where id = '{user}' for no key update; "
        if self.one_at_a_time:
            settings += _turn(self.user_id, nodes)
        if self.presented:  # after waiting for the lock: the token may be revoked meanwhile
            ids = map(_literal, (self.presented.session_id, self.presented.id))
            settings += f"select require_caller({', '.join(ids)}); "
        return settings


def _literal(row_id: str | None) -> str:
    return f"'{UUID(row_id)}'" if row_id else "null"


def _session_lock(user_id: str | None, nodes: Nodes) -> str:
    """Serialise one user's writes of sessions, also with the erasure of the account.

    They do not wait for the user's other writes: the sender of a refresh token need not be signed
    in, so the server cannot tell whose requests would hold its threads meanwhile.
    """
    user = UUID(user_id)
    high, low = (int.from_bytes(user.bytes[n : n + 4], signed=True) for n in (8, 12))
    return (
        f"{nodes.wait_at_most(SESSION_MILLISECONDS)}"
        f"select from users where id = '{user}' for key share;"
        f" select pg_advisory_xact_lock({high}, {low}); "
    )


def _turn(user_id: str | None, nodes: Nodes) -> str:
    """Wait for the user's advisory lock, which ends with the transaction, as a pooler requires.

    Raises LockNotAvailable in the statement that waits, and in none after it.
    """
    key = int.from_bytes(UUID(user_id).bytes[8:], signed=True)  # its random half
    return (
        f"{nodes.wait_at_most(TURN_MILLISECONDS)}select pg_advisory_xact_lock({key}); "
        f"{nodes.wait_as_usual()}"
    )


WORKER: Final = Scope(Role.WORKER, presented=None)
"""The scope of the worker, which works for no request."""


def reading(user_id: str) -> Scope:
    """The scope of a user's read."""
    return Scope(Role.APP, user_id)


def searching(user_id: str) -> Scope:
    """The scope of a search: one at a time for each user, and at most a second long."""
    return Scope(Role.APP, user_id, seconds=SEARCH_SECONDS, one_at_a_time=True)


def writing_sessions(user_id: str, *, once: bool = False) -> Scope:
    """The scope of a write of a user's sessions; `once` as in `writing`."""
    return Scope(Role.AUTH, user_id, writes=True, once=once, sessions=True)


def using_link(user_id: str, *, once: bool = False) -> Scope:
    """The scope in which a link in a mail changes an account and ends its sessions; `once` as in
    `writing`. Nobody else changes the account meanwhile, whose address is written to two tables.
    """
    return Scope(Role.LINKS, user_id, writes=True, once=once, sessions=True, account=True)


def ending_sessions(user_id: str, *, once: bool) -> Scope:
    """The scope in which a user, or a script of theirs, ends sessions; `once` as in `writing`."""
    return Scope(Role.APP, user_id, writes=True, once=once, sessions=True)


def writing(user_id: str, *, once: bool = False) -> Scope:
    """The scope of a user's write; `once` if an idempotency key makes it harmless to retry."""
    return Scope(Role.APP, user_id, writes=True, once=once)
