"""What is beside the metrics for operators: rules, runbook, dashboard and list say what is true."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest
import yaml

from app.core.config import Settings
from app.core.metrics.families import REFUSALS
from app.core.problem_kinds import KINDS
from app.db.failures import Cause
from tests.conftest import ROOT, gunicorn
from tests.locks import until
from tests.rig.programs import Program, account, free_port, need, own_directory, write
from tests.scrapes import TOKEN, Scrape, scraped

pytestmark = pytest.mark.slow

OPERATIONS = ROOT / "docs" / "operations"
RULES = OPERATIONS / "alerts.yml"
RUNBOOK = (OPERATIONS / "runbook.md").read_text()
METRICS = (OPERATIONS / "metrics.md").read_text()
DASHBOARD = json.loads((OPERATIONS / "dashboard.json").read_text())
CASES = ROOT / "tests" / "alerts.yml"

ALERTS = {rule["alert"]: rule for rule in yaml.safe_load(RULES.read_text())["groups"][0]["rules"]}
SECTIONS = dict(re.findall(r"^## (.+)\n((?:(?!## ).*\n?)*)", RUNBOOK, re.M))
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
SHOWN = [target["expr"] for panel in PANELS for target in panel["targets"]]
SHOWN += [each["expr"] for each in DASHBOARD["annotations"]["list"]]
ASKED = re.findall(r"`((?:sum|histogram)[^`]+)`", RUNBOOK)
EXPRESSIONS = [*SHOWN, *ASKED, *(rule["expr"] for rule in ALERTS.values())]

ADDRESS = "127.0.0.1:8000"
VARIABLES = {"$job": "tasks-api", "$instance": ".*", "$__rate_interval": "1m"}


def block(text: str, language: str) -> str:
    """The one fenced block in a language."""
    (found,) = re.findall(rf"^```{language}\n(.*?)^```$", text, re.M | re.S)
    return found


def filled(expression: str) -> str:
    """An expression of the dashboard as Grafana sends it."""
    for variable, value in VARIABLES.items():
        expression = expression.replace(variable, value)
    return expression


@pytest.fixture(scope="module")
def server(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The base URL of a server that measures."""
    log = tmp_path_factory.mktemp("alerts") / "log"
    with gunicorn(database_url, log, METRICS_TOKEN=TOKEN, WEB_CONCURRENCY="1") as base:
        yield base


@pytest.fixture(scope="module")
def scrape(server: str) -> Scrape:
    """What it tells once it has answered a request."""
    return scraped(server)


# What is written


def test_the_list_of_metrics_is_what_a_scrape_tells(scrape: Scrape) -> None:
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| (.*?)\| (.+) \|$", METRICS, re.M)
    listed = {
        name: (kind, set(re.findall(r"\w+", labels)), meaning)
        for name, kind, labels, meaning in rows
    }
    assert len(listed) == len(rows)
    assert listed == {
        f"{family.name}{'_total' if family.type == 'counter' else ''}": (
            family.type,
            {label for sample in family.samples for label in sample.labels} - {"le"},
            family.documentation,
        )
        for family in scrape.families
    }


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_an_expression_asks_for_what_a_scrape_tells(scrape: Scrape, expression: str) -> None:
    named = set(re.findall(r"\btasks_\w+", expression))
    assert named or expression.startswith("up{")
    assert named <= {sample.name for sample in scrape.samples}
    labels = {label for sample in scrape.samples for label in sample.labels}
    compared = re.findall(r'(\w+)(?:=~|!~|!=|=)"([^"]*)"', expression)
    grouped = re.findall(r"\bby \(([^)]*)\)", expression)
    used = {label for label, _ in compared} | {x for each in grouped for x in each.split(", ")}
    assert used <= labels | {"job", "instance"}
    known = {
        "type": set(KINDS),
        "cause": {cause.name.lower() for cause in Cause},
        "limit": {limit for (limit,) in REFUSALS.series},
    }
    for label, value in compared:
        assert label not in known or set(value.split("|")) <= known[label]


def test_every_route_that_an_expression_leaves_out_exists(scrape: Scrape, app: Any) -> None:
    routes = {rule.rule for rule in app.url_map.iter_rules()}
    for pattern in {each for text in EXPRESSIONS for each in re.findall('route!~"([^"]*)"', text)}:
        inner = pattern.removeprefix("/v1/(").removesuffix(")").split("|")
        assert all(any(re.fullmatch(f"/v1/{each}", route) for route in routes) for each in inner)


