"""Browsers: pages of other origins are let in by name, and told what they need."""

from collections.abc import Callable

import pytest
from apiflask import APIFlask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from app import EXPOSED_HEADERS, create_app
from tests.conftest import Account, settings_for
from tests.contract import ROUTES, Route

PAGE = "https://app.example.com"
OTHER_PAGE = "https://other.example.com"
VERSION_1 = [route for route in ROUTES if route.rule.startswith("/v1/")]


@pytest.fixture(scope="module")
def welcoming(database_url: str) -> APIFlask:
    """An application that lets two origins in."""
    origins = f"{PAGE},https://b.example.com"
    app = create_app(settings_for(database_url, CORS_ORIGINS=origins))

    @app.get("/v1/broken")
    def broken() -> str:
        raise RuntimeError("broken")

    return app


def allowed(response: TestResponse) -> dict[str, str]:
    """What the answer allows, by the last part of the header's name."""
    prefix = "access-control-"
    headers = {name.lower(): value for name, value in response.headers.items()}
    return {name: value for name, value in headers.items() if name.startswith(prefix)}


def preflight(client: FlaskClient, route: Route, origin: str) -> TestResponse:
    """What a browser asks before it lets a page send the request, without credentials."""
    asks = {
        "Origin": origin,
        "Access-Control-Request-Method": route.method,
        "Access-Control-Request-Headers": "authorization, content-type, idempotency-key, if-match",
    }
    return client.options(route.path, headers=asks)


def test_no_other_origin_is_let_in_by_default(alice: Account) -> None:
    for route in VERSION_1:
        assert allowed(preflight(alice.client, route, PAGE)) == {}, route.name
    assert allowed(alice.get("/v1/tasks", headers={"Origin": PAGE})) == {}


def test_a_page_of_a_configured_origin_may_send_every_request(welcoming: APIFlask) -> None:
    for route in VERSION_1:
        response = preflight(welcoming.test_client(), route, PAGE)
        assert response.status_code == 200, route.name
        headers = allowed(response)
        assert headers["access-control-allow-origin"] == PAGE
        assert route.method in headers["access-control-allow-methods"].split(", ")
        names = {name.lower() for name in headers["access-control-allow-headers"].split(", ")}
        assert names >= {"authorization", "content-type", "idempotency-key", "if-match"}
        assert int(headers["access-control-max-age"]) > 0
        assert "access-control-allow-credentials" not in headers


def test_a_page_of_another_origin_may_not(welcoming: APIFlask) -> None:
    for route in VERSION_1:
        for origin in (OTHER_PAGE, "null", f"{PAGE}.evil.example", "http://app.example.com", "x"):
            assert allowed(preflight(welcoming.test_client(), route, origin)) == {}, route.name


def test_every_answer_is_readable_to_the_page_with_the_headers_it_needs(
    welcoming: APIFlask, auth: Callable[..., Account]
) -> None:
    caller = auth(welcoming)
    origin = {"Origin": PAGE}
    task = caller.post("/v1/tasks", json={"title": "Buy milk"}, headers=origin)
    path = f"/v1/tasks/{task.json['id']}"
    for response, status in (
        (task, 201),
        (caller.get(path, headers={**origin, "If-None-Match": task.headers["ETag"]}), 304),
        (caller.patch(path, json={}, headers={**origin, "If-Match": '"0"'}), 412),
        (caller.post("/v1/tasks", json={}, headers=origin), 422),
        (caller.put("/v1/tasks", headers=origin), 405),
        (caller.delete(path, headers=origin), 204),
        (caller.get(path, headers=origin), 404),
        (caller.get("/v1/broken", headers=origin), 500),
        (welcoming.test_client().get("/v1/tasks", headers=origin), 401),
    ):
        assert response.status_code == status
        headers = allowed(response)
        assert headers["access-control-allow-origin"] == PAGE
        assert set(headers["access-control-expose-headers"].split(", ")) == set(EXPOSED_HEADERS)
        assert "Origin" in response.headers["Vary"]


def test_the_headers_that_clients_need_are_those_that_are_sent() -> None:
    assert set(EXPOSED_HEADERS) == {
        "Content-Disposition",
        "ETag",
        "Idempotency-Replayed",
        "Link",
        "Location",
        "RateLimit",
        "RateLimit-Policy",
        "Retry-After",
        "WWW-Authenticate",
        "X-Request-ID",
    }


