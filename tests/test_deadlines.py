"""A request has one deadline for all that it waits for, whatever the server does or does not do."""

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from werkzeug.test import TestResponse

from app import create_app
from app.core import deadline
from app.db.base import GATE, db
from tests.conftest import Account, sending, settings_for
from tests.databases import migrate
from tests.locks import until
from tests.rig.cluster import Cluster
from tests.rig.proxy import Proxy

HASTY = {"DB_STATEMENT_TIMEOUT": "0.5", "DB_CONNECT_TIMEOUT": "1", "REQUEST_DEADLINE": "2"}
SLACK_SECONDS = 4.0
"""For a machine that is busy with other tests; without a deadline it would be for ever."""


@pytest.fixture(scope="module")
def cluster_to_freeze() -> Iterator[Cluster]:
    with Cluster.throwaway() as cluster:
        migrate(cluster.url)
        yield cluster


@contextmanager
def frozen(cluster: Cluster) -> Iterator[None]:
    cluster.freeze()
    try:
        yield
    finally:
        cluster.thaw()


def timed(call: Callable[[], TestResponse]) -> tuple[TestResponse, float]:
    started = time.monotonic()
    return call(), time.monotonic() - started


def is_problem(response: TestResponse, slug: str) -> bool:
    assert response.status_code == 503, response.text
    assert int(response.headers["Retry-After"]) >= 1
    return bool(response.json["type"] == f"/problems/{slug}")


def stranger(url: str, **environment: str) -> Account:
    """Somebody without an account, which nobody needs to be told that they have no tasks."""
    application = create_app(settings_for(url, **HASTY | environment))
    user_id = "019b0000-0000-7000-8000-000000000001"
    token = application.extensions["token_verifier"].issue(user_id)
    return Account(user_id, "", token, application.test_client())


def test_a_frozen_server_holds_no_request_beyond_its_deadline(cluster_to_freeze: Cluster) -> None:
    reader, writer = stranger(cluster_to_freeze.url), stranger(cluster_to_freeze.url)
    assert reader.get("/v1/tasks").status_code == writer.get("/v1/tasks").status_code == 200
    with frozen(cluster_to_freeze):
        read, reading = timed(lambda: reader.get("/v1/tasks"))
        write, writing = timed(lambda: writer.post("/v1/tasks", json={"title": "Buy milk"}))
    assert is_problem(read, "database-unavailable")
    assert is_problem(write, "outcome-unknown")
    assert reading < 1 + SLACK_SECONDS
    assert writing < 2 + SLACK_SECONDS


def test_a_connection_that_was_given_up_is_never_used_again(cluster_to_freeze: Cluster) -> None:
    caller = stranger(cluster_to_freeze.url, DB_POOL_SIZE="1", DB_MAX_OVERFLOW="0")
    application = caller.client.application
    assert caller.get("/v1/tasks").status_code == 200
    with frozen(cluster_to_freeze):
        assert is_problem(caller.get("/v1/tasks"), "database-unavailable")
    with application.app_context():
        assert (db.engine.pool.checkedin(), db.engine.pool.checkedout()) == (1, 0)
    breaker = application.extensions[GATE].breaker
    until(lambda: breaker.failure is None)
    assert caller.get("/v1/tasks").json["items"] == []


@pytest.mark.parametrize("path", ["/v1/tasks", "/v1/me"])
def test_packets_that_vanish_hold_no_request_beyond_its_deadline(
    database_url: str, path: str
) -> None:
    with Proxy(database_url) as proxy:
        caller = stranger(proxy.url)
        assert caller.get("/v1/tasks").status_code == 200
        proxy.faults.black_hole = True
        response, seconds = timed(lambda: caller.get(path))
    assert is_problem(response, "database-unavailable")
    assert seconds < 1 + SLACK_SECONDS


def test_connecting_to_a_server_that_says_nothing_ends_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql://nobody@127.0.0.1:{silent.getsockname()[1]}/nothing"
        caller = stranger(url, DB_CONNECT_TIMEOUT="60", REQUEST_DEADLINE="0.5")
        response, seconds = timed(lambda: caller.get("/v1/tasks"))
    assert is_problem(response, "database-unavailable")
    assert seconds < 0.5 + SLACK_SECONDS


def test_the_statement_gets_what_is_left_of_the_deadline_and_no_more_than_its_own(
    database_url: str,
) -> None:
    given: list[str] = []
    caller = stranger(database_url, DB_STATEMENT_TIMEOUT="5", REQUEST_DEADLINE="60")
    with sending(caller.client.application, lambda sql: given.append(sql) or sql):
        for ago in (0, 58):
            deadline.note_arrival(time.monotonic() - ago)
            assert caller.get("/v1/tasks").status_code == 200
    timeouts = [int(text.split("statement_timeout = ")[1].split(";")[0]) for text in given]
    assert timeouts[0] == 5000
    assert 0 < timeouts[1] <= 2000


def test_a_request_that_waited_too_long_for_its_turn_is_not_begun(
    database_url: str,
) -> None:
    caller = stranger(database_url)
    with caller.client.application.app_context():
        pool = db.engine.pool
        deadline.note_arrival(time.monotonic() - 3)
        response = caller.get("/v1/tasks")
        assert is_problem(response, "overloaded")
        assert pool.checkedin() + pool.checkedout() == 0
    assert caller.get("/v1/tasks").status_code == 200


def test_waiting_for_a_free_connection_ends_with_the_deadline(database_url: str) -> None:
    small = {"DB_POOL_SIZE": "1", "DB_MAX_OVERFLOW": "0", "DB_POOL_TIMEOUT": "60"}
    caller = stranger(database_url, **small | {"REQUEST_DEADLINE": "0.5"})
    with caller.client.application.app_context(), db.engine.connect():
        response, seconds = timed(lambda: caller.get("/v1/tasks"))
    assert is_problem(response, "database-busy")
    assert seconds < 0.5 + SLACK_SECONDS


def test_the_deadline_ends_with_the_request(database_url: str) -> None:
    caller = stranger(database_url, REQUEST_DEADLINE="0.5")
    assert caller.get("/v1/tasks").status_code == 200
    assert deadline.left() == float("inf")
