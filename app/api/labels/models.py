"""The table of labels."""

from sqlalchemy import CheckConstraint, Index, Text, func
from sqlalchemy.orm import Mapped, mapped_column

from app.db.base import Base
from app.rows.owner import Versioned, index_versions, line, rules_of_versions


class Label(Versioned, Base):
    """A name that a user gives to any of their tasks; a deleted one stays until purged."""

    __tablename__ = "labels"

    name: Mapped[str] = mapped_column(Text)
    color: Mapped[str | None] = mapped_column(Text)

    __table_args__ = (
        line("name", 100),
        CheckConstraint("color ~ '^#[0-9a-f]{6}$'", name="color"),
        *rules_of_versions("name = '-' and color is null"),
    )


index_versions(Label)
LIVE = Label.deleted_at.is_(None)
NAME = (Label.user_id, func.lower(Label.name))
AGE = (Label.user_id, Label.created_at, Label.id)
Index("uq_labels_name", *NAME, unique=True, postgresql_where=LIVE)
Index("ix_labels_created_at", *AGE, postgresql_where=LIVE)
