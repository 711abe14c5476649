"""Traces: which one a request belongs to, and that the log and the database are told of it."""

import json
import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest
from apiflask import APIFlask
from flask.testing import FlaskClient
from sqlalchemy import text

from app import create_app
from app.core.ids import new_id
from app.db.run import execute
from app.db.scope import Role, Scope
from app.db.statement import Statement
from app.ops import telemetry
from app.web.request import TraceContext
from tests.citus import beginning
from tests.conftest import Account, settings_for

TRACE = "0af7651916cd43dd8448eb211c80319c"
SPAN = "b7ad6b7169203331"
SAMPLED = {"traceparent": f"00-{TRACE}-{SPAN}-01"}
UNSAMPLED = {"traceparent": f"00-{TRACE}-{SPAN}-00"}
COMMENT = f"/*traceparent='00-{TRACE}-{SPAN}-01'*/ "

Recording = Callable[[], AbstractContextManager[list[str]]]

INVALID = [
    "",
    f"00-{TRACE}-{SPAN}",
    f"00-{TRACE}-{SPAN}-1",
    f"00-{TRACE}-{SPAN}-01-",
    f"00-{TRACE}-{SPAN}-01-extra",
    f"00-{TRACE.upper()}-{SPAN}-01",
    f"00-{TRACE}-{SPAN.upper()}-01",
    f"00-{'0' * 32}-{SPAN}-01",
    f"00-{TRACE}-{'0' * 16}-01",
    f"ff-{TRACE}-{SPAN}-01",
    f"0-{TRACE}-{SPAN}-01",
    f"00-{TRACE}-{SPAN}-0g",
    f"00-{TRACE[:-1]}-{SPAN}-01",
    f"00-{TRACE}0-{SPAN}-01",
    f"00_{TRACE}_{SPAN}_01",
    f"00-{TRACE}-{SPAN}-01,00-{TRACE}-{SPAN}-01",
    f"cc-{TRACE}-{SPAN}-01.extra",
    f"00-{TRACE}-{SPAN}-01'*/ delete from tasks /*",
    f"00-{TRACE}-{SPAN}-\u0660\u0661",
    f" 00-{TRACE}-{SPAN}-01",
]


@pytest.fixture
def lines(app: APIFlask, capsys: pytest.CaptureFixture[str]) -> Callable[[], list[dict[str, Any]]]:
    """The lines that were logged since the last call."""
    capsys.readouterr()
    return lambda: [json.loads(line) for line in capsys.readouterr().out.splitlines()]


# The headers


@pytest.mark.parametrize("flags", range(4))
def test_a_trace_that_is_named_is_taken_over_with_what_asks_for_samples(flags: int) -> None:
    header = f"00-{TRACE}-{SPAN}-{flags:02x}"
    trace = TraceContext.parse(header)
    assert trace == TraceContext(TRACE, SPAN, flags)
    assert (trace.sampled, trace.traceparent) == (flags in {1, 3}, header)


@pytest.mark.parametrize("rest", ["", "-", "-what the future brings, '*/"])
def test_a_version_to_come_is_understood_as_far_as_this_one_goes(rest: str) -> None:
    trace = TraceContext.parse(f"cc-{TRACE}-{SPAN}-ff{rest}")
    assert trace is not None
    assert trace.traceparent == f"00-{TRACE}-{SPAN}-03"


@pytest.mark.parametrize("header", INVALID)
def test_what_is_not_well_formed_is_ignored(header: str) -> None:
    assert TraceContext.parse(header) is None


def test_a_trace_that_begins_here_is_valid_and_nobody_records_it() -> None:
    made = {TraceContext.new() for _ in range(100)}
    assert len({trace.trace_id for trace in made}) == len(made) == 100
    assert all(not trace.sampled for trace in made)
    assert all(TraceContext.parse(trace.traceparent) for trace in made)


# The log


def test_a_request_is_logged_in_its_trace(
    client: FlaskClient, lines: Callable[[], list[dict[str, Any]]]
) -> None:
    client.get("/health", headers=UNSAMPLED)
    client.get("/v1/tasks", headers=SAMPLED)
    assert [(line["trace_id"], line["span_id"]) for line in lines()] == [(TRACE, SPAN)] * 2


@pytest.mark.parametrize("headers", [{}, {"traceparent": INVALID[-3]}])
def test_a_request_without_a_valid_one_is_logged_in_a_new_trace(
    client: FlaskClient, lines: Callable[[], list[dict[str, Any]]], headers: dict[str, str]
) -> None:
    for _ in range(2):
        client.get("/health", headers={**headers, "tracestate": "rojo=1"})
    one, other = lines()
    assert re.fullmatch("[0-9a-f]{32}", one["trace_id"])
    assert re.fullmatch("[0-9a-f]{16}", one["span_id"])
    assert TRACE != one["trace_id"] != other["trace_id"]


def test_two_traceparent_headers_are_none(
    client: FlaskClient, lines: Callable[[], list[dict[str, Any]]]
) -> None:
    client.get("/health", headers=[*SAMPLED.items(), *SAMPLED.items()])
    assert lines()[0]["trace_id"] != TRACE


def test_a_trace_is_not_told_to_the_client(client: FlaskClient) -> None:
    response = client.get("/v1/tasks", headers=SAMPLED)
    assert TRACE not in f"{response.headers}{response.text}"


