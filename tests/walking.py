"""Walks through the pages of a listing."""

from typing import Any
from urllib.parse import urlencode

from tests.conftest import Account


def page(account: Account, path: str, **query: Any) -> dict[str, Any]:
    """One page; queries are written as clients write them, `true` in lower case."""
    texts = {k: str(v).lower() if isinstance(v, bool) else v for k, v in query.items()}
    response = account.get(f"{path}?{urlencode(texts)}")
    assert response.status_code == 200, response.text
    return response.json


def walk(account: Account, path: str = "/v1/tasks", **query: Any) -> list[dict[str, Any]]:
    """All items, page after page by `next_cursor`."""
    found = page(account, path, **query)
    items = found["items"]
    while cursor := found["next_cursor"]:
        found = page(account, path, **query, cursor=cursor)
        items += found["items"]
    return items


def ids(items: list[dict[str, Any]]) -> list[str]:
    """The ids, in their order."""
    return [item["id"] for item in items]
