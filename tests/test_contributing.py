"""What contributors are told and given: commands that exist, hooks and CI that do as make does."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import ROOT

MAKEFILE = (ROOT / "Makefile").read_text()
GUIDES = [ROOT / name for name in ("CONTRIBUTING.md", "SECURITY.md", "README.md")] + [
    *sorted((ROOT / "docs").glob("*.md"))
]
GITHUB = ROOT / ".github"


def targets() -> set[str]:
    """The targets that are commands."""
    (phony,) = re.findall(r"^\.PHONY: (.*)$", MAKEFILE, re.M)
    return set(phony.split())


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def test_a_python_that_is_asked_for_and_cannot_be_used_is_named() -> None:
    command = ["make", "--no-print-directory", "smoke", "PYTHON3=/nonexistent/python3"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode
    line = "Python 3.11 or later is needed, and /nonexistent/python3 is none."
    assert done.stderr.splitlines()[0] == line


@pytest.mark.parametrize("guide", GUIDES, ids=lambda path: path.name)
def test_every_make_target_that_a_guide_names_exists(guide: Path) -> None:
    named = re.findall(r"(?:^ {4}|`|PORT=\d+ )make ([a-z][a-z-]*)", guide.read_text(), re.M)
    assert set(named) <= targets()


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