def test_every_alert_has_its_section_of_the_runbook_and_leads_there() -> None:
    assert list(SECTIONS) == list(ALERTS)
    for name, rule in ALERTS.items():
        link = f"docs/operations/runbook.md#{name.lower()}"
        assert rule["annotations"]["runbook_url"] == link
        assert rule["annotations"]["summary"]
        assert rule["labels"]["severity"] in {"page", "ticket"}


# What Prometheus makes of it


def promtool(*arguments: str | Path, text: str = "") -> None:
    """Have it check something; it has nothing to say against it."""
    command = [need("promtool"), *map(str, arguments)]
    run = subprocess.run(command, input=text, capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "lint" not in run.stdout + run.stderr


def test_the_rules_are_rules() -> None:
    promtool("check", "rules", RULES)


def test_every_alert_fires_when_it_should_and_not_before() -> None:
    promtool("test", "rules", CASES)
    assert set(re.findall(r'ALERTS\{alertname="(\w+)"', CASES.read_text())) == set(ALERTS)


def test_a_scrape_is_written_as_prometheus_likes_it(scrape: Scrape) -> None:
    promtool("check", "metrics", text=scrape.text)


@pytest.fixture(scope="module")
def prometheus(server: str) -> Iterator[str]:
    """The base URL of a Prometheus that is configured as the document says."""
    directory, port = own_directory(), free_port()
    program = need("prometheus")
    configuration = block(METRICS, "yaml").replace(ADDRESS, server.removeprefix("http://"))
    file = write(
        directory / "prometheus.yml",
        configuration.replace("scrape_interval: 15s", "scrape_interval: 1s").encode(),
    )
    write(directory / "metrics-token", TOKEN.encode())
    write(directory / "alerts.yml", RULES.read_bytes())
    options = [f"--config.file={file}", f"--storage.tsdb.path={directory}/data"]
    running = Program(
        [program, *options, f"--web.listen-address=127.0.0.1:{port}"],
        directory,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        **account(),
    )
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        running.end()
        shutil.rmtree(directory)


def asked(prometheus: str, path: str, **query: str) -> Any:
    """What its API answers."""
    try:
        with urlopen(f"{prometheus}/api/v1/{path}?{urlencode(query)}", timeout=30) as response:
            return json.load(response)["data"]
    except URLError as error:
        if isinstance(error, HTTPError) and error.code != 503:
            raise AssertionError(error.read().decode()) from None
        return None  # it is not ready yet


def test_prometheus_scrapes_what_the_documents_speak_of(prometheus: str, server: str) -> None:
    def health() -> object:
        found = asked(prometheus, "query", query='up{job="tasks-api"} == 1')
        return found and found["result"]

    until(health)
    for expression in EXPRESSIONS:
        assert asked(prometheus, "query", query=filled(expression)), expression
    rules = asked(prometheus, "rules")["groups"][0]["rules"]
    assert [rule["name"] for rule in rules] == list(ALERTS)
    jobs = asked(prometheus, "label/job/values")
    assert jobs == ["tasks-api"]
    (version,) = asked(prometheus, "query", query="tasks_build_info")["result"]
    assert set(version["metric"]) >= {"version", "schema", "python", "instance"}


def test_the_commands_make_a_token_and_show_the_metrics(server: str) -> None:
    making, asking = block(METRICS, "sh").splitlines()
    script = f"{making}\necho $METRICS_TOKEN\nexport METRICS_TOKEN={TOKEN}\n{asking}"
    page = (ROOT / "docs" / "operations" / "running.md").read_text()
    commands = re.findall(r"^    (curl .*METRICS_TOKEN.*)$", page, re.M)
    script += f"\n{commands[0]}".replace("https://tasks.example.com", server)
    (check,) = re.findall(r"`(curl -i [^`]+)`", RUNBOOK)
    script += f"\n{check}".replace("https://…", server)
    run = subprocess.run(
        ["bash", "-euc", script.replace(f"http://{ADDRESS}", server)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    made, _, shown = run.stdout.partition("\n")
    assert run.returncode == 0
    assert Settings.from_environment({"METRICS_TOKEN": made}).metrics_token == made
    assert shown.count("# TYPE tasks_build_info gauge") == 2
    assert shown.count("HTTP/1.1 200 OK") == 1
