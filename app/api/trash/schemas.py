"""What clients see of the trash, and how they ask for it."""

from datetime import timedelta
from typing import Any, Final

from pydantic import BaseModel

from app.api import kinds
from app.api.categories import schemas as categories
from app.api.kinds import AnsweredKind, Item
from app.api.tasks import schemas as tasks
from app.rows.restoring import KEPT_DAYS
from app.web.fields.inputs import examples
from app.web.fields.times import Timestamp

EXAMPLE: Final[dict[str, Any]] = {
    "items": [
        {
            "type": "task",
            "deleted_at": "2026-11-21T09:30:00.123456Z",
            "purged_after": "2026-12-21T09:30:00.123456Z",
            "data": tasks.EXAMPLE,
        },
        {
            "type": "category",
            "deleted_at": "2026-11-20T18:00:00.5Z",
            "purged_after": "2026-12-20T18:00:00.5Z",
            "data": categories.EXAMPLE,
        },
    ],
    "next_cursor": None,
}


class TrashItem(BaseModel):
    """An item as it was when it was deleted, and when it may go for good."""

    type: AnsweredKind
    deleted_at: Timestamp
    purged_after: Timestamp
    data: Item


class TrashPage(BaseModel):
    """One page of the trash, newest deletion first; `next_cursor` is null on the last."""

    model_config = examples(EXAMPLE)

    items: list[TrashItem]
    next_cursor: str | None


def represent(row: Any) -> dict[str, Any]:
    """A row of the listing as the item that clients see."""
    return {
        "type": row.type,
        "deleted_at": row.deleted_at,
        "purged_after": row.deleted_at + timedelta(days=KEPT_DAYS),
        "data": kinds.represent(row),
    }
