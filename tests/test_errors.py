"""Errors: one vocabulary, explained on pages, telling nothing that is not the caller's business."""

import json
from collections.abc import Callable
from threading import Thread
from typing import Any

import pytest
from apiflask import APIFlask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from app import create_app
from app.api.transfer.schemas import EXAMPLE
from app.core.problem_kinds import BY_STATUS, KINDS, ProblemKind
from app.db.base import db
from tests.conftest import Account, settings_for
from tests.contract import LINES, NOWHERE, ROUTES, Route
from tests.locks import held, until, waiting

TELLTALE = ("127.0.0.1", "localhost", "select ", "update users", "hunter2", "psycopg2", "Traceback")
"""Of a host, a statement, a secret or a stack."""


def problem(response: TestResponse, kind: str) -> dict[str, Any]:
    """The problem document, which is of this kind and gives nothing away."""
    assert response.mimetype == "application/problem+json", response.text
    document = response.json
    assert document["type"] == f"/problems/{kind}"
    assert response.status_code == document["status"] == KINDS[kind].status
    assert document["title"] == KINDS[kind].title
    assert document["instance"] == response.headers["X-Request-ID"]
    assert not [word for word in TELLTALE if word.lower() in response.text.lower()]
    return document


def logged(capsys: pytest.CaptureFixture[str]) -> tuple[str, list[dict[str, Any]]]:
    """What was written to standard output: the text, and its lines."""
    text = capsys.readouterr().out
    return text, [json.loads(line) for line in text.splitlines()]


def lost(auth: Callable[..., Account], **environment: str) -> Account:
    """A user of an application whose database is away."""
    return auth(create_app(settings_for(NOWHERE, **environment)))


# The vocabulary


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.slug)
def test_every_kind_of_problem_has_a_page_that_explains_it(
    client: FlaskClient, kind: ProblemKind
) -> None:
    page = client.get(f"/problems/{kind.slug}")
    assert (page.status_code, page.mimetype) == (200, "text/html")
    for text in (kind.title, f"<code>{kind.status}</code>", kind.slug):
        assert text in page.text


def test_one_page_lists_all_kinds(client: FlaskClient) -> None:
    page = client.get("/problems").text
    assert all(f'href="/problems/{slug}"' in page for slug in KINDS)


def test_an_unknown_kind_is_a_problem_itself(client: FlaskClient) -> None:
    problem(client.get("/problems/unheard-of"), "not-found")


def test_each_status_has_a_kind_of_that_status() -> None:
    assert all(kind.status == status for status, kind in BY_STATUS.items())
    assert {kind.status for kind in KINDS.values()} == set(BY_STATUS)


# What Flask and Werkzeug answer


@pytest.mark.parametrize(
    "path", ["/nothing", "/v1", "/v1/tasks/", "/V1/tasks", "/v1/users", "/static/x"]
)
def test_an_unknown_path_is_404(alice: Account, path: str) -> None:
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
        response = alice.call(method, "/", environ_overrides={"PATH_INFO": path})
        if not path.startswith("/static") or method == "GET":
            problem(response, "not-found")


@pytest.mark.parametrize("rule", sorted({route.rule for route in ROUTES}))
def test_a_method_that_a_path_does_not_take_is_405_and_says_which_it_takes(
    alice: Account, rule: str
) -> None:
    taken = {route.method for route in ROUTES if route.rule == rule}
    taken |= {"OPTIONS"} | ({"HEAD"} if "GET" in taken else set())
    path = next(route.path for route in ROUTES if route.rule == rule)
    for method in {"GET", "POST", "PUT", "PATCH", "DELETE", "TRACE", "FOO"} - taken:
        response = alice.call(method, path)
        problem(response, "method-not-allowed")
        assert set(response.headers["Allow"].split(", ")) == taken


# What nobody foresaw


@pytest.fixture
def broken(database_url: str) -> APIFlask:
    """An application with a view that fails."""
    app = create_app(settings_for(database_url))

    @app.get("/broken")
    def broken_view() -> str:
        raise RuntimeError("an unforeseen thing at postgresql://bob:hunter2@db.example.com/x")

    return app


def test_an_unforeseen_error_is_500_and_tells_the_log_alone(
    broken: APIFlask, capsys: pytest.CaptureFixture[str]
) -> None:
    response = broken.test_client().get("/broken")
    document = problem(response, "internal-error")
    assert "unforeseen thing" not in response.text
    text, lines = logged(capsys)
    error = next(line for line in lines if line["level"] == "ERROR")
    assert error["request_id"] == document["instance"]
    assert "RuntimeError: an unforeseen thing" in error["exception"]
    assert "broken_view" in error["exception"]
    assert "hunter2" not in text


# The database


def test_a_statement_that_takes_too_long_is_503_and_changes_nothing(
    alice: Account, connection: Any, database_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    hasty = create_app(settings_for(database_url, DB_STATEMENT_TIMEOUT="0.2")).test_client()
    with held(connection, alice.user_id):
        response = alice._replace(client=hasty).post("/v1/tasks", json={"title": "Buy milk"})
    problem(response, "database-busy")
    assert int(response.headers["Retry-After"]) >= 1
    assert alice.get("/v1/tasks").json["items"] == []
    text, _ = logged(capsys)
    assert not [word for word in TELLTALE if word.lower() in text.lower()]


CALLS = [route for route in ROUTES if route.endpoint.split(".")[0] != "health"]


@pytest.mark.parametrize("route", CALLS, ids=lambda route: route.name)
def test_a_database_that_is_away_is_503_on_every_route(
    auth: Callable[..., Account], capsys: pytest.CaptureFixture[str], route: Route
) -> None:
    caller = lost(auth)
    body = {"refresh_token": "A" * 64} if route.rule.endswith(("refresh", "logout")) else None
    body = body or (route.example if route.body else None)
    lines_of_json = {"data": EXAMPLE, "content_type": LINES}
    sent = lines_of_json if route.takes_lines else {"json": body}
    response = caller.call(route.method, route.path, **sent)
    problem(response, "database-unavailable")
    assert int(response.headers["Retry-After"]) >= 1
    text, lines = logged(capsys)
    assert any(line["message"].startswith("the database is not available") for line in lines)
    assert not [word for word in TELLTALE if word.lower() in text.lower().replace("psycopg2.", "")]


def test_a_pool_with_no_connection_left_is_503(
    auth: Callable[..., Account], database_url: str
) -> None:
    small = {"DB_POOL_SIZE": "1", "DB_MAX_OVERFLOW": "0", "DB_POOL_TIMEOUT": "0.1"}
    app = create_app(settings_for(database_url, **small))
    caller = auth(app)
    with app.app_context(), db.engine.connect():
        response = caller.get("/v1/tasks")
    problem(response, "database-busy")
    assert int(response.headers["Retry-After"]) >= 1
    assert caller.get("/v1/tasks").status_code == 200


def test_a_session_that_is_killed_is_503_and_the_next_request_is_served(
    auth: Callable[..., Account], database_url: str, connection: Any
) -> None:
    caller = auth(create_app(settings_for(database_url)))
    assert caller.get("/v1/tasks").status_code == 200
    answers: list[TestResponse] = []
    create = Thread(
        target=lambda: answers.append(caller.post("/v1/tasks", json={"title": "Buy milk"}))
    )
    with held(connection, caller.user_id), connection.cursor() as cursor:
        create.start()
        until(lambda: waiting(connection))
        cursor.execute("select pg_terminate_backend(%s)", waiting(connection))
        create.join(timeout=20)
    problem(answers[0], "outcome-unknown")
    assert caller.get("/v1/tasks").json["items"] == []
