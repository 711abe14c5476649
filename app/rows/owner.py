"""The owner of rows, an account with the counters that its writes count up; and what rows share."""

from datetime import datetime
from typing import Annotated, Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    ForeignKey,
    FromClause,
    Index,
    Text,
    Uuid,
    bindparam,
    false,
    func,
)
from sqlalchemy.dialects.postgresql import TIMESTAMP
from sqlalchemy.orm import Mapped, mapped_column

from app.core.texts import trimmed_pattern
from app.db.base import Base

OwnerId = Annotated[
    str,
    mapped_column(
        Uuid(as_uuid=False), ForeignKey("users.id", ondelete="CASCADE"), primary_key=True
    ),
]
"""The column `user_id` of rows that are deleted with their account."""


def line(column: str, longest: int) -> CheckConstraint:
    """The rule of a column with one line of text, as `fields.strings.Line` admits it."""
    rule = f"char_length({column}) between 1 and {longest} and {column} ~ '{trimmed_pattern()}'"
    return CheckConstraint(rule, name=column)


class User(Base):
    """An account: with an e-mail address and a password, or without both.

    Another issuer's users have neither, nor has who was invited or has registered and is yet to
    confirm the address, until `pending_until`.
    """

    __tablename__ = "users"

    id: Mapped[str] = mapped_column(Uuid(as_uuid=False), primary_key=True)
    email: Mapped[str | None] = mapped_column(Text)
    email_verified: Mapped[bool] = mapped_column(Boolean, server_default=false())
    password_hash: Mapped[str | None] = mapped_column(Text)
    name: Mapped[str | None] = mapped_column(Text)
    time_zone: Mapped[str] = mapped_column(Text, server_default="UTC")
    change_seq: Mapped[int] = mapped_column(BigInteger, server_default="0")
    version: Mapped[int] = mapped_column(BigInteger, server_default="0")
    created_at: Mapped[datetime] = mapped_column(TIMESTAMP(True), server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(TIMESTAMP(True), server_default=func.now())
    purged_version: Mapped[int] = mapped_column(BigInteger, server_default="0")
    used_rows: Mapped[int] = mapped_column(BigInteger, server_default="0")
    used_bytes: Mapped[int] = mapped_column(BigInteger, server_default="0")
    counted_at: Mapped[datetime | None] = mapped_column(TIMESTAMP(True), server_default=func.now())
    password_changed_at: Mapped[datetime | None] = mapped_column(TIMESTAMP(True))
    pending_until: Mapped[datetime | None] = mapped_column(TIMESTAMP(True))
    disabled_at: Mapped[datetime | None] = mapped_column(TIMESTAMP(True))
    has_webhooks: Mapped[bool] = mapped_column(Boolean, server_default=false())
    nfc_version: Mapped[int] = mapped_column(BigInteger, server_default="-1")

    __table_args__ = (
        CheckConstraint("char_length(email) <= 254 and email like '_%@_%'", name="email"),
        CheckConstraint("(email is null) = (password_hash is null)", name="password"),
        CheckConstraint("pending_until is null or email is null", name="pending_until"),
        line("name", 100),
        CheckConstraint("char_length(time_zone) between 1 and 64", name="time_zone"),
        CheckConstraint("version <= change_seq", name="version"),
        Index("uq_users_email", func.lower(email), unique=True),
        Index(
            "ix_users_pending_until",
            pending_until,
            postgresql_where=pending_until.is_not(None),
        ),
    )


OWNER: Final = User.__table__.alias("of_owner")


def beside_owner(source: FromClause) -> FromClause:
    """The rows of the source, beside the owner's row: what an INSERT of the owner's selects from.

    With `OWNER.c.id` as its `user_id`, a cluster sends the INSERT and what it refers to to the
    owner's server alone; else every server would get the source, and have to be there for it. One
    server gets the statement without it (app/db/nodes.py).
    """
    return source.join(OWNER, OWNER.c.id == bindparam("user_id"))


class Versioned:
    """The columns of versioned rows: their key, version and times, and the marks of the trash."""

    __tablename__: str

    user_id: Mapped[OwnerId] = mapped_column(sort_order=-2)
    id: Mapped[str] = mapped_column(Uuid(as_uuid=False), primary_key=True, sort_order=-1)
    version: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[datetime] = mapped_column(TIMESTAMP(True))
    updated_at: Mapped[datetime] = mapped_column(TIMESTAMP(True))
    deleted_at: Mapped[datetime | None] = mapped_column(TIMESTAMP(True))
    erased_version: Mapped[int | None] = mapped_column(BigInteger)


def rules_of_versions(empty: str) -> tuple[CheckConstraint, CheckConstraint]:
    """The rules of a versioned table; `empty` is the condition that an erased row fulfils."""
    erased = f"erased_version is distinct from version or (deleted_at is not null and {empty})"
    return CheckConstraint("version > 0", name="version"), CheckConstraint(erased, name="erased")


def index_versions(model: type[Versioned]) -> None:
    """Give the table the indexes of the feed of changes, of the trash and of the purge."""
    name, deleted = model.__tablename__, model.deleted_at.is_not(None)
    kept = model.erased_version.is_distinct_from(model.version)
    Index(f"ix_{name}_version", model.user_id, model.version)
    Index(f"ix_{name}_deleted_at", model.deleted_at, postgresql_where=deleted)
    trash = (model.user_id, model.deleted_at, model.id)
    Index(f"ix_{name}_trash", *trash, postgresql_where=deleted & kept)
