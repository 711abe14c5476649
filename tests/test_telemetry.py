"""OpenTelemetry: what is recorded of a request, and that nothing is where nobody asks."""

import json
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, ParentBased, Sampler
from opentelemetry.trace import SpanKind, StatusCode

from app import __version__, create_app
from app.core.ids import new_id
from app.ops import spans
from app.ops.spans import Recorder
from tests.conftest import Account, sending, settings_for
from tests.contract import NOWHERE
from tests.test_traces import SAMPLED, SPAN, TRACE, UNSAMPLED

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"


class Traced:
    """An application whose spans are kept in memory."""

    def __init__(self, database_url: str, sampler: Sampler) -> None:
        self.exporter = InMemorySpanExporter()
        provider = TracerProvider(sampler=sampler)
        provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.app = create_app(settings_for(database_url))
        Recorder(provider).init_app(self.app)

    def spans(self) -> list[ReadableSpan]:
        """Those that have ended since the last call, in the order in which they began."""
        found = sorted(self.exporter.get_finished_spans(), key=lambda span: span.start_time)
        self.exporter.clear()
        return found


@pytest.fixture
def traced(database_url: str) -> Traced:
    return Traced(database_url, ParentBased(ALWAYS_ON))


@pytest.fixture
def caller(traced: Traced, auth: Callable[..., Account]) -> Account:
    return auth(traced.app)


def hexadecimal(span: ReadableSpan) -> tuple[str, str]:
    """The ids of the trace and of the span."""
    return f"{span.context.trace_id:032x}", f"{span.context.span_id:016x}"


# A request and its flights


def test_a_request_is_a_span_and_its_flight_another(
    traced: Traced, caller: Account, database_url: str
) -> None:
    task = caller.create_task()
    traced.spans()
    assert caller.get("/v1/tasks?limit=0&q=hunter2").status_code == 422
    assert caller.get(f"/v1/tasks/{task['id']}").status_code == 200
    refused, _check, server, flight = traced.spans()
    assert refused.attributes["http.response.status_code"] == 422
    assert "hunter2" not in refused.to_json()
    assert server.name == "GET /v1/tasks/<id:task_id>"
    assert (server.kind, server.parent) == (SpanKind.SERVER, None)
    assert server.attributes == {
        "http.request.method": "GET",
        "http.response.status_code": 200,
        "http.route": "/v1/tasks/<id:task_id>",
        "network.protocol.version": "1.1",
        "url.path": f"/v1/tasks/{task['id']}",
        "url.scheme": "http",
    }
    assert (flight.name, flight.kind) == ("SELECT tasks", SpanKind.CLIENT)
    assert flight.parent.span_id == server.context.span_id
    assert server.start_time < flight.start_time < flight.end_time < server.end_time
    assert flight.attributes["db.system.name"] == "postgresql"
    assert flight.attributes["server.address"] == urlsplit(database_url).hostname
    assert isinstance(flight.attributes["server.port"], int)
    assert {"db.namespace", "db.operation.name", "db.query.summary"} <= set(flight.attributes)
    assert all(span.status.status_code is StatusCode.UNSET for span in (refused, server, flight))


def test_the_callers_span_is_the_parent_and_its_state_goes_on(
    traced: Traced, caller: Account
) -> None:
    caller.get("/v1/tasks", headers={**SAMPLED, "tracestate": "rojo=1,congo=2"})
    server, flight = traced.spans()
    assert hexadecimal(server)[0] == hexadecimal(flight)[0] == TRACE
    assert f"{server.parent.span_id:016x}" == SPAN
    assert server.parent.is_remote
    assert flight.context.trace_state.to_header() == "rojo=1,congo=2"


