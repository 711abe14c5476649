"""The table of tasks."""

from datetime import date, datetime
from typing import Any, Final

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Computed,
    Date,
    FetchedValue,
    ForeignKeyConstraint,
    Index,
    SmallInteger,
    String,
    Text,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, TIMESTAMP
from sqlalchemy.orm import Mapped, mapped_column

from app.db.base import Base
from app.rows.owner import OwnerId, Versioned, index_versions, line, rules_of_versions

# PostgreSQL counts `case` among what leaks nothing, and `coalesce` not (contain_leaked_vars).
# The line breaks are where PostgreSQL prints them: Alembic compares the text of expressions.
DUE_OR_LAST = """
case
    when due is null then 'infinity'::timestamptz
    else due
end"""
DUE_OR_FIRST = DUE_OR_LAST.replace("infinity", "-infinity")

INDEXED_AFTER = 500
"""The change of a user after which texts are indexed."""


class TaskLabel(Base):
    """A label of a task, as a trigger keeps it of `label_ids`."""

    __tablename__ = "task_labels"

    user_id: Mapped[OwnerId]
    label_id: Mapped[str] = mapped_column(Uuid(as_uuid=False), primary_key=True)
    task_id: Mapped[str] = mapped_column(Uuid(as_uuid=False), primary_key=True)

    __table_args__ = (
        ForeignKeyConstraint(
            ["user_id", "label_id"], ["labels.user_id", "labels.id"], name="fk_task_labels_labels"
        ),
        ForeignKeyConstraint(
            ["user_id", "task_id"],
            ["tasks.user_id", "tasks.id"],
            name="fk_task_labels_tasks",
            ondelete="CASCADE",
        ),
        Index("ix_task_labels_task_id", "user_id", "task_id"),
    )


class TaskReminder(Base):
    """An instant at which a task reminds its user, as a trigger keeps it of `remind_at`."""

    __tablename__ = "task_reminders"

    user_id: Mapped[OwnerId]
    task_id: Mapped[str] = mapped_column(Uuid(as_uuid=False), primary_key=True)
    at: Mapped[datetime] = mapped_column(TIMESTAMP(True), primary_key=True)

    __table_args__ = (
        Index("ix_task_reminders_by_user", "user_id", "at", "task_id"),
        Index("ix_task_reminders_at", "at"),
    )


class Task(Versioned, Base):
    """One thing to do; a deleted one stays as a tombstone until purged."""

    __tablename__ = "tasks"

    title: Mapped[str] = mapped_column(Text)
    description: Mapped[str | None] = mapped_column(Text)
    complete: Mapped[bool] = mapped_column(Boolean)
    completed_at: Mapped[datetime | None] = mapped_column(TIMESTAMP(True))
    priority: Mapped[int] = mapped_column(SmallInteger)
    due_date: Mapped[date | None] = mapped_column(Date)
    due_at: Mapped[datetime | None] = mapped_column(TIMESTAMP(True))
    category_id: Mapped[str | None] = mapped_column(Uuid(as_uuid=False))
    # Not a Text, whose length would count in the quota; the default serves the release before.
    position: Mapped[str] = mapped_column(
        String(64, collation="C"), server_default=text("position_of_time(clock_timestamp())")
    )
    parent_id: Mapped[str | None] = mapped_column(Uuid(as_uuid=False))
    label_ids: Mapped[list[str]] = mapped_column(ARRAY(Uuid(as_uuid=False)), server_default="{}")
    recurrence: Mapped[dict[str, str] | None] = mapped_column(JSONB)
    occurrence: Mapped[datetime | None] = mapped_column(TIMESTAMP)
    series_id: Mapped[str | None] = mapped_column(Uuid(as_uuid=False))
    reminders: Mapped[list[dict[str, Any]]] = mapped_column(ARRAY(JSONB), server_default="{}")
    snoozed_until: Mapped[datetime | None] = mapped_column(TIMESTAMP(True))
    # A trigger makes these two of the others.
    remind_at: Mapped[list[datetime] | None] = mapped_column(
        ARRAY(TIMESTAMP(True)), server_onupdate=FetchedValue()
    )
    reminders_zone: Mapped[str | None] = mapped_column(Text, server_onupdate=FetchedValue())
    # Under a policy only leakproof operators use an index, and neither lower() nor a change of time
    # zone is one: what a listing is sorted by is stored. This one is what filters narrow down by
    # within other orders, as a day begins at most 16 hours off its midnight UTC in every zone.
    due: Mapped[datetime | None] = mapped_column(
        TIMESTAMP(True),
        Computed("coalesce(due_at, (due_date::timestamp at time zone 'UTC'))", persisted=True),
    )
    title_key: Mapped[str] = mapped_column(
        Text(collation="C"), Computed("lower(title)", persisted=True)
    )

    __table_args__ = (
        ForeignKeyConstraint(
            ["user_id", "category_id"],
            ["categories.user_id", "categories.id"],
            name="fk_tasks_categories",
        ),
        ForeignKeyConstraint(
            ["user_id", "parent_id"],
            ["tasks.user_id", "tasks.id"],
            name="fk_tasks_parents",
            ondelete="SET NULL (parent_id)",
            deferrable=True,
        ),
        line("title", 200),
        CheckConstraint("char_length(description) <= 5000", name="description"),
        CheckConstraint("complete = (completed_at is not null)", name="completed_at"),
        CheckConstraint("priority between 0 and 3", name="priority"),
        CheckConstraint("position ~ '^[0-9A-Za-z]{1,64}$'", name="position"),
        # Most tasks have none, and calling a function takes time.
        CheckConstraint(
            "label_ids = '{}' or cardinality(label_ids) <= 50 and is_sorted_set(label_ids)",
            name="label_ids",
        ),
        CheckConstraint("cardinality(reminders) <= 10", name="reminders"),
        CheckConstraint("due_date is null or due_at is null", name="due"),
        CheckConstraint("due_date between '0001-01-01' and '9999-12-31'", name="due_date"),
        CheckConstraint("due_at >= '0001-01-01Z' and due_at < '10000-01-01Z'", name="due_at"),
        *rules_of_versions(
            "title = '-' and description is null and not complete and priority = 0 and"
            " due_date is null and due_at is null and category_id is null"
        ),
    )


