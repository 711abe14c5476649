"""Logs: one line of JSON for each request, and no secret in any."""

import json
import logging
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from apiflask import APIFlask
from flask.testing import FlaskClient

from app import create_app
from app.core.logs import JsonFormatter, StandardOutput, TerminalFormatter, redact
from tests.conftest import PASSWORD, SECRET, Account, gunicorn_process, settings_for
from tests.contract import NOWHERE
from tests.databases import own_database
from tests.test_config import start

FIELDS = [
    "time",
    "level",
    "logger",
    "message",
    "request_id",
    "trace_id",
    "span_id",
    "method",
    "route",
    "status",
    "duration_ms",
    "database_ms",
    "user_id",
]
UUID = "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"


@pytest.fixture
def lines(app: APIFlask, capsys: pytest.CaptureFixture[str]) -> Callable[[], list[dict[str, Any]]]:
    """The lines written since the last call."""
    return lambda: [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_a_request_is_one_line_with_all_that_operators_ask_for(
    alice: Account, lines: Callable[[], list[dict[str, Any]]]
) -> None:
    task = alice.create_task()
    lines()
    response = alice.get(f"/v1/tasks/{task['id']}?secret=1")
    (line,) = lines()
    assert list(line) == FIELDS
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", line["time"])
    assert (line["level"], line["message"]) == ("INFO", "request")
    assert line["request_id"] == response.headers["X-Request-ID"]
    assert (line["method"], line["route"], line["status"]) == (
        "GET",
        "/v1/tasks/<id:task_id>",
        200,
    )
    assert 0 < line["database_ms"] < line["duration_ms"]
    assert line["user_id"] == alice.user_id


def test_a_request_of_nobody_for_nothing_is_a_line_too(
    client: FlaskClient, lines: Callable[[], list[dict[str, Any]]]
) -> None:
    client.get("/nothing/here?secret=1")
    (line,) = lines()
    assert list(line) == [*FIELDS, "path"]
    assert line["path"] == "/nothing/here"
    assert (line["route"], line["status"], line["user_id"]) == (None, 404, None)
    assert line["database_ms"] == 0


@pytest.mark.parametrize(
    "path", ["/health", "/v1/tasks", "/nothing", "/docs", "/static/docs.js", "/openapi.json"]
)
def test_a_well_formed_request_id_is_kept_and_told_in_every_answer(
    client: FlaskClient, lines: Callable[[], list[dict[str, Any]]], path: str
) -> None:
    for given in ("abc", "A-1_b.2", "0" * 128):
        response = client.get(path, headers={"X-Request-ID": given}, buffered=True)
        assert response.headers["X-Request-ID"] == given
        assert [line["request_id"] for line in lines()] == [given]
        if response.status_code >= 400:
            assert response.json["instance"] == given


@pytest.mark.parametrize("given", ["", "a b", "0" * 129, "é", 'a"b', "a,b", "<b>", "a\tb"])
def test_any_other_request_id_is_replaced(client: FlaskClient, given: str) -> None:
    response = client.get("/v1/tasks", headers={"X-Request-ID": given})
    assert re.fullmatch(UUID, response.headers["X-Request-ID"])
    assert response.json["instance"] == response.headers["X-Request-ID"]


def test_no_secret_of_a_session_is_logged(
    client: FlaskClient, capsys: pytest.CaptureFixture[str]
) -> None:
    credentials = {"email": "quiet@example.com", "password": PASSWORD}
    client.post("/v1/auth/register", json=credentials)
    pair = client.post("/v1/auth/token", json=credentials).json
    headers = {"Authorization": f"Bearer {pair['access_token']}", "Cookie": "session=c00k1e"}
    new = client.post("/v1/auth/refresh", json={"refresh_token": pair["refresh_token"]}).json
    assert client.get(f"/v1/me?token={pair['access_token']}", headers=headers).status_code == 200
    client.post("/v1/auth/token", json={**credentials, "password": "wrong " + PASSWORD})
    client.post("/v1/auth/logout", json={"refresh_token": new["refresh_token"]})
    client.get("/v1/me", headers={"Authorization": "Bearer eyJhbGciOiJub25lIn0.e30.x"})
    out = "".join(capsys.readouterr())
    assert out.count("\n") == 7
    tokens = [value for each in (pair, new) for name, value in each.items() if "_token" in name]
    for secret in [*tokens, PASSWORD, SECRET, "c00k1e", "eyJ", "quiet@example.com"]:
        assert secret not in out


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("postgresql://bob:hunter2@db.example.com/x?a=b", "postgresql://********"),
        ("postgres://bob:hun/ter2:x@db.example.com/x", "postgres://********"),
        ("'postgresql+psycopg2://:hunter2@/x' failed", "'postgresql+psycopg2://********' failed"),
        ("Authorization: Basic hunter2 hunter2", "Authorization: ********"),
        ("{'Authorization': 'Bearer hunter2'}", "{'Authorization': ********"),
        ("Cookie: a=hunter2; b=hunter2", "Cookie: ********"),
        ("Set-Cookie: a=hunter2; Path=/", "Set-Cookie: ********"),
        ("sent bearer hunter2.hunter2 away", "sent bearer ******** away"),
        ("got eyJhbGci.eyJzdWIi.hunter2 here", "got eyJ******** here"),
        ("password=hunter2 host=db", "password=******** host=db"),
        ('{"password": "hunter2 hunter2", "a": 1}', '{"password": ********, "a": 1}'),
        ("refresh_token='hunter2', a=1", "refresh_token=********, a=1"),
        ("GET /x?access_token=hunter2 HTTP/1.1", "GET /x?access_token=******** HTTP/1.1"),
        ("JWT_SECRET: hunter2", "JWT_SECRET: ********"),
    ],
)
def test_what_looks_like_a_secret_is_masked_and_the_rest_kept(text: str, kept: str) -> None:
    assert redact(text) == kept