def test_a_page_of_another_origin_cannot_read_what_it_may_have_caused(
    welcoming: APIFlask, auth: Callable[..., Account]
) -> None:
    response = auth(welcoming).get("/v1/tasks", headers={"Origin": OTHER_PAGE})
    assert allowed(response) == {}
    assert "Origin" in response.headers["Vary"]


def test_one_origin_alone_is_told_to_nobody_else(
    database_url: str, auth: Callable[..., Account]
) -> None:
    caller = auth(create_app(settings_for(database_url, CORS_ORIGINS=PAGE)))
    response = caller.get("/v1/tasks", headers={"Origin": PAGE})
    assert allowed(response)["access-control-allow-origin"] == PAGE
    assert "Origin" in response.headers["Vary"]
    assert allowed(caller.get("/v1/tasks", headers={"Origin": OTHER_PAGE})) == {}


@pytest.mark.parametrize(
    ("configured", "others"),
    [
        (
            "http://[::1]:3000",
            ("http://1:3000", "http://::1:3000", "http://1:3000.evil.com", "http://[::1]:30001"),
        ),
        ("http://a.example.com", ("http://aXexample.com", "http://a.example.com.evil.com")),
        ("https://(a|b).example.com", ("https://a.example.com", "https://b.example.com")),
    ],
)
def test_an_origin_is_compared_exactly_whatever_characters_it_has(
    database_url: str, configured: str, others: tuple[str, ...]
) -> None:
    client = create_app(settings_for(database_url, CORS_ORIGINS=configured)).test_client()
    for origin in (configured, configured.upper()):
        answer = client.get("/v1/tasks", headers={"Origin": origin})
        assert allowed(answer)["access-control-allow-origin"] == origin
    for origin in (*others, f"{configured}/", f"x{configured}", f"{configured}:1"):
        assert allowed(client.get("/v1/tasks", headers={"Origin": origin})) == {}


def test_every_kind_of_answer_has_the_security_headers(
    welcoming: APIFlask, auth: Callable[..., Account]
) -> None:
    caller = auth(welcoming)
    task = caller.post("/v1/tasks", json={"title": "Buy milk"})
    path = f"/v1/tasks/{task.json['id']}"
    for response, status in (
        (task, 201),
        (caller.get(path), 200),
        (caller.get(path, headers={"If-None-Match": task.headers["ETag"]}), 304),
        (caller.get("/"), 303),
        (welcoming.test_client().get("/v1/tasks"), 401),
        (caller.get("/nothing"), 404),
        (caller.put("/v1/tasks"), 405),
        (caller.post("/v1/tasks", data="{"), 415),
        (caller.post("/v1/tasks", json={}), 422),
        (caller.get("/v1/broken"), 500),
        (caller.delete(path), 204),
        (caller.get("/docs"), 200),
        (caller.get("/problems"), 200),
        (caller.get("/openapi.json"), 200),
        (caller.get("/static/docs.js", buffered=True), 200),
        (caller.get("/health"), 200),
        (caller.get("/v1/tasks", headers={"Host": "<>"}), 400),
    ):
        headers = response.headers
        assert response.status_code == status
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert headers["Cache-Control"]
        assert "Strict-Transport-Security" not in headers


def test_what_is_a_users_own_is_kept_out_of_shared_caches(alice: Account) -> None:
    assert "private" in alice.get("/v1/tasks").headers["Cache-Control"]
    created = alice.post("/v1/tasks", json={"title": "Buy milk"})
    assert created.headers["Cache-Control"] == "no-store"


def test_no_cache_keeps_the_account_or_a_copy_of_it(alice: Account) -> None:
    tag = alice.get("/v1/me").headers["ETag"]
    for answer in (
        alice.get("/v1/me"),
        alice.get("/v1/me", headers={"If-None-Match": tag}),
        alice.patch("/v1/me", json={"name": "Alice"}),
        alice.get("/v1/export"),
        alice.get("/v1/export?format=csv"),
        alice.get("/v1/export?format=xml"),
    ):
        assert answer.headers["Cache-Control"] == "no-store"
