"""The table of categories."""

from sqlalchemy import CheckConstraint, Index, Text, func
from sqlalchemy.orm import Mapped, mapped_column

from app.db.base import Base
from app.rows.owner import Versioned, index_versions, line, rules_of_versions


class Category(Versioned, Base):
    """A named group of one user's tasks; a deleted one stays as a tombstone until purged."""

    __tablename__ = "categories"

    name: Mapped[str] = mapped_column(Text)
    color: Mapped[str | None] = mapped_column(Text)

    __table_args__ = (
        line("name", 100),
        CheckConstraint("color ~ '^#[0-9a-f]{6}$'", name="color"),
        *rules_of_versions("name = '-' and color is null"),
    )


index_versions(Category)
LIVE = Category.deleted_at.is_(None)
NAME = (Category.user_id, func.lower(Category.name))
AGE = (Category.user_id, Category.created_at, Category.id)
Index("uq_categories_name", *NAME, unique=True, postgresql_where=LIVE)
Index("ix_categories_created_at", *AGE, postgresql_where=LIVE)