@pytest.mark.parametrize(
    "text",
    ["request", "see https://example.com/docs", "the tokens ran out", "password authentication"],
)
def test_what_only_speaks_of_secrets_is_left_alone(text: str) -> None:
    assert redact(text) == text


def test_a_message_of_any_kind_is_one_line(
    lines: Callable[[], list[dict[str, Any]]],
) -> None:
    # Handed over directly: pytest's own handlers could not pass a lone surrogate on.
    (handler,) = [each for each in logging.root.handlers if isinstance(each, StandardOutput)]
    for message in ("two\nlines", "\ud800 alone", '"quoted"', "\x00", "%s"):
        record = {"name": "somebody.else", "levelname": "WARNING", "msg": message}
        handler.handle(logging.makeLogRecord(record))
        (line,) = lines()
        assert (line["message"], line["logger"]) == (message, "somebody.else")


def test_the_level_decides_what_is_written(
    database_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    quiet = create_app(settings_for(database_url, LOG_LEVEL="WARNING"))
    quiet.test_client().get("/health")
    assert capsys.readouterr().out == ""


@pytest.mark.slow
@pytest.mark.parametrize(("level", "kept"), [("INFO", True), ("WARNING", False)])
def test_the_level_counts_for_the_server_and_for_migrations_as_well(
    database_url: str, cluster: str, tmp_path: Path, level: str, kept: bool
) -> None:
    log = tmp_path / "log"
    with gunicorn_process(database_url, log, LOG_LEVEL=level):
        pass
    assert ('"level":"INFO"' in log.read_text()) == kept
    assert ("gunicorn" in log.read_text()) == kept
    with own_database(cluster) as url:
        given = {"DATABASE_URL": url, "JWT_SECRET": SECRET, "LOG_LEVEL": level}
        migrated = start(["-m", "flask", "db", "upgrade"], **given)
    assert (migrated.returncode, migrated.stderr) == (0, "")
    assert ("Running upgrade" in migrated.stdout) == kept
    assert bool(migrated.stdout) == kept


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/v1/task", "/v1/task"),
        ("/a%0Ab%1B[31mc", r"/a\nb\x1b[31mc"),
        ("/%E2%80%AEgpj", r"/\u202egpj"),
        ("/caf%C3%A9", "/caf\u00e9"),
        ("/x/tasks_pat_hunter2", "/x/tasks_pat_********"),
        (f"/{'a' * 190}/eyJhbGci.eyJzdWIi.hunter2", f"/{'a' * 190}/eyJ*****\u2026"),
        (f"/{'a' * 4000}", f"/{'a' * 199}\u2026"),
    ],
)
def test_a_path_without_a_route_is_logged_short_and_harmless(
    client: FlaskClient, lines: Callable[[], list[dict[str, Any]]], path: str, shown: str
) -> None:
    assert client.get(path).status_code == 404
    (line,) = lines()
    assert line["path"] == shown