@pytest.mark.parametrize(
    "state",
    [
        "rojo",
        "rojo=",
        "rojo=1,CONGO=2",
        "rojo=1,rojo=2",
        "rojo=\u00e9",
        f"rojo={'x' * 257}",
        ",".join(f"k{n}=1" for n in range(33)),
    ],
)
def test_a_tracestate_that_is_not_valid_is_dropped_alone_and_not_logged(
    traced: Traced, caller: Account, capsys: pytest.CaptureFixture[str], state: str
) -> None:
    capsys.readouterr()
    caller.get("/v1/tasks", headers={**SAMPLED, "tracestate": state})
    server, _ = traced.spans()
    assert (hexadecimal(server)[0], dict(server.context.trace_state)) == (TRACE, {})
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_no_header_and_no_address_is_recorded(traced: Traced, caller: Account) -> None:
    headers = {"User-Agent": "a-client/1", "Host": "a-host.example", "X-Forwarded-For": "192.0.2.7"}
    assert caller.get("/v1/tasks?q=hunter2", headers=headers).status_code == 200
    told = "".join(span.to_json() for span in traced.spans())
    assert "http.route" in told
    for secret in ("hunter2", "a-client", "a-host", "192.0.2.7", caller.user_id, caller.token):
        assert secret not in told


def test_the_log_and_the_database_are_told_of_the_spans_that_are_recorded(
    traced: Traced, caller: Account, capsys: pytest.CaptureFixture[str]
) -> None:
    sent: list[str] = []
    capsys.readouterr()
    with sending(traced.app, lambda text: sent.append(text) or text):
        caller.get("/v1/tasks")
    line = json.loads(capsys.readouterr().out)
    server, flight = traced.spans()
    assert (line["trace_id"], line["span_id"]) == hexadecimal(server)
    expected = "-".join(("00", *hexadecimal(flight)))
    assert sent[0].startswith(f"/*traceparent='{expected}-0")


def test_each_flight_of_a_batch_and_an_export_has_a_span(traced: Traced, caller: Account) -> None:
    step = {"op": "create", "type": "task", "id": new_id(), "body": {"title": "update users"}}
    assert caller.post("/v1/batch", json={"operations": [step]}).status_code == 200
    assert [span.name for span in traced.spans()[1:]] == ["BATCH", "COMMIT"]
    assert caller.get("/v1/export").status_code == 200
    names = [span.name for span in traced.spans()]
    assert names[0] == "GET /v1/export"
    assert set(names[1:]) == {
        "SELECT users",
        "SELECT categories",
        "SELECT labels",
        "SELECT tasks",
        "COMMIT",
    }


def test_a_span_of_a_view_belongs_to_the_request(traced: Traced) -> None:
    tracer = traced.app.extensions.setdefault("of_a_test", [])

    @traced.app.get("/own")
    def own() -> str:
        tracer.append(trace.get_current_span().get_span_context().span_id)
        return "done"

    assert traced.app.test_client().get("/own").status_code == 200
    (server,) = traced.spans()
    assert tracer == [server.context.span_id]
    assert not trace.get_current_span().get_span_context().is_valid


def test_requests_at_once_are_kept_apart(traced: Traced, caller: Account) -> None:
    def call(number: int) -> None:
        headers = {"traceparent": f"00-{number:032x}-{number:016x}-01"}
        client = traced.app.test_client()
        assert caller._replace(client=client).get("/v1/tasks", headers=headers).status_code == 200

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(call, range(1, 41)))
    spans = traced.spans()
    servers = {span.context.span_id: span for span in spans if span.kind is SpanKind.SERVER}
    flights = [span for span in spans if span.kind is SpanKind.CLIENT]
    assert sorted(span.context.trace_id for span in flights) == list(range(1, 41))
    for flight in flights:
        assert servers[flight.parent.span_id].context.trace_id == flight.context.trace_id


def test_health_is_asked_for_all_day_and_not_recorded(traced: Traced, caller: Account) -> None:
    for path in ("/health", "/health/db"):
        assert caller.get(path, headers=SAMPLED).status_code == 200
    assert traced.spans() == []


def test_an_unknown_path_or_method_has_a_name_that_does_not_grow(
    traced: Traced, caller: Account
) -> None:
    caller.get(f"/nothing/{new_id()}")
    caller.call("FOO", "/v1/tasks")
    nothing, foo = traced.spans()
    assert (nothing.name, foo.name) == ("GET", "HTTP")
    assert "http.route" not in nothing.attributes
    assert foo.attributes["http.request.method"] == "_OTHER"


# Samples


