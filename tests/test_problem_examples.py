"""The examples of problems in the contract: each is what the service answers in that case."""

from collections.abc import Callable
from typing import Any

import httpx
import psycopg2
import pytest
from apiflask import APIFlask

from app import create_app
from app.api.transfer import progress
from app.core.ids import new_id
from app.core.problem_kinds import KINDS
from app.core.problems import Problem
from app.db.base import db
from tests.answers import form
from tests.conftest import PASSWORD, Account, settings_for, trusting
from tests.contract import LINES, NOWHERE
from tests.issuer import Issuer
from tests.people import disable, give_password, sign_in

PROBLEM_JSON = "application/problem+json"
TASK = {"title": "Buy milk", "description": "Two litres", "priority": "high"}
TASK |= {"due_date": "2027-01-31"}

OF_REQUESTS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "bad-request": ("GET", "/v1/tasks?q=%ff", {}),
    "malformed-json": ("POST", "/v1/tasks", {"data": "{", "content_type": "application/json"}),
    "unauthenticated": ("GET", "/v1/tasks", {"headers": {"Authorization": ""}}),
    "invalid-credentials": ("POST", "/v1/auth/refresh", {"json": {"refresh_token": "A" * 64}}),
    "not-found": ("GET", f"/v1/tasks/{new_id()}", {}),
    "length-required": ("POST", "/v1/tasks", {"headers": {"Content-Type": "application/json"}}),
    "content-too-large": ("POST", "/v1/tasks", {"json": {"title": "a" * 3_000_000}}),
    "unsupported-media-type": ("POST", "/v1/tasks", {"data": "a", "content_type": "text/plain"}),
    "validation-failed": ("POST", "/v1/tasks", {"json": {"title": "a" * 201}}),
}
"""Requests that are refused whatever is stored, by the kind of problem."""

OF_FAILURES = {"forbidden", "outcome-unknown", "overloaded", "unfinished"}
"""Kinds that take a failure at the right moment; other suites bring each of them about."""


@pytest.fixture(scope="module")
def documented(app: APIFlask) -> dict[str, Any]:
    """The examples of all problems in the contract, by kind."""
    document = app.test_client().get("/openapi.json").json
    return {
        slug: example["value"]
        for response in document["components"]["responses"].values()
        for slug, example in response["content"][PROBLEM_JSON]["examples"].items()
    }


@pytest.fixture
def shown(documented: dict[str, Any]) -> Callable[[Any, str], None]:
    """Asserts that an answer is the example of its kind, but for ids, times and numbers."""

    def check(answer: Any, slug: str) -> None:
        assert answer["type"] == f"/problems/{slug}"
        assert form(answer) == form(documented[slug])

    return check


def test_the_contract_has_an_example_of_every_problem_that_an_operation_can_answer(
    documented: dict[str, Any],
) -> None:
    of_other_addresses = {405, 416, 417, 501}
    assert set(documented) == {k.slug for k in KINDS.values() if k.status not in of_other_addresses}


@pytest.mark.parametrize("slug", OF_REQUESTS)
def test_a_wrong_request_is_answered_as_shown(
    alice: Account, shown: Callable[[Any, str], None], slug: str
) -> None:
    method, path, options = OF_REQUESTS[slug]
    shown(alice.call(method, path, **options).json, slug)


def test_a_line_or_header_that_is_too_long_is_answered_as_shown(
    server: str, shown: Callable[[Any, str], None]
) -> None:
    too_long = httpx.get(f"{server}/v1/tasks?q={'a' * 20_000}")
    shown(too_long.json(), "uri-too-long")
    shown(httpx.get(f"{server}/v1/tasks", headers={"X": "a" * 20_000}).json(), "headers-too-large")


def test_a_token_without_the_scope_is_answered_as_shown(
    alice: Account, shown: Callable[[Any, str], None]
) -> None:
    reader = alice._replace(token=alice.create_token(scopes=["tasks:read"])["token"])
    shown(reader.post("/v1/tasks", json=TASK).json, "insufficient-scope")


def test_what_only_a_sign_in_may_do_is_answered_as_shown(
    alice: Account, shown: Callable[[Any, str], None]
) -> None:
    script = alice._replace(token=alice.create_token()["token"])
    body = {"current_password": PASSWORD, "new_password": PASSWORD}
    shown(script.post("/v1/me/password", json=body).json, "sign-in-required")


def test_an_account_that_is_disabled_is_answered_as_shown(
    alice: Account, connection: Any, shown: Callable[[Any, str], None]
) -> None:
    give_password(connection, alice)
    disable(connection, alice)
    shown(sign_in(alice.client, alice.email).json, "account-disabled")


def test_a_registration_that_is_closed_is_answered_as_shown(
    database_url: str, shown: Callable[[Any, str], None]
) -> None:
    client = create_app(settings_for(database_url, REGISTRATION="closed")).test_client()
    body = {"email": f"{new_id()}@example.com", "password": PASSWORD}
    shown(client.post("/v1/auth/register", json=body).json, "registration-closed")