@pytest.fixture
def terminal(app: APIFlask, capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[[], str]]:
    """What a terminal shows since the last call, without its colours."""
    (handler,) = [each for each in logging.root.handlers if isinstance(each, StandardOutput)]
    before = handler.formatter
    handler.setFormatter(TerminalFormatter())
    yield lambda: re.sub(r"\x1b\[\d+m", "", capsys.readouterr().out)
    handler.setFormatter(before)


def test_a_line_on_a_terminal_begins_with_what_was_asked_for_and_how_it_went(
    alice: Account, terminal: Callable[[], str]
) -> None:
    task = alice.create_task()
    terminal()
    alice.get(f"/v1/tasks/{task['id']}?secret=1")
    alice.get("/v1/task")
    alice.post("/health")
    found, missing, wrong = terminal().splitlines()
    at, times = r"\d\d:\d\d:\d\d\.\d{3} INFO    ", r"duration_ms=[\d.]+ database_ms=[\d.]+"
    ids = rf"request_id=\S+ trace_id=\S+ span_id=\S+ user_id={alice.user_id} *"
    assert re.fullmatch(rf"{at}GET /v1/tasks/{task['id']} 200 {times} {ids}", found)
    assert re.match(rf"{at}GET /v1/task 404 {times} request_id=", missing)
    assert re.match(rf"{at}POST /health 405 ", wrong)
    assert "None" not in missing


@pytest.mark.parametrize(
    ("environment", "terminal", "formatter"),
    [
        ("development", True, TerminalFormatter),
        ("development", False, JsonFormatter),
        ("production", True, JsonFormatter),
    ],
)
def test_a_developers_terminal_gets_lines_to_read(
    monkeypatch: pytest.MonkeyPatch,
    environment: str,
    terminal: bool,
    formatter: type[logging.Formatter],
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal)
    monkeypatch.setattr(logging.root, "handlers", logging.root.handlers)
    create_app(settings_for(NOWHERE.replace("127.0.0.1", "localhost"), APP_ENV=environment))
    assert type(logging.root.handlers[0].formatter) is formatter


def test_a_line_for_the_terminal_is_coloured_and_masked_as_well() -> None:
    try:
        raise RuntimeError("at postgresql://bob:hunter2@db.example.com/x")
    except RuntimeError:
        error = sys.exc_info()
    record = logging.LogRecord("a", logging.ERROR, "", 1, "password=%s", ("hunter2",), error)
    record.fields = {"status": 500}
    line = TerminalFormatter().format(record)
    assert re.match(r"\d\d:\d\d:\d\d\.\d{3} \x1b\[31mERROR  \x1b\[0m password=\*+ ", line)
    assert "status=500" in line
    assert "RuntimeError: at postgresql://********" in line
    assert "hunter2" not in line