@pytest.mark.parametrize("headers", [{}, SAMPLED, UNSAMPLED])
def test_the_sampler_decides_and_the_database_is_told_nothing_of_the_rest(
    database_url: str, auth: Callable[..., Account], headers: dict[str, str]
) -> None:
    traced = Traced(database_url, ALWAYS_OFF)
    caller, sent = auth(traced.app), list[str]()
    with sending(traced.app, lambda text: sent.append(text) or text):
        assert caller.get("/v1/tasks", headers=headers).status_code == 200
    assert (traced.spans(), len(sent)) == ([], 1)
    assert "traceparent" not in sent[0]


def test_a_caller_who_records_nothing_is_followed(traced: Traced, caller: Account) -> None:
    caller.get("/v1/tasks", headers=UNSAMPLED)
    assert traced.spans() == []


# Errors


def test_what_nobody_foresaw_is_an_exception_of_the_span_without_its_secrets(
    traced: Traced,
) -> None:
    @traced.app.get("/broken")
    def broken() -> str:
        raise LookupError("password=hunter2 at postgresql://bob:hunter2@db.example.com/x")

    assert traced.app.test_client().get("/broken").status_code == 500
    (span,) = traced.spans()
    (event,) = span.events
    assert span.status.status_code is StatusCode.ERROR
    assert span.attributes["error.type"] == "builtins.LookupError"
    assert event.name == "exception"
    assert event.attributes["exception.type"] == "LookupError"
    assert "in broken" in event.attributes["exception.stacktrace"]
    assert "hunter2" not in span.to_json()


def test_a_database_that_is_away_is_an_error_with_the_name_of_its_problem(
    auth: Callable[..., Account],
) -> None:
    traced = Traced(NOWHERE, ALWAYS_ON)
    assert auth(traced.app).get("/v1/tasks").status_code == 503
    (span,) = traced.spans()
    assert span.status.status_code is StatusCode.ERROR
    assert span.attributes["error.type"] == "database-unavailable"
    assert "hunter2" not in span.to_json()


def test_what_the_database_refuses_is_an_error_of_the_flight_alone(
    traced: Traced, caller: Account
) -> None:
    name = new_id()
    for status in (201, 409):
        assert caller.post("/v1/categories", json={"name": name}).status_code == status
    *_, server, flight = traced.spans()
    assert (server.status.status_code, server.events) == (StatusCode.UNSET, ())
    assert (flight.status.status_code, flight.events) == (StatusCode.ERROR, ())
    assert flight.attributes["db.response.status_code"] == "23505"
    assert flight.attributes["error.type"] == "psycopg2.errors.UniqueViolation"
    assert name not in flight.to_json()


# Not installed, or wrong


@pytest.fixture
def warning(
    database_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """The first line logged by an application that serves in this environment."""

    def serve(**environment: str) -> str:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        client = create_app(settings_for(database_url)).test_client()
        assert client.get("/v1/tasks").status_code == 401
        first, *_ = map(json.loads, capsys.readouterr().out.splitlines())
        return str(first["message"])

    return serve


def test_a_service_without_the_packages_says_so_and_serves(
    warning: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    monkeypatch.delitem(sys.modules, "app.ops.spans")
    monkeypatch.delattr("app.ops.spans")
    assert "install requirements-otel.txt" in warning(**{ENDPOINT: "http://127.0.0.1:9"})


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, "no exporter is installed that is named zipkin"),
        (
            {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
            "no exporter is installed that is named otlp_proto_grpc",
        ),
        (
            {ENDPOINT: "http://127.0.0.1:9", "OTEL_BSP_MAX_QUEUE_SIZE": "-1"},
            "max_queue_size must be a positive integer",
        ),
    ],
)
def test_a_wrong_variable_is_told_and_stops_nothing(
    warning: Callable[..., str], environment: dict[str, str], told: str
) -> None:
    assert told in warning(**environment)


def test_the_service_is_named_as_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, value, name in (
        ("OTEL_LOGS_EXPORTER", "none", "tasks-api"),
        ("OTEL_RESOURCE_ATTRIBUTES", "service.name=chores", "chores"),
        ("OTEL_SERVICE_NAME", "errands", "errands"),
    ):
        monkeypatch.setenv(variable, value)
        made = spans.provider({"OTEL_TRACES_EXPORTER": "console"})
        told = made.resource.attributes
        assert (told["service.name"], told["service.version"]) == (name, __version__)
        made.shutdown()
