"""What contributors are told and given: commands that exist, hooks and CI that do as make does."""

import re
import shlex
import subprocess
import tomllib
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
INTERNAL = {"FORCE"}
"""Targets that only other targets need."""


def targets() -> set[str]:
    """The targets that are commands."""
    (phony,) = re.findall(r"^\.PHONY: (.*)$", MAKEFILE, re.M)
    return set(phony.split())


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def test_make_alone_prints_every_target_with_what_it_does() -> None:
    printed = subprocess.run(
        ["make", "--no-print-directory"], cwd=ROOT, capture_output=True, text=True, timeout=60
    ).stdout
    lines = re.findall(r"^make (\S+) +(\S.{8,})$", printed, re.M)
    assert {name for name, _ in lines} == targets() - INTERNAL


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


def test_every_path_that_the_guide_for_contributors_runs_exists() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    paths = set(re.findall(r"\b(?:tests|app|benchmarks|migrations|docs)/[\w./-]*\w", text))
    assert len(paths) > 10
    assert [path for path in sorted(paths) if not (ROOT / path).exists()] == []


def test_every_test_that_the_guide_for_contributors_runs_is_found() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    for path, name in re.findall(r"(tests/\w+\.py)::(\w+)", text):
        assert f"def {name}(" in (ROOT / path).read_text()


# Hooks before a commit


def hooks() -> list[dict[str, Any]]:
    """The hooks, none of which is fetched from anywhere."""
    (repository,) = read(ROOT / ".pre-commit-config.yaml")["repos"]
    assert repository["repo"] == "local"
    return list(repository["hooks"])


def test_the_hooks_are_the_checks_of_make() -> None:
    recipe = MAKEFILE.split("\ncheck: ", 1)[1].split("\n\n", 1)[0]
    checks = re.findall(r"\$\(PYTHON\) -m (ruff \w+|mypy .*)", recipe)
    run = [re.match(r"\.venv/bin/python -m (ruff \w+|mypy .*)", h["entry"]) for h in hooks()]
    assert [match and match[1] for match in run] == checks


@pytest.mark.parametrize("name", ["format", "lint"])
def test_a_hook_mends_the_files_that_it_is_given(name: str, tmp_path: Path) -> None:
    (hook,) = [hook for hook in hooks() if hook["id"] == name]
    untidy = tmp_path / "untidy.py"
    untidy.write_text("import os\nX = {  'a':1 }\n" if name == "format" else "import os\n")
    command = [*shlex.split(hook["entry"]), "--config", "pyproject.toml", str(untidy)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    tidy = 'import os\n\nX = {"a": 1}\n' if name == "format" else ""
    assert untidy.read_text() == tidy


def test_every_hook_is_whole() -> None:
    for hook in hooks():
        assert {"id", "name", "entry", "language"} <= set(hook)
        assert hook["language"] == "system"


# GitHub


@pytest.fixture(scope="module")
def workflow() -> dict[Any, Any]:
    found: dict[Any, Any] = read(GITHUB / "workflows" / "ci.yml")
    return found


def steps(workflow: dict[Any, Any]) -> list[dict[str, Any]]:
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


def test_the_workflow_runs_what_ci_runs_everywhere(workflow: dict[Any, Any]) -> None:
    assert [step["run"] for step in steps(workflow) if "run" in step] == [".ci/run"]
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o111


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


def test_the_workflow_keeps_what_pip_downloads_until_the_pins_change(
    workflow: dict[Any, Any],
) -> None:
    (python,) = [s["with"] for s in steps(workflow) if "setup-python" in s.get("uses", "")]
    assert python["cache"] == "pip"
    for pattern in python["cache-dependency-path"].split():
        assert list(ROOT.glob(pattern)), pattern


def test_the_workflow_has_the_oldest_and_the_newest_python_that_are_supported(
    workflow: dict[Any, Any],
) -> None:
    (python,) = [s["with"] for s in steps(workflow) if "setup-python" in s.get("uses", "")]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    name = "Programming Language :: Python :: "
    supported = [c.removeprefix(name) for c in project["classifiers"] if c.startswith(name)]
    assert python["python-version"].split() == [supported[0], supported[-1]]
    assert project["requires-python"] == f">={supported[0]}"


def test_a_later_push_ends_the_run_of_an_earlier_one(workflow: dict[Any, Any]) -> None:
    assert "github.ref" in workflow["concurrency"]["group"]
    assert workflow["concurrency"]["cancel-in-progress"]
    assert all(job["timeout-minutes"] <= 60 for job in workflow["jobs"].values())


def test_every_form_for_issues_is_whole() -> None:
    forms = [p for p in (GITHUB / "ISSUE_TEMPLATE").glob("*.yml") if p.name != "config.yml"]
    assert len(forms) == 2
    for form in map(read, forms):
        assert {"name", "description", "body"} <= set(form)
        fields = [field for field in form["body"] if field["type"] != "markdown"]
        assert len({field["id"] for field in fields}) == len(fields) > 0
        assert all(field["attributes"]["label"] for field in fields)


def test_weaknesses_are_reported_in_private_and_to_no_invented_address() -> None:
    text = (ROOT / "SECURITY.md").read_text()
    assert "Report a vulnerability" in text
    assert not re.search(r"[\w.]+@[\w.]+|https?://", text)
