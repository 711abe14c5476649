"""A page of changes as clients see it."""

from typing import Any

from app.api.changes import position
from app.api.changes.queries import Feed
from app.api.changes.schemas import represent


def page(feed: Feed, user_id: str) -> dict[str, Any]:
    """The changes, and the token of where the next ones begin."""
    return {
        "items": [represent(row) for row in feed.rows],
        "next_token": position.encode(feed.position, user_id),
        "has_more": feed.has_more,
    }
