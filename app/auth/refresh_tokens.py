"""Refresh tokens: start sessions, rotate their tokens and end them; each is one statement.

A sign-in starts a family of tokens. A token is spent when it is exchanged for the next. Reuse of a
spent token shows that it was stolen, and ends the family (RFC 9700, section 4.14.2).
"""

import hashlib
import hmac
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from secrets import token_hex
from typing import Any, NamedTuple, Self

import orjson
from flask import current_app

from app.auth.owned_secrets import OwnedSecret
from app.auth.refresh_token_statements import END, END_SESSIONS, ROTATE, SESSIONS, START
from app.core.config import Settings
from app.core.ids import new_id
from app.core.problem_kinds import INVALID_CREDENTIALS
from app.core.problems import Problem
from app.core.secrets import Keys, present
from app.db.run import execute
from app.db.scope import ending_sessions, reading, writing_sessions
from app.db.sending import Row
from app.db.statement import Statement
from app.rows.idempotency import Once
from app.web.errors import CONSTRAINTS

# The account was erased during the sign-in.
for constraint in ("fk_refresh_tokens_users", "fk_idempotency_keys_users"):
    CONSTRAINTS[constraint] = Problem(INVALID_CREDENTIALS)


class RefreshToken(OwnedSecret):
    """A refresh token, of which the database has the hash."""

    @classmethod
    def derive(cls, user_id: str, seed: str, keys: Keys) -> Self:
        """Return the token of this seed, in hex; the same arguments give the same token."""
        return cls(user_id, hmac.digest(keys.refresh_token, bytes.fromhex(seed), hashlib.sha256))


class Issued(NamedTuple):
    """A refresh token, its session, when it was issued in seconds since 1970, and the keys that
    derived it.

    `replayed` says that an earlier request with the same Idempotency-Key was answered with it. What
    the release before answered names no session.
    """

    token: RefreshToken
    session_id: str | None
    at: int
    keys: Keys
    replayed: bool


class Client(NamedTuple):
    """Where a session is refreshed: the program, and the network, which stands for its address."""

    user_agent: str | None
    address: str | None


def start_session(
    user_id: str, password_changed_at: datetime | None, client: Client, once: Once | None
) -> Issued:
    """Issue the first token of a family, for a user whose password was compared and had been
    changed last at that time.

    Raises Problem 401 if the password was changed meanwhile, and 422 for a key used with another
    body.
    """
    values = {"family_id": new_id(), "password_changed_at": password_changed_at}
    return _issue(START, user_id, client, once, **values)


def rotate(presented: RefreshToken, client: Client, once: Once | None) -> Issued:
    """Exchange a refresh token for the next; end the family if the token was spent a while ago.

    Raises Problem 401 if the token is not valid, and 422 for a key used with another body.
    """
    return _issue(ROTATE, presented.user_id, client, once, token_hash=presented.hash)


def end_session(presented: RefreshToken, once: Once | None) -> bool:
    """Delete the token's family; return whether an earlier request with the same key did.

    Raises Problem 422 for a key used with another body.
    """
    _, earlier, _ = _run(END, presented.user_id, {}, once, token_hash=presented.hash)
    return earlier is not None


def list_sessions(user_id: str) -> Sequence[Row]:
    """The user's sessions, the one that was refreshed last first."""
    return execute(reading(user_id), SESSIONS, user_id=user_id)


def end_sessions(user_id: str, ids: Sequence[str] | None, *, but: str | None = None) -> int:
    """End sessions of these ids, or all but one; return how many there were.

    Access tokens of a session that ended are refused at once.
    """
    scope = ending_sessions(user_id, once=ids is None)  # a second time, one would not be found
    values = {"ids": None if ids is None else [*ids], "but": but}
    return len(execute(scope, END_SESSIONS, user_id=user_id, **values))


def _issue(
    statements: Mapping[bool, Statement],
    user_id: str,
    client: Client,
    once: Once | None,
    **parameters: object,
) -> Issued:
    """Issue a token. A replay derives it from what is kept, which is worth nothing without keys."""
    settings: Settings = current_app.config["SETTINGS"]
    kept: dict[str, Any] = {"seed": token_hex(32), "issued": int(time.time())}
    parameters["new_hash"] = RefreshToken.derive(user_id, kept["seed"], present()).hash
    parameters |= {**client._asdict(), "session_days": settings.session_days}
    session_id, earlier, keys = _run(statements, user_id, kept, once, **parameters)
    if session_id is None and earlier is None:
        raise Problem(INVALID_CREDENTIALS)
    made = earlier or {**kept, "family_id": session_id}
    token = RefreshToken.derive(user_id, made["seed"], keys)
    replayed = earlier is not None
    return Issued(token, made.get("family_id"), made["issued"], keys, replayed)


def _run(
    statements: Mapping[bool, Statement],
    user_id: str,
    kept: dict[str, Any],
    once: Once | None,
    **parameters: object,
) -> tuple[str | None, dict[str, Any] | None, Keys]:
    """Return the session that the statement changed, if any, and the keys that derive the token.

    If it changed nothing, also what an earlier request with the same key kept, if there was one.
    """
    if once:
        parameters |= {**once.parameters, "answer": orjson.dumps(kept).decode()}
    scope = writing_sessions(user_id, once=once is not None)
    [row] = execute(scope, statements[scope.once], user_id=user_id, **parameters)
    if once is None:
        return row.family_id, row.answer, present()
    if not row.known and not once.is_same(row.fingerprint):
        return None, None, present()
    return row.family_id, row.answer, once.require_same(row.fingerprint)
