"""The owner of rows: an account, with the counters that its writes count up."""

from datetime import datetime

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Index,
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
