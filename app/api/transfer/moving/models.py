"""The table of tasks that were moved in."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKeyConstraint,
    LargeBinary,
    Uuid,
)
from sqlalchemy.orm import Mapped, mapped_column

from app.db.base import Base
from app.rows.owner import OwnerId


class MovedTask(Base):
    """What came of a task, as a digest, and the version that the task got by it."""

    __tablename__ = "moved_tasks"

    user_id: Mapped[OwnerId]
    task_id: Mapped[str] = mapped_column(Uuid(as_uuid=False), primary_key=True)
    fingerprint: Mapped[bytes] = mapped_column(LargeBinary)
    version: Mapped[int] = mapped_column(BigInteger)

    __table_args__ = (
        CheckConstraint("octet_length(fingerprint) = 32", name="fingerprint"),
        CheckConstraint("version > 0", name="version"),
        ForeignKeyConstraint(
            ["user_id", "task_id"],
            ["tasks.user_id", "tasks.id"],
            name="fk_moved_tasks_tasks",
            ondelete="CASCADE",
        ),
    )