def test_a_state_that_refuses_a_write_is_answered_as_shown(
    alice: Account, bob: Account, shown: Callable[[Any, str], None]
) -> None:
    alice.create_category(name="Groceries")
    shown(alice.post("/v1/categories", json={"name": "groceries"}).json, "conflict")
    creating = {"op": "create", "type": "category", "id": new_id(), "body": {"name": "Garden"}}
    replacing = {"op": "replace", "type": "task", "id": new_id(), "body": TASK}
    deleting = {"op": "delete", "type": "task", "id": new_id()}
    batch = {"operations": [creating, replacing, deleting]}
    shown(alice.post("/v1/batch", json=batch).json, "batch-failed")
    old = bob.get("/v1/changes").json["next_token"]
    shown(alice.get(f"/v1/changes?since={old}").json, "changes-gone")
    place = f"/v1/tasks/{new_id()}"
    made = alice.put(place, json=TASK)
    alice.patch(place, json={"title": "Buy oat milk"})
    late = alice.patch(place, json=TASK, headers={"If-Match": made.headers["ETag"]})
    shown(late.json, "precondition-failed")


def test_a_key_that_is_used_again_is_answered_as_shown(
    alice: Account, shown: Callable[[Any, str], None]
) -> None:
    once = {"Idempotency-Key": "once"}
    task = alice.post("/v1/tasks", json=TASK, headers=once).json
    other = alice.post("/v1/tasks", json={"title": "Other"}, headers=once)
    shown(other.json, "idempotency-key-reused")
    alice.delete(f"/v1/tasks/{task['id']}")
    alice.delete(f"/v1/trash/{task['id']}")
    shown(alice.post("/v1/tasks", json=TASK, headers=once).json, "erased")


def test_one_token_too_many_is_answered_as_shown(
    alice: Account, shown: Callable[[Any, str], None]
) -> None:
    for _ in range(100):
        alice.create_token()
    body = {"name": "One more", "scopes": ["account"]}
    shown(alice.post("/v1/tokens", json=body).json, "too-many-tokens")


def test_more_than_a_user_may_send_or_store_is_answered_as_shown(
    auth: Callable[..., Account], database_url: str, shown: Callable[[Any, str], None]
) -> None:
    full = auth(create_app(settings_for(database_url, QUOTA_ROWS="1")))
    full.create_task()
    shown(full.post("/v1/tasks", json=TASK).json, "quota-exceeded")
    fast = auth(create_app(settings_for(database_url, RATELIMIT_PER_USER="1")))
    answers = [fast.get("/v1/tasks") for _ in range(3)]  # of two minutes at most
    answer = next(answer.json for answer in answers if answer.status_code == 429)
    of_thousand = answer["detail"].replace("At most 1 ", "At most 1000 ")
    shown({**answer, "detail": of_thousand}, "too-many-requests")


def test_a_search_that_takes_too_long_is_answered_as_shown(
    alice: Account, cluster: str, shown: Callable[[Any, str], None]
) -> None:
    other = psycopg2.connect(cluster)
    try:
        other.cursor().execute("lock table tasks")
        shown(alice.get("/v1/tasks?q=milk").json, "search-too-slow")
    finally:
        other.close()


def test_an_import_that_ends_early_is_answered_as_shown(
    alice: Account, monkeypatch: pytest.MonkeyPatch, shown: Callable[[Any, str], None]
) -> None:
    monkeypatch.setattr(progress, "LONGEST_SECONDS", -1.0)
    answer = alice.post("/v1/import", data=b"\n", content_type=LINES)
    shown(answer.json, "import-interrupted")


def test_a_database_that_is_away_or_busy_is_answered_as_shown(
    auth: Callable[..., Account], database_url: str, shown: Callable[[Any, str], None]
) -> None:
    away = auth(create_app(settings_for(NOWHERE)))
    shown(away.get("/v1/tasks").json, "database-unavailable")
    small = {"DB_POOL_SIZE": "1", "DB_MAX_OVERFLOW": "0", "DB_POOL_TIMEOUT": "0.1"}
    app = create_app(settings_for(database_url, **small))
    with app.app_context(), db.engine.connect():
        shown(auth(app).get("/v1/tasks").json, "database-busy")


def test_an_issuer_without_its_keys_is_answered_as_shown(
    auth: Callable[..., Account],
    database_url: str,
    issuer: Issuer,
    shown: Callable[[Any, str], None],
) -> None:
    issuer.status = 500
    caller = auth(create_app(trusting(database_url, issuer)))
    answer = caller._replace(token=issuer.sign()).get("/v1/tasks")
    shown(answer.json, "issuer-unavailable")


def test_a_failure_of_the_service_is_answered_as_shown(
    database_url: str, shown: Callable[[Any, str], None]
) -> None:
    app = create_app(settings_for(database_url))

    @app.get("/broken/<slug>")
    def broken(slug: str) -> str:
        raise Problem(KINDS[slug]) if slug in OF_FAILURES else RuntimeError("broken")

    client = app.test_client()
    for slug in OF_FAILURES | {"internal-error"}:
        shown(client.get(f"/broken/{slug}").json, slug)
