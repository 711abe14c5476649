"""What a request costs, in counts that no clock is needed for: calls and statements.

Flights are in test_flights.py. The calls are those inside the application, built-in ones included.
A bound is what was counted when it was set and a tenth more; whoever makes a request cheaper lowers
it.
"""

import io
import logging
from collections.abc import Callable
from cProfile import Profile
from pstats import Stats
from typing import Any

import orjson
import pytest
from apiflask import APIFlask

from app import create_app
from app.core.logs import JsonFormatter, StandardOutput
from app.core.metrics import tally
from tests.conftest import Account, sending, settings_for
from tests.scrapes import TOKEN

REQUESTS = 20

BOUNDS = {"GET": 590, "LIST": 935, "POST": 700, "PATCH": 715}

METRICS = 27
"""The calls that measuring may add."""

Environ = dict[str, Any]


@pytest.fixture
def kinds(alice: Account) -> dict[str, Callable[[], Environ]]:
    """Makes a request of each kind; no two PATCHes are alike, so that each changes something."""
    made = [alice.create_task(title=f"Task {number}") for number in range(60)]
    path = f"/v1/tasks/{made[0]['id']}"
    titles = (f"Title {number}" for number in range(1_000_000))

    def environ(method: str, path: str, body: object = None) -> Environ:
        content = b"" if body is None else orjson.dumps(body)
        return {
            "REQUEST_METHOD": method,
            "PATH_INFO": path,
            "QUERY_STRING": "",
            "SERVER_NAME": "127.0.0.1",
            "SERVER_PORT": "8000",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": "127.0.0.1",
            "HTTP_HOST": "127.0.0.1:8000",
            "HTTP_AUTHORIZATION": f"Bearer {alice.token}",
            "CONTENT_TYPE": "application/json",
            "CONTENT_LENGTH": str(len(content)),
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(content),
        }

    return {
        "GET": lambda: environ("GET", path),
        "LIST": lambda: environ("GET", "/v1/tasks"),
        "POST": lambda: environ("POST", "/v1/tasks", {"title": "Buy milk", "priority": "high"}),
        "PATCH": lambda: environ("PATCH", path, {"title": next(titles)}),
    }


def answer(app: APIFlask, environ: Environ) -> bytes:
    """The body of a successful answer."""
    statuses: list[str] = []
    body = b"".join(app(environ, lambda status, *_: statuses.append(status)))
    assert statuses[0][0] == "2", body
    return body


def calls(app: APIFlask, make: Callable[[], Environ]) -> float:
    """How many a request of this kind takes."""
    answer(app, make())
    requests = [make() for _ in range(REQUESTS)]
    profile = Profile()
    profile.enable()
    for environ in requests:
        answer(app, environ)
    profile.disable()
    return Stats(profile, stream=io.StringIO()).total_calls / REQUESTS


@pytest.mark.parametrize("kind", BOUNDS)
def test_a_request_takes_no_more_calls_than_it_did(
    app: APIFlask,
    kinds: dict[str, Callable[[], Environ]],
    kind: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    output = StandardOutput()
    output.setFormatter(JsonFormatter())
    monkeypatch.setattr(logging.root, "handlers", [output])  # pytest's take calls, too
    assert calls(app, kinds[kind]) < BOUNDS[kind]


def test_metrics_add_few_calls_to_a_request(
    database_url: str, app: APIFlask, kinds: dict[str, Callable[[], Environ]]
) -> None:
    measuring = create_app(settings_for(database_url, METRICS_TOKEN=TOKEN))
    try:
        assert calls(measuring, kinds["GET"]) - calls(app, kinds["GET"]) < METRICS
    finally:
        tally.use(None)


@pytest.mark.parametrize("kind", BOUNDS)
def test_a_request_is_one_statement(
    app: APIFlask, kinds: dict[str, Callable[[], Environ]], kind: str
) -> None:
    sent: list[str] = []
    with sending(app, lambda sql: sent.append(sql) or sql):
        answer(app, kinds[kind]())
    [statement] = sent
    assert "set local role tasks_app" in statement
    assert "set local statement_timeout" in statement
