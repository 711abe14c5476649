"""Every statement does the same where its parts run one by one, as on a sharded PostgreSQL."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from apiflask import APIFlask

from app import create_app
from app.api.users import routes
from app.core.ids import new_id
from tests.conftest import PASSWORD, Account, settings_for
from tests.parts import in_parts
from tests.people import CHEAP_HASH, as_of, give_password, outlast_grace, session, sign_in


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
    member: Account, ran: list[str], headers: dict[str, str], connection: Any
) -> None:
    began = session(member.client, sign_in(member.client, member.email))
    following = began.refreshed()
    outlast_grace(connection, member.user_id)
    assert began.refresh(headers=headers).status_code == 401
    assert not following.lives
    assert "reused" in ran


@pytest.mark.parametrize("headers", [{}, {"Idempotency-Key": "tab"}], ids=["plain", "keyed"])
def test_two_tabs_that_refresh_at_once_both_stay_signed_in(
    member: Account, ran: list[str], headers: dict[str, str]
) -> None:
    began = session(member.client, sign_in(member.client, member.email))
    renewed = [began.refreshed(), session(member.client, began.refresh(headers=headers))]
    assert all(each.lives for each in renewed)
    assert "surplus_at_once" in ran


def test_a_change_of_the_password_ends_the_other_sessions(
    member: Account, ran: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routes, "generate_password_hash", lambda _: CHEAP_HASH)
    other, here = (session(member.client, sign_in(member.client, member.email)) for _ in range(2))
    body = {"current_password": PASSWORD, "new_password": PASSWORD}
    assert as_of(member, here).post("/v1/me/password", json=body).status_code == 204
    assert (other.lives, here.lives) == (False, True)
    assert {"changed", "ended"} <= set(ran)
    assert as_of(member, here).delete("/v1/sessions").status_code == 204
    assert as_of(member, here).get("/v1/me").status_code == 200


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
