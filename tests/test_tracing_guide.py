"""Traces as docs/operations/tracing.md has them: each command, line and name in it is real."""

import json
import shlex
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from http.client import HTTPConnection
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest

from app import create_app
from tests.collector import Collector, collector
from tests.conftest import ROOT, Account, gunicorn_process, settings_for
from tests.test_readme import code
from tests.test_traces import COMMENT, SAMPLED, TRACE

pytestmark = pytest.mark.slow

GUIDE = (ROOT / "docs" / "operations" / "tracing.md").read_text()
ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
REQUESTS = 128


class Served(NamedTuple):
    """What became of a service that was set up as the guide says."""

    collector: Collector
    requests: int
    log: list[dict[str, Any]]


def ask(address: str) -> None:
    """Requests on many connections at the same time, of which both workers take some."""

    def once(_: int) -> None:
        with closing(HTTPConnection(address, timeout=30)) as connection:
            connection.request("GET", "/problems", headers=SAMPLED)
            response = connection.getresponse()
            assert (response.status, bool(response.read())) == (200, True)

    with ThreadPoolExecutor(16) as threads:
        list(threads.map(once, range(REQUESTS)))


@pytest.fixture(scope="module")
def served(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Two workers, each of which has answered and ended; the guide's own request was the last."""
    (_, block), (command,) = code(GUIDE, "env"), code(GUIDE, "sh")
    environment = dict(pair.split("=", 1) for pair in shlex.split(block))
    environment |= {"OTEL_BSP_SCHEDULE_DELAY": "60000", "WEB_CONCURRENCY": "2"}
    log = tmp_path_factory.mktemp("traced") / "log"
    with collector() as taking:
        environment[ENDPOINT] = taking.url
        with gunicorn_process(database_url, log, **environment) as (base, _):
            ask(urlsplit(base).netloc)
            subprocess.run(
                ["bash", "-c", command], env={"API": base, "PATH": "/usr/bin:/bin"}, check=True
            )
            assert taking.requests == []
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        yield Served(taking, REQUESTS + 1, lines)


def test_each_worker_sends_all_its_spans_before_it_ends(served: Served) -> None:
    assert len(served.collector.spans) == served.requests
    assert {span.trace_id.hex() for span in served.collector.spans} == {TRACE}
    assert len({one["service.instance.id"] for one in served.collector.resources}) == 2
    assert [line for line in served.log if line["level"] in {"WARNING", "ERROR"}] == []


def test_the_service_is_called_as_the_environment_of_the_guide_says(served: Served) -> None:
    for resource in served.collector.resources:
        assert resource["service.name"] == "tasks-api"
        assert resource["deployment.environment.name"] == "production"


def test_the_line_of_the_guides_request_is_as_shown(served: Served) -> None:
    shown = json.loads(code(GUIDE, "json")[0])
    line = next(line for line in reversed(served.log) if line["logger"] == "app.access")
    assert list(line) == list(shown)
    same = ("level", "message", "trace_id", "method", "route", "status", "user_id")
    assert [line[name] for name in same] == [shown[name] for name in same]
    assert line["span_id"] in {span.span_id.hex() for span in served.collector.spans}


def test_the_line_of_an_error_is_as_shown(
    database_url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    app = create_app(settings_for(database_url))
    monkeypatch.setitem(app.view_functions, "tasks.list_tasks", None)
    monkeypatch.setitem(app.before_request_funcs, "tasks", [])
    capsys.readouterr()
    assert app.test_client().get("/v1/tasks", headers=SAMPLED).status_code == 500
    shown = json.loads(code(GUIDE, "json")[1])
    line = json.loads(capsys.readouterr().out.splitlines()[0])
    assert list(line) == list(shown)
    changing = ("time", "request_id", "exception")
    assert [line[k] for k in line if k not in changing] == [
        shown[k] for k in line if k not in changing
    ]


def test_the_query_of_the_guide_finds_what_a_trace_has_sent(
    alice: Account, connection: Any
) -> None:
    (query,), (shown,) = code(GUIDE, "sql"), code(GUIDE, "text")
    assert alice.get("/v1/tasks", headers=SAMPLED).status_code == 200
    with connection.cursor() as cursor:
        cursor.execute(query)
        texts = [row[-1] for row in cursor.fetchall()]
    assert [text for text in texts if text.startswith(COMMENT)]
    assert all(TRACE in text for text in texts)  # those of other tests
    assert shown.startswith(f"{COMMENT}set local role tasks_app; ")
