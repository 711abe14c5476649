"""What a personal access token may be used for: every route has a scope, and 403 names it."""

from typing import Any

import pytest
from apiflask import APIFlask

from app.auth import policies
from tests.conftest import Account
from tests.contract import OF_ACCOUNT, ROUTES, Route

SCOPES = ["tasks:read", "tasks:write", "account"]

SIGNED_IN = [r for r in ROUTES if not r.rule.startswith(("/v1/auth/", "/health"))]


def needed(route: Route) -> str:
    """The scope that the contract promises for a route."""
    if route.rule.startswith(OF_ACCOUNT):
        return "account"
    return "tasks:read" if route.method == "GET" else "tasks:write"


def test_every_route_that_wants_a_token_has_a_scope(app: APIFlask) -> None:
    unscoped = []
    for rule in app.url_map.iter_rules():
        checks = app.before_request_funcs.get(rule.endpoint.split(".")[0], [])
        scopes = [check for check in checks if check in {policies.for_tasks, policies.for_account}]
        if len(scopes) != (1 if policies.signed_in in checks else 0):
            unscoped.append(rule.rule)
    assert unscoped == []
    assert {route.endpoint.split(".")[0] for route in SIGNED_IN} == app.config["SECURED_BLUEPRINTS"]


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("route", SIGNED_IN, ids=lambda route: route.name)
def test_a_route_takes_a_token_with_its_scope_and_names_it_to_any_other(
    alice: Account, route: Route, scope: str
) -> None:
    script = alice._replace(token=alice.create_token(scopes=[scope])["token"])
    body: dict[str, Any] = {"json": route.example} if route.body else {}
    if route.name == "create_token":  # which makes none that may do more
        body["json"] = route.example | {"scopes": [scope]}
    response = script.call(route.method, route.path, **body)
    missing = needed(route)
    alone = {"change_password", "delete_me", "change_email", "request_email_verification"}
    if route.name in alone and scope == "account":  # with a sign-in alone
        assert (response.status_code, response.json["type"]) == (403, "/problems/sign-in-required")
        return
    if missing == scope or (missing, scope) == ("tasks:read", "tasks:write"):
        assert response.status_code not in {401, 403}, response.text
        return
    assert (response.status_code, response.json["type"]) == (403, "/problems/insufficient-scope")
    assert response.json["scope"] == missing
    challenge = f'Bearer error="insufficient_scope", scope="{missing}"'
    assert response.headers["WWW-Authenticate"] == challenge


@pytest.mark.parametrize("scope", SCOPES)
def test_head_takes_the_scope_of_a_read(alice: Account, scope: str) -> None:
    script = alice._replace(token=alice.create_token(scopes=[scope])["token"])
    status = 403 if scope == "account" else 200
    assert script.call("HEAD", "/v1/tasks").status_code == status


@pytest.mark.parametrize("route", SIGNED_IN, ids=lambda route: route.name)
def test_the_token_of_a_sign_in_has_every_scope(alice: Account, route: Route) -> None:
    body: dict[str, Any] = {"json": route.example} if route.body else {}
    assert alice.call(route.method, route.path, **body).status_code not in {401, 403}


def test_a_route_that_lacks_its_scope_does_nothing(alice: Account) -> None:
    task = alice.create_task()
    script = alice._replace(token=alice.create_token(scopes=["tasks:read", "account"])["token"])
    path = f"/v1/tasks/{task['id']}"
    for method, target, body in (
        ("POST", "/v1/tasks", {"title": "Another"}),
        ("PUT", path, {"title": "Another"}),
        ("PATCH", path, {"title": "Another"}),
        ("DELETE", path, None),
    ):
        assert script.call(method, target, json=body).status_code == 403
    assert alice.get("/v1/tasks").json["items"] == [task]
