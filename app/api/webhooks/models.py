"""The table of webhooks: what users set, how far each was told, and how the last attempt ended."""

from datetime import datetime

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Index,
    SmallInteger,
    Text,
    Uuid,
    false,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, TIMESTAMP
from sqlalchemy.orm import Mapped, mapped_column

from app.db.base import Base
from app.rows.owner import OwnerId


class Webhook(Base):
    """A URL that the worker calls. `due_at` is kept by a trigger, which says when that is next."""

    __tablename__ = "webhooks"

    user_id: Mapped[OwnerId]
    id: Mapped[str] = mapped_column(Uuid(as_uuid=False), primary_key=True)
    url: Mapped[str] = mapped_column(Text)
    events: Mapped[list[str]] = mapped_column(ARRAY(Text))
    description: Mapped[str | None] = mapped_column(Text)
    # Sealed (secrets.py); the old one counts for a day after it was replaced.
    secret: Mapped[str] = mapped_column(Text)
    key_id: Mapped[str] = mapped_column(Text)
    old_secret: Mapped[str | None] = mapped_column(Text)
    old_secret_until: Mapped[datetime | None] = mapped_column(TIMESTAMP(True))
    version: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[datetime] = mapped_column(TIMESTAMP(True))
    updated_at: Mapped[datetime] = mapped_column(TIMESTAMP(True))
    # The last change of the user's, and up to where changes and reminders were told.
    latest_version: Mapped[int] = mapped_column(BigInteger)
    latest_at: Mapped[datetime] = mapped_column(TIMESTAMP(True))
    told_version: Mapped[int] = mapped_column(BigInteger)
    told_reminder_at: Mapped[datetime] = mapped_column(TIMESTAMP(True))
    told_reminder_task_id: Mapped[str] = mapped_column(
        Uuid(as_uuid=False), server_default=text("'ffffffff-ffff-ffff-ffff-ffffffffffff'")
    )
    test_requested_at: Mapped[datetime | None] = mapped_column(TIMESTAMP(True))
    # A claim ends by itself; a pause follows an attempt that failed.
    due_at: Mapped[datetime | None] = mapped_column(TIMESTAMP(True))
    claimed_until: Mapped[datetime | None] = mapped_column(TIMESTAMP(True))
    next_attempt_at: Mapped[datetime | None] = mapped_column(TIMESTAMP(True))
    attempts: Mapped[int] = mapped_column(SmallInteger, server_default=text("0"))
    slow: Mapped[bool] = mapped_column(Boolean, server_default=false())
    last_attempt_at: Mapped[datetime | None] = mapped_column(TIMESTAMP(True))
    last_status: Mapped[int | None] = mapped_column(SmallInteger)
    last_error: Mapped[str | None] = mapped_column(Text)
    disabled_at: Mapped[datetime | None] = mapped_column(TIMESTAMP(True))

    __table_args__ = (
        CheckConstraint("char_length(url) <= 2000 and url ~ '^https?://[!-~]+$'", name="url"),
        CheckConstraint(
            "cardinality(events) between 1 and 2 and events <@ array['changes', 'reminder']",
            name="events",
        ),
        CheckConstraint("char_length(description) between 1 and 200", name="description"),
        CheckConstraint("char_length(secret) <= 200", name="secret"),
        CheckConstraint("version > 0", name="version"),
        CheckConstraint("attempts >= 0", name="attempts"),
        CheckConstraint("char_length(last_error) <= 200", name="last_error"),
        CheckConstraint("(old_secret is null) = (old_secret_until is null)", name="old_secret"),
        Index(
            "ix_webhooks_due_at",
            due_at,
            postgresql_where=text("attempts = 0 and not slow and due_at is not null"),
        ),
        Index(
            "ix_webhooks_retry_at",
            due_at,
            postgresql_where=text("(attempts > 0 or slow) and due_at is not null"),
        ),
    )