def test_what_nobody_foresaw_is_one_record_with_all_that_is_needed_to_find_it(
    database_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    app = create_app(settings_for(database_url))

    @app.get("/broken/<id:thing_id>")
    def broken(thing_id: str) -> str:
        raise RuntimeError("password=hunter2 is wrong")

    capsys.readouterr()
    headers = {**SAMPLED, "Authorization": "Bearer eyJhbGciOiJub25lIn0.e30.hunter2"}
    path = f"/broken/{new_id()}?token=hunter2"
    response = app.test_client().get(path, headers=headers)
    error, access = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert (error["level"], access["status"]) == ("ERROR", 500)
    assert "in broken" in error["exception"]
    assert "RuntimeError" in error["exception"]
    found = {"method": "GET", "route": "/broken/<id:thing_id>", "trace_id": TRACE, "span_id": SPAN}
    for line in (error, access):
        assert line["request_id"] == response.json["instance"]
        assert found.items() <= line.items()
        assert "hunter2" not in json.dumps(line)


# The database


def test_the_database_is_told_the_trace_of_a_sampled_request_before_all_else(
    alice: Account, sql: Recording
) -> None:
    task = alice.create_task()
    with sql() as statements:
        assert alice.get(f"/v1/tasks/{task['id']}", headers=SAMPLED).status_code == 200
        assert alice.post("/v1/tasks", json={"title": "a"}, headers=SAMPLED).status_code == 201
    assert len(statements) == 2
    assert all(each.startswith(f"{COMMENT}{beginning().decode()}") for each in statements)
    assert all(each.count("/*") == 1 for each in statements)


@pytest.mark.parametrize("headers", [{}, UNSAMPLED, {"traceparent": SAMPLED["traceparent"] + "'"}])
def test_it_is_told_nothing_otherwise(
    alice: Account, sql: Recording, headers: dict[str, str]
) -> None:
    with sql() as statements:
        assert alice.get("/v1/tasks", headers={**headers, "tracestate": "a='*/"}).status_code == 200
    assert not [each for each in statements if "/*" in each or "traceparent" in each]


def test_it_is_told_nothing_of_what_follows_a_sampled_request(
    alice: Account, sql: Recording, app: APIFlask
) -> None:
    with sql() as statements:
        alice.get("/v1/tasks", headers=SAMPLED)
        alice.get("/v1/tasks")
        with app.app_context():
            execute(Scope(Role.APP), Statement(text("select 1")))
    assert [COMMENT in each for each in statements] == [True, False, False]


def test_each_flight_of_a_batch_an_export_and_an_import_tells_it(
    alice: Account, sql: Recording
) -> None:
    alice.create_task(title="/* 100 % */")
    step = {
        "op": "create",
        "type": "task",
        "id": new_id(),
        "body": {"title": "'; /* %s %(x)s */ --"},
    }
    account = alice.get("/v1/export").data
    with sql() as statements:
        keyed = {**SAMPLED, "Idempotency-Key": new_id()}
        batch = alice.post("/v1/batch", json={"operations": [step]}, headers=keyed)
        assert batch.status_code == 200, batch.text
        exported = alice.get("/v1/export", headers=SAMPLED)
        assert exported.status_code == 200
        imported = alice.post(
            "/v1/import", data=account, content_type="application/jsonl", headers=SAMPLED
        )
        assert imported.json["refused"] == 0
    assert len(statements) > 6
    assert all(each.startswith(COMMENT) for each in statements)
    titles = [item["title"] for item in alice.get("/v1/tasks").json["items"]]
    assert titles == ["'; /* %s %(x)s */ --", "/* 100 % */"]


def test_a_trace_makes_no_flight_more(proxy: Any, auth: Callable[..., Account]) -> None:
    caller = auth(create_app(settings_for(proxy.url)))
    caller.get("/v1/tasks")
    before = proxy.flights
    assert caller.get("/v1/tasks", headers=SAMPLED).status_code == 200
    assert caller.post("/v1/tasks", json={"title": "a"}, headers=SAMPLED).status_code == 201
    assert proxy.flights - before == 2


# The operator's wish


@pytest.mark.parametrize(
    ("propagators", "takes"),
    [("", True), ("tracecontext,baggage", True), ("b3, tracecontext", True), ("none", False)],
)
def test_propagators_decide_whether_a_request_may_name_its_trace(
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    propagators: str,
    takes: bool,
) -> None:
    monkeypatch.setenv("OTEL_PROPAGATORS", propagators)
    client = create_app(settings_for(database_url)).test_client()
    client.get("/health", headers=SAMPLED)
    line = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (line["trace_id"] == TRACE) == takes


@pytest.mark.parametrize(
    ("environment", "wanted"),
    [
        ({}, False),
        ({"OTEL_SERVICE_NAME": "tasks"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:4318/v1/traces"}, True),
        ({"OTEL_TRACES_EXPORTER": "console"}, True),
        ({"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://h"}, False),
        ({"OTEL_SDK_DISABLED": "true", "OTEL_TRACES_EXPORTER": "otlp"}, False),
        ({"OTEL_SDK_DISABLED": "false", "OTEL_TRACES_EXPORTER": "otlp"}, True),
    ],
)
def test_traces_are_recorded_only_where_an_exporter_is_asked_for(
    environment: dict[str, str], wanted: bool
) -> None:
    assert telemetry.is_wanted(environment) == wanted
