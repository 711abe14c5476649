"""The table of categories."""

from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, Text, Uuid, func
from sqlalchemy.dialects.postgresql import TIMESTAMP
from sqlalchemy.orm import Mapped, mapped_column

from app.core.texts import trimmed_pattern
from app.db.base import Base


class Category(Base):
    """A named group of one user's tasks; a deleted one stays as a tombstone until purged."""

    __tablename__ = "categories"

    user_id: Mapped[str] = mapped_column(
        Uuid(as_uuid=False), ForeignKey("users.id", ondelete="CASCADE"), primary_key=True
    )
    id: Mapped[str] = mapped_column(Uuid(as_uuid=False), primary_key=True)
    name: Mapped[str] = mapped_column(Text)
    color: Mapped[str | None] = mapped_column(Text)
    version: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[datetime] = mapped_column(TIMESTAMP(True))
    updated_at: Mapped[datetime] = mapped_column(TIMESTAMP(True))
    deleted_at: Mapped[datetime | None] = mapped_column(TIMESTAMP(True))
    erased_version: Mapped[int | None] = mapped_column(BigInteger)

    __table_args__ = (
        CheckConstraint(
            f"char_length(name) between 1 and 100 and name ~ '{trimmed_pattern()}'", name="name"
        ),
        CheckConstraint("color ~ '^#[0-9a-f]{6}$'", name="color"),
        CheckConstraint("version > 0", name="version"),
        CheckConstraint(
            "erased_version is distinct from version or (deleted_at is not null and name = '-' and"
            " color is null)",
            name="erased",
        ),
        Index(
            "uq_categories_name",
            user_id,
            func.lower(name),
            unique=True,
            postgresql_where=deleted_at.is_(None),
        ),
        Index(
            "ix_categories_created_at",
            user_id,
            created_at,
            id,
            postgresql_where=deleted_at.is_(None),
        ),
        Index(
            "ix_categories_trash",
            user_id,
            deleted_at,
            id,
            postgresql_where=deleted_at.is_not(None) & erased_version.is_distinct_from(version),
        ),
        Index("ix_categories_version", user_id, version),
        Index("ix_categories_deleted_at", deleted_at, postgresql_where=deleted_at.is_not(None)),
    )
