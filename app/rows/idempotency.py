"""Idempotency records: what a request with an Idempotency-Key was answered, kept for a day.

The record is written by the statement that does the work, so neither exists without the other.
"""

from datetime import datetime
from typing import Any, Final, NamedTuple

from sqlalchemy import (
    CTE,
    CheckConstraint,
    ColumnElement,
    Index,
    LargeBinary,
    Text,
    bindparam,
    func,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP, insert
from sqlalchemy.orm import Mapped, mapped_column

from app.core import secrets
from app.core.problem_kinds import IDEMPOTENCY_KEY_REUSED
from app.core.problems import Problem
from app.core.secrets import Keys
from app.db.base import Base
from app.rows.owner import OWNER, OwnerId, beside_owner

LIFETIME: Final = text("interval '24 hours'")


class IdempotencyKey(Base):
    """A user's key for a route, the fingerprint of the body, and the response."""

    __tablename__ = "idempotency_keys"

    user_id: Mapped[OwnerId]
    route: Mapped[str] = mapped_column(Text, primary_key=True)
    key: Mapped[str] = mapped_column(Text, primary_key=True)
    fingerprint: Mapped[bytes] = mapped_column(LargeBinary)
    answer: Mapped[dict[str, Any]] = mapped_column(JSONB)
    created_at: Mapped[datetime] = mapped_column(TIMESTAMP(True))

    __table_args__ = (
        CheckConstraint("char_length(key) between 1 and 255", name="key"),
        CheckConstraint("octet_length(fingerprint) = 32", name="fingerprint"),
        Index("ix_idempotency_keys_created_at", created_at),
    )


class Once(NamedTuple):
    """A request with an Idempotency-Key; one fingerprint of its body for each accepted secret."""

    route: str
    key: str
    fingerprints: tuple[bytes, ...]

    @property
    def parameters(self) -> dict[str, object]:
        """The parameters of `replayed` and `kept`."""
        return {"route": self.route, "key": self.key, "fingerprint": self.fingerprints[0]}

    def is_same(self, fingerprint: bytes | memoryview | None) -> bool:
        """Whether the key is new, or was sent with the same body before."""
        return fingerprint is None or bytes(fingerprint) in self.fingerprints

    def require_same(self, fingerprint: bytes | memoryview | None) -> Keys:
        """The keys that the request was answered under, which are the present ones if it never was.

        Raises Problem 422 if the idempotency key came with another body before.
        """
        if fingerprint is None:
            return secrets.present()
        if not self.is_same(fingerprint):
            raise Problem(IDEMPOTENCY_KEY_REUSED)
        return secrets.accepted()[self.fingerprints.index(bytes(fingerprint))]


def replayed() -> CTE:
    """The record of the key, if there is one: columns `fingerprint` and `answer`."""
    return (
        select(IdempotencyKey.fingerprint, IdempotencyKey.answer)
        .where(
            IdempotencyKey.user_id == bindparam("user_id"),
            IdempotencyKey.route == bindparam("route"),
            IdempotencyKey.key == bindparam("key"),
            IdempotencyKey.created_at > func.now() - LIFETIME,
        )
        .cte("replayed")
    )


def kept(answer: ColumnElement[Any], source: CTE, *, new_owner: bool = False) -> CTE:
    """Write the record of the key, replacing an expired one.

    A statement does not see the row of an owner that it makes itself.
    """
    columns = ["user_id", "route", "key", "fingerprint", "answer", "created_at"]
    given: list[Any] = [bindparam(name) for name in columns[1:4]]
    owner: Any = bindparam("user_id") if new_owner else OWNER.c.id
    rows = source if new_owner else beside_owner(source)
    row = select(owner, *given, answer, func.now()).select_from(rows)
    insertion = insert(IdempotencyKey).from_select(columns, row)
    return (
        insertion.on_conflict_do_update(
            index_elements=["user_id", "route", "key"],
            set_={name: insertion.excluded[name] for name in columns[3:]},
        )
        .returning(IdempotencyKey.key)
        .cte("kept")
    )
