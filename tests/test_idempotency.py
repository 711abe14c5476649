"""Idempotency keys: the same request sent twice is done once and answered alike."""

from base64 import urlsafe_b64encode
from collections.abc import Callable
from typing import Any, NamedTuple
from uuid import UUID

import pytest
from werkzeug.test import TestResponse

from app.core.ids import new_id
from tests.assertions import refused
from tests.conftest import PASSWORD, Account
from tests.people import give_password, outlast_grace, sign_in
from tests.walking import ids, walk


class Creation(NamedTuple):
    """A POST, its success, and another body for the same route."""

    path: str
    status: int
    body: dict[str, Any]
    other: dict[str, Any]


ROUTES = [
    "/v1/tasks",
    "/v1/categories",
    "/v1/tokens",
    "/v1/auth/register",
    "/v1/auth/token",
    "/v1/auth/refresh",
    "/v1/auth/logout",
]


@pytest.fixture
def creation(alice: Account, connection: Any) -> Callable[[str], Creation]:
    """Makes a request to the route that succeeds; signing in is cheap here."""
    give_password(connection, alice)

    def make(route: str) -> Creation:
        credentials = {"email": alice.email, "password": PASSWORD}
        if route == "/v1/tasks":
            return Creation(route, 201, {"title": "Buy milk"}, {"title": "Buy bread"})
        if route == "/v1/categories":
            body = {"name": "Home", "color": "#00ff00"}
            return Creation(route, 201, body, {"name": "Work"})
        if route == "/v1/tokens":
            body = {"name": "A script", "scopes": ["tasks:read"]}
            return Creation(route, 201, body, {**body, "scopes": ["account"]})
        if route == "/v1/auth/register":
            other = {**credentials, "email": f"{new_id()}@example.com"}
            return Creation(route, 201, {**other, "name": "Alice"}, other)
        if route == "/v1/auth/token":
            return Creation(route, 200, credentials, {**credentials, "email": alice.email.upper()})
        first, second = (
            {"refresh_token": alice.post("/v1/auth/token", json=credentials).json["refresh_token"]}
            for _ in range(2)
        )
        return Creation(route, 204 if route == "/v1/auth/logout" else 200, first, second)

    return make


def send(caller: Account, creation: Creation, key: str = "once", **options: Any) -> TestResponse:
    headers = {"Idempotency-Key": key}
    return caller.post(creation.path, headers=headers, **(options or {"json": creation.body}))


def what_was_answered(response: TestResponse) -> tuple[Any, ...]:
    """All of an answer but what names the request and marks the replay."""
    headers = dict(response.headers)
    for name in ("X-Request-ID", "Idempotency-Replayed"):
        headers.pop(name, None)
    return response.status_code, response.data, headers


def age(connection: Any, key: str, interval: str) -> None:
    """Let the key be that much older."""
    with connection.cursor() as cursor:
        cursor.execute(
            "select created_at - %s::interval from idempotency_keys where key = %s", (interval, key)
        )
        cursor.execute(
            "update idempotency_keys set created_at = %s where key = %s", (*cursor.fetchone(), key)
        )
        assert cursor.rowcount == 1


@pytest.mark.parametrize("route", ROUTES)
def test_a_request_sent_again_is_answered_again_byte_for_byte(
    alice: Account, creation: Callable[[str], Creation], route: str
) -> None:
    request = creation(route)
    first, *again = (send(alice, request) for _ in range(3))
    assert first.status_code == request.status
    assert "Idempotency-Replayed" not in first.headers
    for response in again:
        assert response.headers["Idempotency-Replayed"] == "true"
        assert what_was_answered(response) == what_was_answered(first)


@pytest.mark.parametrize("route", ROUTES)
def test_a_key_sent_with_another_body_is_refused(
    alice: Account, creation: Callable[[str], Creation], route: str
) -> None:
    request = creation(route)
    first = send(alice, request)
    refusal = send(alice, request, json=request.other)
    assert refusal.status_code == 422
    assert refusal.json["type"] == "/problems/idempotency-key-reused"
    assert what_was_answered(send(alice, request)) == what_was_answered(first)


@pytest.mark.parametrize("route", ROUTES)
def test_a_malformed_key_is_refused_and_nothing_is_done(
    alice: Account, creation: Callable[[str], Creation], route: str
) -> None:
    request = creation(route)
    for key in ("", " ", "a b", "\xe9", "a\x7f", "x" * 256):
        assert refused(send(alice, request, key), "idempotency_key", header="Idempotency-Key")
    assert send(alice, request).status_code == request.status


