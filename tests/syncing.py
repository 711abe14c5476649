"""A client that keeps a copy of an account by the feed of changes."""

from typing import Any, Self
from urllib.parse import urlencode

from tests.conftest import Account


def page(account: Account, **query: Any) -> dict[str, Any]:
    """One page of changes."""
    response = account.get(f"/v1/changes?{urlencode(query)}")
    assert response.status_code == 200, response.text
    return response.json


class Copy:
    """What a client knows: every live resource by its id, and the token to go on with."""

    def __init__(self, account: Account) -> None:
        self.account = account
        self.items: dict[str, dict[str, Any]] = {}
        self.token: str | None = None
        self.has_more = True

    def pull(self, **query: Any) -> list[int]:
        """Take one page in; the versions that it told of."""
        changes = page(self.account, **query, **({"since": self.token} if self.token else {}))
        self.token, self.has_more = changes["next_token"], changes["has_more"]
        for item in changes["items"]:
            if item["deleted"]:
                self.items.pop(item["id"], None)
            else:
                self.items[item["id"]] = item["data"]
        return [item["version"] for item in changes["items"]]

    def pulled(self, **query: Any) -> Self:
        """Itself, when there is nothing more to take in."""
        self.pull(**query)
        while self.has_more:
            self.pull(**query)
        return self
