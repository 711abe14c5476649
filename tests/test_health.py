"""Health: an answer within a second, whatever the database does."""

import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import psycopg2
import pytest
from apiflask import APIFlask
from werkzeug.test import TestResponse

from app import create_app
from app.db.base import db
from app.dev.embedded import throwaway
from tests.conftest import settings_for
from tests.contract import NOWHERE
from tests.databases import migrate
from tests.parallel import at_once

SECONDS: Final = 2
"""The promised second, and another for a machine that is busy with other tests."""


def look(app: APIFlask) -> TestResponse:
    """What /health/db says, which it says in time."""
    started = time.monotonic()
    response = app.test_client().get("/health/db")
    assert time.monotonic() - started < SECONDS
    return response


def is_unavailable(response: TestResponse) -> bool:
    """Whether it is 503 in the form of every answer of this route."""
    answer = response.json
    revision = answer.pop("revision")
    assert answer.pop("pool").keys() == {"open", "in_use", "limit"}
    assert answer.pop("servers") == {"known": 0, "away": 0}
    assert answer == {"status": "unavailable", "connect_ms": None, "latency_ms": None}
    assert (revision["current"], revision["up_to_date"]) == (None, False)
    assert revision["head"]
    return response.status_code == 503


@pytest.fixture(scope="module")
def own() -> Iterator[str]:
    """The URL of a database that a test may break, in a cluster of its own."""
    with throwaway() as url:
        migrate(url)
        yield url


@pytest.fixture
def silent() -> Iterator[str]:
    """The URL of a server that accepts connections and never says anything."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"postgresql://nobody@127.0.0.1:{listener.getsockname()[1]}/nothing"


def ask(url: str, statement: str) -> Any:
    with closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchone()[0] if cursor.description else None


def test_health_never_touches_the_database(
    app: APIFlask, sql: Callable[[], Any], database_url: str
) -> None:
    with sql() as statements:
        assert app.test_client().get("/health").json == {"status": "ok"}
    assert statements == []
    response = create_app(settings_for(NOWHERE)).test_client().get("/health")
    assert (response.status_code, response.json) == (200, {"status": "ok"})


def test_the_database_is_reported_with_its_latency_pool_and_revision(database_url: str) -> None:
    app = create_app(settings_for(database_url, DB_POOL_SIZE="3", DB_MAX_OVERFLOW="4"))
    with app.app_context(), db.engine.connect():
        response = look(app)
    answer = response.json
    assert (response.status_code, answer["status"]) == (200, "ok")
    assert answer["latency_ms"] > 0
    assert answer["connect_ms"] > 0
    assert answer["pool"] == {"open": 1, "in_use": 1, "limit": 7}
    assert answer["servers"] == {"known": 1, "away": 0}
    head = answer["revision"]["head"]
    assert answer["revision"] == {"current": head, "head": head, "up_to_date": True}
    assert head == ask(database_url, "select version_num from alembic_version")


TOKEN: Final = "7Qm3vN9xT1bK5wLr8sYc2dFh6gJp4zAe"
BEARER: Final = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture(scope="module")
def production(database_url: str) -> APIFlask:
    """An application in production, whose operator has a token."""
    settings = settings_for(database_url, APP_ENV="production", METRICS_TOKEN=TOKEN)
    return create_app(settings)


@pytest.mark.parametrize(
    ("headers", "shown"),
    [
        ({}, False),
        ({"X-Forwarded-For": "127.0.0.1"}, False),
        (BEARER, True),
        ({"Authorization": f"bearer {TOKEN}"}, True),
        ({"Authorization": f"Bearer {TOKEN}x"}, False),
        ({"Authorization": "Bearer \u00e4"}, False),
        ({"Authorization": "Bearer "}, False),
        ({"Authorization": f"Basic {TOKEN}"}, False),
    ],
)
def test_pool_and_revision_are_shown_to_the_operator_alone(
    production: APIFlask, headers: dict[str, str], shown: bool
) -> None:
    answer = production.test_client().get("/health/db", headers=headers)
    assert (answer.status_code, answer.json["status"]) == (200, "ok")
    assert answer.json["revision"]["up_to_date"] is True
    if shown:
        assert answer.json["pool"]["limit"] > 0
        assert answer.json["connect_ms"] > 0
        assert answer.json["revision"]["current"] == answer.json["revision"]["head"]
        assert answer.json["revision"]["head"]
    else:
        assert answer.json == {
            "status": "ok",
            "connect_ms": None,
            "latency_ms": None,
            "pool": {"open": 0, "in_use": 0, "limit": 0},
            "servers": {"known": 0, "away": 0},
            "revision": {"current": None, "head": None, "up_to_date": True},
        }


def test_without_a_token_of_the_operator_nobody_bears_it(database_url: str) -> None:
    client = create_app(settings_for(database_url, APP_ENV="production")).test_client()
    for bearer in ("Bearer", "Bearer ", "Bearer None"):
        answer = client.get("/health/db", headers={"Authorization": bearer})
        assert answer.json["pool"]["limit"] == 0


def test_a_pending_migration_shows(own: str) -> None:
    head = ask(own, "select version_num from alembic_version")
    ask(own, "update alembic_version set version_num = 'before'")
    try:
        response = look(create_app(settings_for(own)))
    finally:
        ask(own, f"update alembic_version set version_num = '{head}'")
    assert response.status_code == 200
    assert response.json["revision"] == {"current": "before", "head": head, "up_to_date": False}


def test_a_database_without_the_schema_says_so(own: str) -> None:
    ask(own, "create database bare")
    bare = own.rpartition("/")[0] + "/bare"
    response = look(create_app(settings_for(bare)))
    assert (response.status_code, response.json["status"]) == (503, "unmigrated")
    assert response.json["connect_ms"] > 0
    assert response.json["revision"]["current"] is None


def test_nobody_listening_is_told_in_time() -> None:
    assert is_unavailable(look(create_app(settings_for(NOWHERE))))


def test_a_server_that_never_answers_is_told_in_time(silent: str) -> None:
    assert is_unavailable(look(create_app(settings_for(silent))))


def test_a_frozen_database_is_told_in_time_and_so_is_its_return(own: str) -> None:
    app = create_app(settings_for(own))
    data = Path(ask(own, "show data_directory"))
    postmaster = int((data / "postmaster.pid").read_text().splitlines()[0])
    os.kill(postmaster, signal.SIGSTOP)
    try:
        assert is_unavailable(look(app))
    finally:
        os.kill(postmaster, signal.SIGCONT)
    ask(own, "select 1")
    assert look(create_app(settings_for(own))).status_code == 200


def test_fifty_callers_at_once_are_told_in_time(silent: str) -> None:
    app = create_app(settings_for(silent))
    responses = at_once([lambda: look(app)] * 50)
    assert all(is_unavailable(response) for response in responses)


def test_a_pool_with_no_connection_left_does_not_matter(database_url: str) -> None:
    app = create_app(settings_for(database_url, DB_POOL_SIZE="1", DB_MAX_OVERFLOW="0"))
    with app.app_context(), db.engine.connect():
        assert look(app).json["status"] == "ok"


def test_many_callers_are_one_look_at_the_database(database_url: str) -> None:
    app = create_app(settings_for(database_url))
    first = look(app).json
    assert [look(app).json["latency_ms"] for _ in range(3)] == [first["latency_ms"]] * 3