def test_any_visible_characters_make_a_key(alice: Account) -> None:
    for key in ("!", "~" * 255, '"8e03978e-40d5"', "%s%(user_id)s\\';--"):
        for replayed in (None, "true"):
            response = send(alice, Creation("/v1/tasks", 201, {"title": key[:9]}, {}), key)
            assert response.headers.get("Idempotency-Replayed") == replayed
    assert len(walk(alice)) == 4


def test_a_create_sent_again_makes_one_row(
    alice: Account, creation: Callable[[str], Creation]
) -> None:
    for route in ("/v1/tasks", "/v1/categories"):
        made = [send(alice, creation(route)).json["id"] for _ in range(3)]
        assert ids(walk(alice, route)) == made[:1]
    assert alice.create_task()["version"] == 3


@pytest.mark.parametrize("meanwhile", ["PATCH", "DELETE"])
@pytest.mark.parametrize("route", ["/v1/tasks", "/v1/categories"])
def test_the_first_answer_is_replayed_whatever_became_of_the_row(
    alice: Account, creation: Callable[[str], Creation], route: str, meanwhile: str
) -> None:
    request = creation(route)
    first = send(alice, request)
    options = {"json": request.other} if meanwhile == "PATCH" else {}
    assert alice.call(meanwhile, first.headers["Location"], **options).status_code < 300
    now = alice.get(first.headers["Location"])
    assert what_was_answered(send(alice, request)) == what_was_answered(first)
    assert alice.get(first.headers["Location"]).json.get("version") == now.json.get("version")


def test_a_task_with_every_field_is_replayed_to_the_microsecond(alice: Account) -> None:
    category_id = alice.create_category()["id"]
    body = {
        "title": "\t\U0001f95b \\u0000 \" {'é'} ",
        "description": "\n\r\x01\u2028",
        "complete": True,
        "priority": "high",
        "due_at": "2026-06-01T12:00:00.000001+02:00",
        "category_id": category_id,
    }
    request = Creation("/v1/tasks", 201, body, {})
    first = send(alice, request)
    assert alice.delete(f"/v1/categories/{category_id}").status_code == 204
    assert first.status_code == 201
    assert what_was_answered(send(alice, request)) == what_was_answered(first)


@pytest.mark.parametrize("route", ["/v1/tasks", "/v1/categories"])
def test_how_the_body_is_written_does_not_matter_but_what_it_says(
    alice: Account, route: str
) -> None:
    name = "title" if route == "/v1/tasks" else "name"
    clear = "description" if route == "/v1/tasks" else "color"
    request = Creation(route, 201, {name: "Home", clear: None}, {})
    first = send(alice, request)
    rewritten = f'{{ "{clear}" : null,\n "{name}": "\\u0048ome" }}'
    again = send(alice, request, data=rewritten, content_type="application/json")
    assert what_was_answered(again) == what_was_answered(first)


def test_a_key_belongs_to_one_user_and_one_route(alice: Account, bob: Account) -> None:
    tasks = Creation("/v1/tasks", 201, {"title": "Buy milk"}, {})
    categories = Creation("/v1/categories", 201, {"name": "Home"}, {})
    for request in (tasks, categories):
        for account in (alice, bob):
            response = send(account, request)
            assert response.status_code == 201
            assert response.json["user_id"] == account.user_id
            assert "Idempotency-Replayed" not in response.headers


@pytest.mark.parametrize("route", [route for route in ROUTES if "register" not in route])
def test_a_key_is_kept_for_a_day_and_then_free(
    alice: Account, creation: Callable[[str], Creation], connection: Any, route: str
) -> None:
    request, key = creation(route), new_id()
    first = send(alice, request, key)
    age(connection, key, "23:59:00")
    assert what_was_answered(send(alice, request, key)) == what_was_answered(first)
    age(connection, key, "00:01:01")
    anew = send(alice, request, key, json=request.other)
    assert (anew.status_code, "Idempotency-Replayed" in anew.headers) == (request.status, False)
    again = send(alice, request, key, json=request.other)
    assert what_was_answered(again) == what_was_answered(anew)


def test_an_expired_registration_finds_its_address_taken(
    alice: Account, creation: Callable[[str], Creation], connection: Any
) -> None:
    request, key = creation("/v1/auth/register"), new_id()
    assert send(alice, request, key).status_code == 201
    age(connection, key, "24:00:01")
    assert send(alice, request, key).status_code == 409


