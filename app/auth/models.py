"""The tables of refresh tokens, personal access tokens, mails and the tokens in these."""

from datetime import datetime

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Index,
    LargeBinary,
    SmallInteger,
    Text,
    Uuid,
    func,
    text,
)
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


class Mail(Base):
    """A mail of the outbox: to be sent, sent or given up. `seed` makes the token of its link."""

    __tablename__ = "mails"

    user_id: Mapped[OwnerId]
    id: Mapped[str] = mapped_column(Uuid(as_uuid=False), primary_key=True)
    kind: Mapped[str] = mapped_column(Text)
    recipient: Mapped[str] = mapped_column(Text)
    seed: Mapped[bytes | None] = mapped_column(LargeBinary)
    key_id: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(TIMESTAMP(True), server_default=func.now())
    due_at: Mapped[datetime] = mapped_column(TIMESTAMP(True), server_default=func.now())
    send_until: Mapped[datetime] = mapped_column(
        TIMESTAMP(True), server_default=func.now() + text("interval '24 hours'")
    )
    attempts: Mapped[int] = mapped_column(SmallInteger, server_default=text("0"))
    sent_at: Mapped[datetime | None] = mapped_column(TIMESTAMP(True))
    given_up_at: Mapped[datetime | None] = mapped_column(TIMESTAMP(True))
    last_error: Mapped[str | None] = mapped_column(Text)

    __table_args__ = (
        CheckConstraint(
            "kind in ('password_reset', 'registration', 'invitation', 'email_verification',"
            " 'email_change', 'email_changed', 'password_changed')",
            name="kind",
        ),
        CheckConstraint(
            "char_length(recipient) <= 254 and recipient like '_%@_%'", name="recipient"
        ),
        CheckConstraint("octet_length(seed) = 32", name="seed"),
        CheckConstraint("attempts >= 0", name="attempts"),
        CheckConstraint("char_length(last_error) <= 200", name="last_error"),
        CheckConstraint(
            "(sent_at is null or given_up_at is null)"
            " and (seed is null or (sent_at is null and given_up_at is null))",
            name="done",
        ),
        CheckConstraint("(key_id is null) = (seed is null)", name="key_id"),
        Index(
            "ix_mails_due_at",
            due_at,
            postgresql_where=sent_at.is_(None) & given_up_at.is_(None),
        ),
        Index(
            "ix_mails_done_at",
            func.coalesce(sent_at, given_up_at),
            postgresql_where=sent_at.is_not(None) | given_up_at.is_not(None),
        ),
    )


class MailToken(Base):
    """The token of a link, stored as its SHA-256, for one user, one purpose and one address."""

    __tablename__ = "mail_tokens"

    user_id: Mapped[OwnerId]
    token_hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    kind: Mapped[str] = mapped_column(Text)
    email: Mapped[str] = mapped_column(Text)
    # That of the account that the link makes; none in other kinds of mail.
    password_hash: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(TIMESTAMP(True), server_default=func.now())
    expires_at: Mapped[datetime] = mapped_column(TIMESTAMP(True))
    used_at: Mapped[datetime | None] = mapped_column(TIMESTAMP(True))

    __table_args__ = (
        CheckConstraint("octet_length(token_hash) = 32", name="token_hash"),
        CheckConstraint(
            "kind in ('password_reset', 'registration', 'invitation', 'email_verification',"
            " 'email_change')",
            name="kind",
        ),
        CheckConstraint("char_length(email) <= 254 and email like '_%@_%'", name="email"),
        CheckConstraint("expires_at > created_at", name="expires_at"),
        CheckConstraint(
            "password_hash is null or kind = 'registration' and used_at is null",
            name="password_hash",
        ),
        Index("ix_mail_tokens_expires_at", expires_at),
    )


class PasswordReset(Base):
    """An address for which a new password was asked, whether there is an account or not."""

    __tablename__ = "password_resets"

    email: Mapped[str] = mapped_column(Text, primary_key=True)
    asked_at: Mapped[datetime] = mapped_column(TIMESTAMP(True), server_default=func.now())

    __table_args__ = (
        CheckConstraint(
            "char_length(email) <= 254 and email like '_%@_%' and email = lower(email)",
            name="email",
        ),
        Index("ix_password_resets_asked_at", asked_at),
    )
