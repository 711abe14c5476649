"""The tables of refresh tokens and of personal access tokens."""

from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, Index, LargeBinary, Text, Uuid, func
from sqlalchemy.dialects.postgresql import ARRAY, TIMESTAMP
from sqlalchemy.orm import Mapped, mapped_column

from app.db.base import Base
from app.rows.owner import OwnerId, line


class RefreshToken(Base):
    """A refresh token, stored as its SHA-256; a family is one sign-in and its rotations."""

    __tablename__ = "refresh_tokens"

    user_id: Mapped[OwnerId]
    token_hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    family_id: Mapped[str] = mapped_column(Uuid(as_uuid=False))
    created_at: Mapped[datetime] = mapped_column(TIMESTAMP(True), server_default=func.now())
    expires_at: Mapped[datetime] = mapped_column(TIMESTAMP(True))
    spent_at: Mapped[datetime | None] = mapped_column(TIMESTAMP(True))
    # When the session began, and where it was refreshed last; the release before writes none.
    started_at: Mapped[datetime | None] = mapped_column(TIMESTAMP(True))
    user_agent: Mapped[str | None] = mapped_column(Text)
    address: Mapped[str | None] = mapped_column(Text)

    __table_args__ = (
        CheckConstraint("octet_length(token_hash) = 32", name="token_hash"),
        CheckConstraint("expires_at > created_at", name="expires_at"),
        CheckConstraint("char_length(user_agent) <= 200", name="user_agent"),
        CheckConstraint("char_length(address) <= 50", name="address"),
        Index("ix_refresh_tokens_family_id", "user_id", "family_id"),
        Index(
            "ix_refresh_tokens_live", "user_id", "family_id", postgresql_where=spent_at.is_(None)
        ),
        Index("ix_refresh_tokens_expires_at", expires_at),
    )


class PersonalAccessToken(Base):
    """A user's token for scripts, stored as its SHA-256; revoking it deletes the row."""

    __tablename__ = "personal_access_tokens"

    user_id: Mapped[OwnerId]
    id: Mapped[str] = mapped_column(Uuid(as_uuid=False), primary_key=True)
    name: Mapped[str] = mapped_column(Text)
    scopes: Mapped[list[str]] = mapped_column(ARRAY(Text))
    token_hash: Mapped[bytes] = mapped_column(LargeBinary)
    last_four: Mapped[str] = mapped_column(Text)
    version: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[datetime] = mapped_column(TIMESTAMP(True))
    expires_at: Mapped[datetime | None] = mapped_column(TIMESTAMP(True))
    last_used_at: Mapped[datetime | None] = mapped_column(TIMESTAMP(True))

    __table_args__ = (
        line("name", 100),
        CheckConstraint(
            "cardinality(scopes) between 1 and 3"
            " and scopes <@ array['tasks:read', 'tasks:write', 'account']",
            name="scopes",
        ),
        CheckConstraint("octet_length(token_hash) = 32", name="token_hash"),
        CheckConstraint("char_length(last_four) = 4", name="last_four"),
        CheckConstraint("version > 0", name="version"),
        CheckConstraint("expires_at > created_at", name="expires_at"),
        Index("uq_personal_access_tokens_token_hash", "user_id", "token_hash", unique=True),
        Index(
            "ix_personal_access_tokens_expires_at",
            expires_at,
            postgresql_where=expires_at.is_not(None),
        ),
    )