def test_a_retried_refresh_is_no_reuse_of_a_spent_token_and_another_key_is(
    alice: Account, creation: Callable[[str], Creation], connection: Any
) -> None:
    request = creation("/v1/auth/refresh")
    pair = send(alice, request).json
    outlast_grace(connection, alice.user_id)
    assert send(alice, request).json == pair
    assert send(alice, request, "another").status_code == 401
    following = {"refresh_token": pair["refresh_token"]}
    assert send(alice, request, "third", json=following).status_code == 401


def test_a_wrong_password_is_not_helped_by_a_key_that_was_answered(
    alice: Account, creation: Callable[[str], Creation]
) -> None:
    request = creation("/v1/auth/token")
    assert send(alice, request).status_code == 200
    wrong = {**request.body, "password": "not the password"}
    elsewhere = {"REMOTE_ADDR": "192.0.2.1"}  # failed sign-ins are counted by address
    response = send(alice, request, json=wrong, environ_overrides=elsewhere)
    assert response.status_code == 401


def test_the_key_of_a_registration_tells_strangers_nothing_of_the_account(
    alice: Account, creation: Callable[[str], Creation]
) -> None:
    request = creation("/v1/auth/register")
    assert send(alice, request).status_code == 201
    guess = {**request.body, "password": "a guess of the password"}
    elsewhere = {"REMOTE_ADDR": "192.0.2.2"}  # failed sign-ins are counted by address
    refusal = send(alice, request, json=guess, environ_overrides=elsewhere)
    keyless = alice.post(request.path, json=guess)
    assert refusal.status_code == keyless.status_code == 409
    assert {**refusal.json, "instance": ""} == {**keyless.json, "instance": ""}


@pytest.mark.parametrize("route", ROUTES[:5])
def test_a_request_that_breaks_a_rule_leaves_the_key_unused(
    alice: Account, creation: Callable[[str], Creation], route: str
) -> None:
    request = creation(route)
    assert send(alice, request, json={**request.body, "extra": 1}).status_code == 422
    response = send(alice, request)
    assert (response.status_code, "Idempotency-Replayed" in response.headers) == (
        request.status,
        False,
    )


def test_a_task_refused_for_its_category_may_be_sent_again_with_its_key(alice: Account) -> None:
    category_id = new_id()
    request = Creation("/v1/tasks", 201, {"title": "x", "category_id": category_id}, {})
    assert refused(send(alice, request), "unknown_reference", pointer="/category_id")
    assert alice.put(f"/v1/categories/{category_id}", json={"name": "Home"}).status_code == 201
    response = send(alice, request)
    assert (response.status_code, "Idempotency-Replayed" in response.headers) == (201, False)


def test_a_category_refused_for_its_name_may_be_sent_again_with_its_key(alice: Account) -> None:
    taken = alice.create_category(name="HOME")
    request = Creation("/v1/categories", 201, {"name": "Home"}, {})
    assert send(alice, request).status_code == 409
    assert alice.delete(f"/v1/categories/{taken['id']}").status_code == 204
    response = send(alice, request)
    assert (response.status_code, "Idempotency-Replayed" in response.headers) == (201, False)


def test_what_is_kept_of_a_sign_in_has_neither_password_nor_token(
    alice: Account, creation: Callable[[str], Creation], connection: Any
) -> None:
    request, key = creation("/v1/auth/token"), new_id()
    pair = send(alice, request, key).json
    with connection.cursor() as cursor:
        cursor.execute("select k::text from idempotency_keys k where key = %s", (key,))
        (kept,) = cursor.fetchone()
    for secret in (PASSWORD, pair["access_token"], pair["refresh_token"]):
        assert secret not in kept


@pytest.mark.parametrize(("path", "status"), [("refresh", 401), ("logout", 204)])
def test_a_stranger_cannot_find_out_which_keys_were_used(
    alice: Account, connection: Any, path: str, status: int
) -> None:
    give_password(connection, alice)
    keyed = {"Idempotency-Key": new_id()}
    mine = {"refresh_token": sign_in(alice.client, alice.email).json["refresh_token"]}
    used = alice.client.post(f"/v1/auth/{path}", json=mine, headers=keyed)
    assert used.status_code in {200, 204}

    forged = urlsafe_b64encode(UUID(alice.user_id).bytes + bytes(32)).decode()
    refused = alice.client.post(f"/v1/auth/{path}", json={"refresh_token": forged}, headers=keyed)
    assert refused.status_code == status
    assert "Idempotency-Replayed" not in refused.headers
