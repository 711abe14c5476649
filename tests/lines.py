"""JSON lines: how tests read an export and send an import."""

import json
from typing import Any

from werkzeug.test import TestResponse

from app.api.kinds import KINDS
from app.core.ids import new_id
from tests.conftest import Account
from tests.contract import LINES


def exported(account: Account) -> bytes:
    """The whole account."""
    response = account.get("/v1/export")
    assert (response.status_code, response.mimetype) == (200, LINES), response.text
    return response.data


def parsed(data: bytes) -> list[dict[str, Any]]:
    """What each line says."""
    return [json.loads(line) for line in data.splitlines()]


def without_account(data: bytes) -> bytes:
    """All but the first line, which is the account's own."""
    return data.split(b"\n", 1)[1]


def jsonl(*lines: dict[str, Any]) -> bytes:
    """What says so."""
    return "".join(f"{json.dumps(line)}\n" for line in lines).encode()


def task(**fields: Any) -> dict[str, Any]:
    """The line of a task."""
    return {"type": "task", "data": {"id": new_id(), "title": "Buy milk", **fields}}


def category(**fields: Any) -> dict[str, Any]:
    """The line of a category."""
    return {"type": "category", "data": {"id": new_id(), "name": new_id(), **fields}}


def counted(**rows: int) -> dict[str, int]:
    """What the last line of an export counts: so many rows of these kinds, and none of others."""
    return dict.fromkeys((kind.plural for kind in KINDS.values()), 0) | rows


def send(account: Account, data: bytes, **headers: str) -> TestResponse:
    """Import these bytes."""
    return account.post(
        "/v1/import",
        data=data,
        headers={"Content-Type": LINES, **headers},
        environ_overrides={"CONTENT_LENGTH": str(len(data))},
    )


def imported(account: Account, *lines: dict[str, Any]) -> dict[str, Any]:
    """The report on the import of these lines."""
    response = send(account, jsonl(*lines))
    assert response.status_code == 200, response.text
    report: dict[str, Any] = response.json
    return report


def counts(report: dict[str, Any]) -> tuple[int, int, int, int]:
    """How many lines were created, updated, unchanged, refused."""
    return tuple(report[name] for name in ("created", "updated", "unchanged", "refused"))


def reasons(report: dict[str, Any]) -> list[tuple[int, str, str]]:
    """The line, the place and the reason of each refusal."""
    return [
        (refusal["line"], error["pointer"], error["code"])
        for refusal in report["refusals"]
        for error in refusal["errors"]
    ]
