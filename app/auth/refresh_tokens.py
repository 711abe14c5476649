"""Refresh tokens: start sessions, rotate their tokens and end them; each is one statement.

A sign-in starts a family of tokens. A token is spent when it is exchanged for the next. Reuse of a
spent token shows that it was stolen, and ends the family (RFC 9700, section 4.14.2).
"""

import hashlib
import hmac
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from secrets import token_hex
from typing import Any, NamedTuple, Self
from uuid import UUID

import orjson

from app.auth.refresh_token_statements import END, ROTATE, START
from app.core.ids import new_id
from app.core.problem_kinds import INVALID_CREDENTIALS
from app.core.problems import Problem
from app.core.secrets import Keys, present
from app.db.run import execute
from app.db.scope import writing_sessions
from app.db.statement import Statement
from app.rows.idempotency import Once
from app.web.errors import CONSTRAINTS

# The account was erased during the sign-in.
for constraint in ("fk_refresh_tokens_users", "fk_idempotency_keys_users"):
    CONSTRAINTS[constraint] = Problem(INVALID_CREDENTIALS)


class RefreshToken(NamedTuple):
    """A refresh token: 32 secret bytes, and the user's id, which leads to the row by its key."""

    user_id: str
    secret: bytes

    @classmethod
    def derive(cls, user_id: str, seed: str, keys: Keys) -> Self:
        """Return the token of this seed, in hex; the same arguments give the same token."""
        return cls(user_id, hmac.digest(keys.refresh_token, bytes.fromhex(seed), hashlib.sha256))

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Return the token with this text; None if the text is not valid."""
        try:
            data = urlsafe_b64decode(text.encode("ascii"))
        except ValueError:
            return None
        if len(data) != 48 or str(token := cls(str(UUID(bytes=data[:16])), data[16:])) != text:
            return None
        return token

    @property
    def hash(self) -> bytes:
        """The SHA-256 of the secret, which the database stores in its place."""
        return hashlib.sha256(self.secret).digest()

    def __str__(self) -> str:
        return urlsafe_b64encode(UUID(self.user_id).bytes + self.secret).decode()


class Issued(NamedTuple):
    """A refresh token, when it was issued in seconds since 1970, and the keys that derived it.

    `replayed` says that an earlier request with the same Idempotency-Key was answered with it.
    """

    token: RefreshToken
    at: int
    keys: Keys
    replayed: bool


def start_session(user_id: str, once: Once | None) -> Issued:
    """Issue the first token of a family. Raises Problem 422 for a key used with another body."""
    return _issue(START, user_id, once, family_id=new_id())


def rotate(presented: RefreshToken, once: Once | None) -> Issued:
    """Exchange a refresh token for the next; end the family if the token is spent already.

    Raises Problem 401 if the token is not valid, and 422 for a key used with another body.
    """
    return _issue(ROTATE, presented.user_id, once, token_hash=presented.hash)


def end_session(presented: RefreshToken, once: Once | None) -> bool:
    """Delete the token's family; return whether an earlier request with the same key did.

    Raises Problem 422 for a key used with another body.
    """
    _, earlier, _ = _run(END, presented.user_id, {}, once, token_hash=presented.hash)
    return earlier is not None


def _issue(
    statements: Mapping[bool, Statement], user_id: str, once: Once | None, **parameters: object
) -> Issued:
    """Issue a token. A replay derives it from what is kept, which is worth nothing without keys."""
    kept: dict[str, Any] = {"seed": token_hex(32), "issued": int(time.time())}
    parameters["new_hash"] = RefreshToken.derive(user_id, kept["seed"], present()).hash
    done, earlier, keys = _run(statements, user_id, kept, once, **parameters)
    if not done and earlier is None:
        raise Problem(INVALID_CREDENTIALS)
    made = earlier or kept
    token = RefreshToken.derive(user_id, made["seed"], keys)
    return Issued(token, made["issued"], keys, replayed=earlier is not None)


def _run(
    statements: Mapping[bool, Statement],
    user_id: str,
    kept: dict[str, Any],
    once: Once | None,
    **parameters: object,
) -> tuple[bool, dict[str, Any] | None, Keys]:
    """Return whether the statement changed anything, and the keys that derive the token.

    If it changed nothing, also what an earlier request with the same key kept, if there was one.
    """
    if once:
        parameters |= {**once.parameters, "answer": orjson.dumps(kept).decode()}
    scope = writing_sessions(user_id, once=once is not None)
    [row] = execute(scope, statements[scope.once], user_id=user_id, **parameters)
    if once is None:
        return row.done, row.answer, present()
    if not row.known and not once.is_same(row.fingerprint):
        return False, None, present()
    return row.done, row.answer, once.require_same(row.fingerprint)
