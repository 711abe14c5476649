"""Every statement does the same where its parts run one by one, as on a sharded PostgreSQL."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from apiflask import APIFlask

from app import create_app
from app.web.exchange import new_id
from tests.conftest import Account, settings_for
from tests.lines import category, counts, jsonl, send, task
from tests.parts import in_parts
from tests.people import give_password, session, sign_in


@pytest.fixture(scope="module")
def application(database_url: str) -> APIFlask:
    return create_app(settings_for(database_url))


@pytest.fixture
def ran(application: APIFlask) -> Iterator[list[str]]:
    """The parts that were run; while a test is on, all statements run in parts."""
    noted: list[str] = []
    with in_parts(application, noted):
        yield noted


@pytest.fixture
def member(application: APIFlask, auth: Callable[..., Account], connection: Any) -> Account:
    account = auth(application)
    give_password(connection, account)
    return account


@pytest.mark.parametrize("headers", [{}, {"Idempotency-Key": "refresh"}], ids=["plain", "keyed"])
def test_a_refresh_goes_on_with_its_session(
    member: Account, ran: list[str], headers: dict[str, str]
) -> None:
    began = session(member.client, sign_in(member.client, member.email))
    following = session(member.client, began.refresh(headers=headers))
    assert {"presented", "spent", "issued", "reused"} <= set(ran)
    if headers:
        retried = began.refresh(headers=headers)
        assert (retried.status_code, retried.json["refresh_token"]) == (
            200,
            following.refresh_token,
        )
    assert following.lives


@pytest.mark.parametrize("headers", [{}, {"Idempotency-Key": "again"}], ids=["plain", "keyed"])
def test_a_spent_token_that_comes_back_ends_its_session(
    member: Account, ran: list[str], headers: dict[str, str]
) -> None:
    began = session(member.client, sign_in(member.client, member.email))
    following = began.refreshed()
    assert began.refresh(headers=headers).status_code == 401
    assert not following.lives
    assert "reused" in ran


def test_signing_out_ends_the_session(member: Account, ran: list[str]) -> None:
    began = session(member.client, sign_in(member.client, member.email))
    options = {"json": {"refresh_token": began.refresh_token}}
    for replayed in (None, "true"):
        answer = member.post("/v1/auth/logout", headers={"Idempotency-Key": "out"}, **options)
        assert (answer.status_code, answer.headers.get("Idempotency-Replayed")) == (204, replayed)
    assert not began.lives
    assert "ended" in ran


@pytest.mark.parametrize("headers", [{}, {"Idempotency-Key": "write"}], ids=["plain", "keyed"])
def test_a_task_is_written_deleted_restored_and_erased(
    member: Account, ran: list[str], headers: dict[str, str]
) -> None:
    made = member.post("/v1/tasks", json={"title": "Buy milk"}, headers=headers)
    path = f"/v1/tasks/{made.json['id']}"
    assert (made.status_code, made.json["version"]) == (201, 1)
    if headers:
        assert (
            member.post("/v1/tasks", json={"title": "Buy milk"}, headers=headers).json == made.json
        )
    changed = member.patch(path, json={"title": "Buy oat milk"}, headers={"If-Match": '"1"'})
    assert (changed.status_code, changed.json["version"]) == (200, 2)
    assert member.patch(path, json={"title": "x"}, headers={"If-Match": '"1"'}).status_code == 412
    replaced = member.put(path, json={"title": "Buy bread"})
    assert (replaced.status_code, replaced.json["version"]) == (200, 3)
    assert member.put(f"/v1/tasks/{new_id()}", json={"title": "New"}).status_code == 201
    assert member.delete(path).status_code == 204
    restored = member.post(f"{path}/restore", headers=headers)
    assert (restored.status_code, restored.json["title"]) == (200, "Buy bread")
    assert member.delete(path).status_code == 204
    assert member.delete(f"/v1/trash/{made.json['id']}").status_code == 204
    assert member.post(f"{path}/restore").status_code == 404
    assert {"before", "bump", "after", "found", "task_erased"} <= set(ran)


@pytest.mark.parametrize("headers", [{}, {"Idempotency-Key": "token"}], ids=["plain", "keyed"])
def test_tokens_and_the_account_are_written(
    member: Account, ran: list[str], headers: dict[str, str]
) -> None:
    wanted = {"name": "A script", "scopes": ["tasks:read"]}
    made = member.post("/v1/tokens", json=wanted, headers=headers)
    assert made.status_code == 201, made.text
    if headers:
        assert member.post("/v1/tokens", json=wanted, headers=headers).json == made.json
    script = member._replace(token=made.json["token"])
    assert script.get("/v1/tasks").status_code == 200
    assert member.delete(f"/v1/tokens/{made.json['id']}").status_code == 204
    assert member.patch("/v1/me", json={"name": "Alice"}).json["name"] == "Alice"
    assert member.delete("/v1/me").status_code == 204
    assert member.get("/v1/me").status_code == 401
    assert {"after", "expired"} <= set(ran)


def test_a_category_that_is_deleted_leaves_its_tasks(member: Account, ran: list[str]) -> None:
    path = f"/v1/categories/{(made := member.create_category())['id']}"
    inside = member.create_task(category_id=made["id"])
    assert member.delete(path).status_code == 204
    assert member.get(f"/v1/tasks/{inside['id']}").json["category_id"] is None
    kinds = [item["type"] for item in member.get("/v1/changes").json["items"]]
    assert kinds.count("task") == 1
    assert member.post(f"{path}/restore").status_code == 200
    assert ran


@pytest.mark.parametrize("headers", [{}, {"Idempotency-Key": "import"}], ids=["plain", "keyed"])
def test_an_import_writes_what_differs_once(
    member: Account, ran: list[str], headers: dict[str, str]
) -> None:
    body = jsonl(category(), task())
    assert counts(send(member, body, **headers).json) == (2, 0, 0, 0)
    assert counts(send(member, body).json) == (0, 0, 2, 0)
    assert {"line", "bump", "after"} <= set(ran)
