"""The scope of a statement: as whom it runs, for how long, and whether it may run twice."""

from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from uuid import UUID

from flask import has_request_context

from app.exchange import current


class Role(StrEnum):
    """The roles of the first migration; each may do only what its kind of request needs."""

    APP = "tasks_app"
    AUTH = "tasks_auth"
    MAINTENANCE = "tasks_maintenance"


def presented_token() -> str | None:
    """The id of the personal access token that this thread's request came with, if it did."""
    principal = current().principal if has_request_context() else None
    return principal.token_id if principal else None


@dataclass(frozen=True, slots=True)
class Scope:
    """As whom a statement runs: a role and, for the policies, a user.

    A scope that writes first locks the user's row, so that one user's writes follow each other and
    each sees all that came before: `READ COMMITTED` takes a new snapshot for each statement.
    """

    role: Role
    user_id: str | None = None
    writes: bool = False
    once: bool = False
    """Whether an idempotency key makes it harmless to do a write twice."""
    token_id: str | None = field(default_factory=presented_token)
    """The token that must still count when the statement is run, whoever made the scope."""

    @property
    def repeatable(self) -> bool:
        """Whether a statement may be sent again when nobody knows if it was done."""
        return self.once or not self.writes

    def prefix(self, timeout: int) -> str:
        """The settings that travel before the statement; timeout in milliseconds.

        Formatted, not bound: nothing but a role, a parsed UUID and an integer gets in.
        """
        identity = _identity(self.role, self.user_id)
        settings = f"{identity} set local statement_timeout = {timeout:d}; "
        if self.writes:
            user = UUID(self.user_id) if self.user_id else ""
            settings += f"select from users where id = '{user}' for no key update; "
        if self.token_id:  # after the wait for the lock, as the token may be revoked meanwhile
            settings += f"select require_token('{UUID(self.token_id)}'); "
        return settings


@lru_cache(maxsize=4096)
def _identity(role: Role, user_id: str | None) -> str:
    user = UUID(user_id) if user_id else ""
    return f"set local role {role}; set local app.user_id = '{user}';"


def reading(user_id: str) -> Scope:
    """The scope of a user's read."""
    return Scope(Role.APP, user_id)


def writing(user_id: str, *, once: bool = False) -> Scope:
    """The scope of a user's write; `once` if it may be sent twice and is done once."""
    return Scope(Role.APP, user_id, writes=True, once=once)
