"""What contributors are given: hooks and CI do as make does, and a wrong Python is named."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import ROOT

GITHUB = ROOT / ".github"


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def test_a_python_that_is_asked_for_and_cannot_be_used_is_named() -> None:
    command = ["make", "--no-print-directory", "smoke", "PYTHON3=/nonexistent/python3"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode
    line = "Python 3.11 or later is needed, and /nonexistent/python3 is none."
    assert done.stderr.splitlines()[0] == line


def test_the_hooks_run_what_make_check_runs() -> None:
    checks = (ROOT / "Makefile").read_text().split("\ncheck: ")[1].split("\n\n")[0]
    (repository,) = read(ROOT / ".pre-commit-config.yaml")["repos"]
    assert {hook["language"] for hook in repository["hooks"]} == {"system"}
    for hook in repository["hooks"]:
        command = re.sub(r" --(?:force-exclude|fix)\b", "", hook["entry"])
        assert command.replace(".venv/bin/python", "$(PYTHON)") in checks


# GitHub


@pytest.fixture(scope="module")
def workflow() -> dict[Any, Any]:
    found: dict[Any, Any] = read(GITHUB / "workflows" / "ci.yml")
    return found


def test_the_workflow_may_read_and_nothing_else(workflow: dict[Any, Any]) -> None:
    assert workflow["permissions"] == {"contents": "read"}
    assert not any("permissions" in job for job in workflow["jobs"].values())
    assert "pull_request_target" not in workflow[True]  # YAML 1.1 takes `on` for true
    assert "secrets." not in (GITHUB / "workflows" / "ci.yml").read_text()


def test_actions_are_pinned_to_a_commit_and_say_of_which_version_it_is() -> None:
    for path in (GITHUB / "workflows").glob("*.yml"):
        used = re.findall(r"uses: (.*)", path.read_text())
        assert used
        assert all(re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+(\.\d+)*", u) for u in used)
