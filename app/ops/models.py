"""The tables that the worker keeps for itself; they hold nothing of any user."""

from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, Text, func, text
from sqlalchemy.dialects.postgresql import TIMESTAMP
from sqlalchemy.orm import Mapped, mapped_column

from app.db.base import Base


class Job(Base):
    """What is to be done from time to time, by one worker."""

    __tablename__ = "jobs"

    name: Mapped[str] = mapped_column(Text, primary_key=True)
    next_at: Mapped[datetime] = mapped_column(TIMESTAMP(True), server_default=func.now())


class WorkerTotal(Base):
    """A number that all workers count up, for the metrics."""

    __tablename__ = "worker_totals"

    name: Mapped[str] = mapped_column(Text, primary_key=True)
    total: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))

    __table_args__ = (CheckConstraint("total >= 0", name="total"),)
