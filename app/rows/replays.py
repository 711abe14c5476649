"""The row that an idempotency key was answered with, read from the record of the key."""

from typing import Any

from sqlalchemy import (
    CTE,
    FromClause,
    Select,
    Table,
    Uuid,
    and_,
    cast,
    exists,
    func,
    select,
    text,
    true,
)

from app.rows.owner import User
from app.rows.shape import USER_ID, Element


def stored_answer(table: Table, replayed: CTE) -> Select[Any]:
    """The row that an idempotency key was answered with, as it then was; none if it was erased.

    What the release that answered did not know of a versioned row is that of the present one.
    """
    versioned = "erased_version" in table.c
    base = _present(table, replayed) if versioned else text(f"null::{table.name}")
    record = func.jsonb_populate_record(base, replayed.c.answer).table_valued(
        *(column.name for column in table.c), name="record"
    )
    stored = select(record).select_from(replayed.join(record, true()))
    return stored.where(outlasts(table, record)) if versioned else stored


def _present(table: Table, replayed: CTE) -> Element:
    present, row_id = table.alias("present"), cast(replayed.c.answer["id"].astext, Uuid)
    same = (present.c.user_id == USER_ID, present.c.id == row_id)
    return select(text("present")).select_from(present).where(*same).scalar_subquery()


def outlasts(table: Table, then: FromClause) -> Element:
    """Whether the content that a row once had, at a version, has not been erased since.

    A row is gone once it was purged. What was written later under the id of one that was erased or
    purged is another row.
    """
    now = table.alias("now")
    purged_version = select(User.purged_version).where(User.id == USER_ID).scalar_subquery()
    purged = and_(then.c.version <= purged_version, now.c.created_at > then.c.created_at)
    erased = func.coalesce(now.c.erased_version >= then.c.version, False)
    same = (now.c.user_id == USER_ID, now.c.id == then.c.id)
    return exists().where(*same, ~erased, ~purged)
