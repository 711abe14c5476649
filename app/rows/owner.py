"""The tables of accounts and of their refresh tokens."""

from datetime import datetime

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Index,
    LargeBinary,
    Text,
    Uuid,
    func,
)
from sqlalchemy.dialects.postgresql import TIMESTAMP
from sqlalchemy.orm import Mapped, mapped_column

from app.core.texts import trimmed_pattern
from app.db.base import Base


class User(Base):
    """An account: with an e-mail address and a password, or of another issuer's without both."""

    __tablename__ = "users"

    id: Mapped[str] = mapped_column(Uuid(as_uuid=False), primary_key=True)
    email: Mapped[str | None] = mapped_column(Text)
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
    nfc_version: Mapped[int] = mapped_column(BigInteger, server_default="-1")

    __table_args__ = (
        CheckConstraint("char_length(email) <= 254 and email like '_%@_%'", name="email"),
        CheckConstraint("(email is null) = (password_hash is null)", name="password"),
        CheckConstraint(
            f"char_length(name) between 1 and 100 and name ~ '{trimmed_pattern()}'", name="name"
        ),
        CheckConstraint("char_length(time_zone) between 1 and 64", name="time_zone"),
        CheckConstraint("version <= change_seq", name="version"),
        Index("uq_users_email", func.lower(email), unique=True),
    )


class RefreshToken(Base):
    """A refresh token, known by its SHA-256 alone; a family is one sign-in and its rotations."""

    __tablename__ = "refresh_tokens"

    user_id: Mapped[str] = mapped_column(
        Uuid(as_uuid=False), ForeignKey("users.id", ondelete="CASCADE"), primary_key=True
    )
    token_hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    family_id: Mapped[str] = mapped_column(Uuid(as_uuid=False))
    created_at: Mapped[datetime] = mapped_column(TIMESTAMP(True), server_default=func.now())
    expires_at: Mapped[datetime] = mapped_column(TIMESTAMP(True))
    spent_at: Mapped[datetime | None] = mapped_column(TIMESTAMP(True))

    __table_args__ = (
        CheckConstraint("octet_length(token_hash) = 32", name="token_hash"),
        CheckConstraint("expires_at > created_at", name="expires_at"),
        Index("ix_refresh_tokens_family_id", user_id, family_id),
        Index("ix_refresh_tokens_expires_at", expires_at),
    )
