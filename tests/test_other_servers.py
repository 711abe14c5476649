"""The application under other WSGI servers: gunicorn's own gthread, and Granian.

What holds there without app/server; docs/operations/other-servers.md says what does not.
"""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT, Account, gunicorn_process
from tests.locks import held, until, waiting
from tests.raw import GET, PROMPT, answered, ask, asking, connect, connections
from tests.rig.proxy import Proxy

pytestmark = pytest.mark.slow

PAGE = (ROOT / "docs" / "operations" / "other-servers.md").read_text()
COMMANDS = {
    "gthread": "gunicorn -k gthread wsgi:app",
    "granian": "granian --interface wsgi --workers 1 --blocking-threads 4 wsgi:app",
}


@contextmanager
def serving(name: str, database_url: str, log: Path) -> Iterator[str]:
    """The application under this server, with four threads; yields its base URL."""
    few = {"WEB_CONCURRENCY": "1", "WEB_THREADS": "4"}
    short = {"DB_STATEMENT_TIMEOUT": "1", "REQUEST_DEADLINE": "3"}
    with gunicorn_process(database_url, log, COMMANDS[name], **few, **short) as (base, _):
        yield base


@pytest.fixture(scope="module", params=COMMANDS)
def elsewhere(
    request: pytest.FixtureRequest, database_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    log = tmp_path_factory.mktemp(request.param) / "log"
    with serving(request.param, database_url, log) as base:
        yield base


def called(
    base: str, path: str, account: Account, method: str = "GET", **fields: object
) -> tuple[int, dict[str, str], Any]:
    """Status, headers and JSON of the answer to a request of this user."""
    body = json.dumps(fields).encode() if fields else b""
    status, headers, answer = ask(base, asking(path, account, method, body))
    return status, headers, json.loads(answer)


def prompt(base: str, request: bytes) -> bool:
    """Whether the request is served, and at once; without hanging up before the answer."""
    started = time.monotonic()
    return ask(base, request)[0] == 200 and time.monotonic() - started < PROMPT


def test_the_page_names_the_commands() -> None:
    for command in COMMANDS.values():
        assert f"\n{command}\n" in PAGE


def test_requests_are_served_and_users_are_kept_apart(
    elsewhere: str, alice: Account, bob: Account
) -> None:
    status, headers, task = called(elsewhere, "/v1/tasks", alice, "POST", title="Buy milk")
    assert (status, headers["location"]) == (201, f"/v1/tasks/{task['id']}")
    path = f"/v1/tasks/{task['id']}"
    assert called(elsewhere, path, alice)[::2] == (200, task)
    assert called(elsewhere, "/v1/tasks", bob)[2]["items"] == []
    for method in ("GET", "DELETE"):
        status, headers, problem = called(elsewhere, path, bob, method)
        assert (status, problem["type"]) == (404, "/problems/not-found")
        assert headers["content-type"] == "application/problem+json"
    assert called(elsewhere, path, alice)[::2] == (200, task)


def test_requests_that_wait_for_a_lock_end_with_the_time_of_a_statement(
    elsewhere: str, alice: Account, bob: Account, connection: Any
) -> None:
    change = asking("/v1/tasks", alice, "POST", b'{"title": "Buy milk"}')
    with held(connection, alice.user_id), connections(elsewhere, 3, change) as clients:
        until(lambda: waiting(connection))
        assert prompt(elsewhere, asking("/v1/me", bob))
        answers = [answered(client) for client in clients]
    for status, headers, body in answers:
        assert (status, json.loads(body)["type"]) == (503, "/problems/database-busy")
        assert int(headers["retry-after"]) >= 1
    assert called(elsewhere, "/v1/tasks", alice)[2]["items"] == []


def test_a_long_poll_ends_with_a_change_and_leaves_threads_to_others(
    elsewhere: str, auth: Callable[..., Account]
) -> None:
    accounts, last = [auth() for _ in range(6)], auth()
    with ExitStack() as stack:
        clients = []
        for account in accounts:
            token = called(elsewhere, "/v1/changes", account)[2]["next_token"]
            client = stack.enter_context(connect(elsewhere))
            client.sendall(asking(f"/v1/changes?since={token}&wait=25", account))
            clients.append(client)
        assert prompt(elsewhere, asking("/v1/me", last))
        for account in accounts:
            assert called(elsewhere, "/v1/tasks", account, "POST", title="Buy milk")[0] == 201
        started = time.monotonic()
        assert {answered(client)[0] for client in clients} == {200}
        assert time.monotonic() - started < 20


@pytest.mark.parametrize("name", COMMANDS)
def test_a_database_that_says_nothing_holds_no_request_beyond_its_deadline(
    name: str, database_url: str, tmp_path: Path, alice: Account
) -> None:
    with Proxy(database_url) as way, serving(name, way.url, tmp_path / "log") as base:
        assert called(base, "/v1/tasks", alice)[0] == 200
        way.faults.black_hole = True
        started = time.monotonic()
        status, _, problem = called(base, "/v1/tasks", alice)
        assert (status, problem["type"]) == (503, "/problems/database-unavailable")
        assert time.monotonic() - started < 8  # of the three that it has, on a busy machine
        assert prompt(base, GET)
