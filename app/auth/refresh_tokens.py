"""Refresh tokens: start sessions, rotate their tokens and end them; each is one statement.

A sign-in starts a family of tokens. A token is spent when it is exchanged for the next. Reuse of a
spent token shows that it was stolen, and ends the family (RFC 9700, section 4.14.2).
"""

import hashlib
import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from typing import Any, NamedTuple, Self
from uuid import UUID

import orjson

from app.auth.refresh_token_statements import END, ROTATE, START
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
    def derive(cls, user_id: str, seed: bytes, key: bytes) -> Self:
        """Return the token of this seed and key; the same arguments give the same token."""
        return cls(user_id, hmac.digest(key, seed, hashlib.sha256))

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


class Outcome(NamedTuple):
    """The result of a statement.

    `done` says whether it changed anything; if not, `earlier` is what an earlier request with the
    same Idempotency-Key kept, if there was one. `keys` derive the token of the response.
    """

    done: bool
    earlier: dict[str, Any] | None
    keys: Keys


def start_session(
    user_id: str, new_hash: bytes, family_id: str, kept: dict[str, Any], once: Once | None
) -> Outcome:
    """Store the first token of a family. Raises Problem 422 for a key used with another body."""
    return _run(START, user_id, kept, once, new_hash=new_hash, family_id=family_id)


def rotate(
    user_id: str, token_hash: bytes, new_hash: bytes, kept: dict[str, Any], once: Once | None
) -> Outcome:
    """Exchange a refresh token for the next; end the family if the token is spent already.

    Raises Problem 422 for a key used with another body.
    """
    return _run(ROTATE, user_id, kept, once, token_hash=token_hash, new_hash=new_hash)


def end_session(user_id: str, token_hash: bytes, once: Once | None) -> Outcome:
    """Delete the token's family. Raises Problem 422 for a key used with another body."""
    return _run(END, user_id, {}, once, token_hash=token_hash)


def _run(
    statements: Mapping[bool, Statement],
    user_id: str,
    kept: dict[str, Any],
    once: Once | None,
    **parameters: object,
) -> Outcome:
    if once:
        parameters |= {**once.parameters, "answer": orjson.dumps(kept).decode()}
    scope = writing_sessions(user_id, once=once is not None)
    [row] = execute(scope, statements[scope.once], user_id=user_id, **parameters)
    if once is None:
        return Outcome(row.done, row.answer, present())
    if not row.known and not once.is_same(row.fingerprint):
        return Outcome(done=False, earlier=None, keys=present())
    return Outcome(row.done, row.answer, once.require_same(row.fingerprint))
