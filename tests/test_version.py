"""One version: in the code, the package, the contract, the logs, the commands and the changelog."""

import json
import re
import tomllib
from pathlib import Path

from apiflask import APIFlask

import app as package
from app.core.version import __version__
from tests.conftest import ROOT, gunicorn

CHANGES = (ROOT / "CHANGELOG.md").read_text()


def test_the_changelog_begins_with_what_is_unreleased_and_then_this_version() -> None:
    assert re.findall(r"^## \[(.*?)\]", CHANGES, re.M)[:2] == ["Unreleased", __version__]


def test_the_package_and_the_contract_have_this_version(app: APIFlask) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    document = app.test_client().get("/openapi.json").json
    assert package.__version__ == project["version"] == document["info"]["version"] == __version__


def test_no_page_names_a_tag_as_deployments_go_by_commit() -> None:
    pages = [ROOT / "README.md", ROOT / "SECURITY.md", ROOT / "CHANGELOG.md"]
    for page in [*pages, *(ROOT / "docs").rglob("*.md")]:
        found = re.findall(r"(?<![\w./])v\d+\.\d+\.\d+\b|refs/tags|--branch\b", page.read_text())
        assert found == [], page


def test_a_command_prints_the_version(app: APIFlask) -> None:
    assert app.test_cli_runner().invoke(args=["version"]).stdout == f"{__version__}\n"


def test_the_log_begins_with_the_version_that_starts(database_url: str, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with gunicorn(database_url, log, WEB_CONCURRENCY="1"):
        pass
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    (start,) = [line for line in lines if line["message"] == "the service starts"]
    assert (start["logger"], start["version"]) == ("app", __version__)
