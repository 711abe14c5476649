"""A task that was moved in from another app."""

import json

from tests.conftest import Account

FILE = {"items": [{"id": "L", "title": "Moved", "items": [{"id": "t", "title": "Moved in"}]}]}


def move_in(account: Account) -> None:
    """Give the user one, with the category that its list becomes."""
    data = json.dumps(FILE).encode()
    answer = account.post(
        "/v1/import?format=google",
        data=data,
        content_type="application/json",
        environ_overrides={"CONTENT_LENGTH": str(len(data))},
    )
    assert (answer.status_code, answer.json["created"]) == (200, 2), answer.text