index_versions(Task)
LIVE: Final = Task.deleted_at.is_(None)
IN_CATEGORY: Final = Task.category_id.is_not(None)
Index(
    "ix_tasks_parent_id",
    Task.user_id,
    Task.parent_id,
    postgresql_where=Task.parent_id.is_not(None),
)
Index(
    "ix_tasks_reminders_zone",
    Task.user_id,
    Task.reminders_zone,
    postgresql_where=Task.reminders_zone.is_not(None),
)
Index("ix_tasks_category_id", Task.user_id, Task.category_id, postgresql_where=IN_CATEGORY)
# What a search goes by. A user's first 500 changes are looked through instead: that takes half a
# millisecond, and the index costs a write as much as all the others together.
Index(
    "ix_tasks_text",
    func.text_pieces(Task.user_id, Task.title, Task.description),
    postgresql_using="gin",
    postgresql_with={"gin_pending_list_limit": 256},
    postgresql_where=LIVE & (Task.version > INDEXED_AFTER),
)
UNINDEXED: Final = LIVE & (Task.version <= INDEXED_AFTER)
Index("ix_tasks_unindexed_text", Task.user_id, postgresql_where=UNINDEXED)
# One for each order of a listing, so that a page costs the same wherever it begins. What filters
# ask for stands behind, so that only rows of the page are read, however few of all match. Those by
# `due` are what the release before goes by.
FILTERED: Final = (Task.complete, Task.priority, Task.category_id, Task.due, Task.updated_at)
for name, key in (
    ("created_at", Task.created_at),
    ("updated_at", Task.updated_at),
    ("due_ascending", text(f"({DUE_OR_LAST})")),
    ("due_descending", text(f"({DUE_OR_FIRST})")),
    ("priority", Task.priority),
    ("position", Task.position),
    ("title_key", Task.title_key),
):
    Index(
        f"ix_tasks_by_{name}",
        Task.user_id,
        key,
        Task.id,
        *(column for column in FILTERED if column is not key),
        postgresql_where=LIVE,
    )

# The order by due time is made of these, each task being in one of them.
KINDS: Final[tuple[tuple[str, list[Any], Any], ...]] = (
    ("due_at", [Task.due_at], Task.due_at.is_not(None)),
    ("due_date", [Task.due_date], Task.due_date.is_not(None)),
    ("no_due", [], Task.due_at.is_(None) & Task.due_date.is_(None)),
)
for name, keys, having in KINDS:
    Index(
        f"ix_tasks_by_{name}",
        Task.user_id,
        *keys,
        Task.id,
        *(column for column in FILTERED if column is not Task.due),
        postgresql_where=LIVE & having,
    )
