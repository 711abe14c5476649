"""The recipes of CONTRIBUTING.md are true: their patches apply to a copy, whose tests pass."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fork import ROOT, copy_to, environment, run

pytestmark = pytest.mark.slow

RECIPES = ROOT / "docs" / "recipes"
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()

HEADINGS = {"field": "Add a field", "kind": "Add a kind of row"}

LONGEST = {"field": 125, "kind": 410}
"""Lines of a patch. One that is long breaks whenever a line beside one of its own changes."""

OF_ALL = [
    "tests/test_documents.py",
    "tests/test_openapi.py",
    "tests/test_compatibility.py::test_nothing_breaks_the_clients_of_the_last_release",
    "tests/test_releases.py",
    "tests/test_migrations.py::test_alembic_finds_no_difference_between_models_and_schema",
    "tests/test_migrations.py::test_constraints_indexes_and_columns_are_defined_as_in_the_models",
    "tests/test_migrations.py::test_policies_are_these",
    "tests/test_migrations.py::test_grants_are_these",
    "tests/test_doctor.py::test_what_is_expected_is_what_the_migrations_make",
]
TESTS = {
    "field": ["tests/test_estimates.py", "tests/test_tasks.py", *OF_ALL],
    "kind": ["tests/test_notes.py", "tests/test_isolation.py", *OF_ALL],
}

MEND = """
docs/recipes/{name}.patch does not apply to these files any more. Commit them, make the change of
the recipe once more, and write the patch anew:

    git worktree add --detach ../recipe
    cd ../recipe
    git apply --3way docs/recipes/{name}.patch
    # Resolve what is in conflict, until its tests pass as tests/test_recipes.py runs them.
    git add --all
    git diff --cached --unified=1 --full-index > {root}/docs/recipes/{name}.patch
    git worktree remove --force ../recipe

{printed}"""


@pytest.fixture(params=HEADINGS)
def name(request: pytest.FixtureRequest) -> str:
    """The name of a recipe's patch."""
    return str(request.param)


@pytest.fixture
def patch(name: str) -> Path:
    return RECIPES / f"{name}.patch"


@pytest.fixture
def section(name: str) -> str:
    """What CONTRIBUTING.md says of the recipe."""
    return CONTRIBUTING.split(f"\n## {HEADINGS[name]}\n")[1].split("\n## ")[0]


@pytest.fixture
def followed(name: str, patch: Path, tmp_path: Path) -> Iterator[Path]:
    """A copy in which the recipe has been followed."""
    copy_to(tmp_path)
    applied = subprocess.run(
        ["git", "apply", str(patch)],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert applied.returncode == 0, MEND.format(name=name, root=ROOT, printed=applied.stderr)
    return tmp_path


@pytest.mark.longest
def test_the_patch_applies_and_the_tests_pass_with_it(name: str, followed: Path) -> None:
    command = [".venv/bin/python", "-m"]
    run([*command, "ruff", "format", "--check"], followed)
    run([*command, "ruff", "check"], followed)
    # mypy only looks again at what differs from the files that `make check` has looked at before.
    if (cache := ROOT / ".mypy_cache").exists():
        shutil.copytree(cache, followed / ".mypy_cache")
    run([*command, "mypy", "--strict", "app"], followed)
    options = ["-n", "0", "-p", "no:cacheprovider", "-k", "not schemathesis", "--maxfail=5"]
    printed = run([*command, "pytest", *options, *TESTS[name]], followed)
    assert "skipped" not in printed


def changes_of(patch: Path) -> list[str]:
    """The lines of a patch but those that say where in which version of a file a change is."""
    lines = patch.read_text().splitlines()
    return [line for line in lines if not line.startswith(("index ", "@@ "))]


def test_the_commands_that_mend_a_patch_write_the_same_where_nothing_changed(
    name: str, patch: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    copy_to(copy)
    run(["git", "-c", "user.name=a", "-c", "user.email=a", "commit", "--quiet", "-m", "All"], copy)
    told = MEND.format(name=name, root=copy, printed="")
    commands = re.findall(r"^    (.+)$", told, re.M)
    run(["bash", "-euc", "\n".join(commands)], copy)
    written = copy / "docs" / "recipes" / patch.name
    assert changes_of(written) == changes_of(patch)


def test_the_steps_name_every_file_of_the_patch_and_the_patch_itself(
    name: str, patch: Path, section: str
) -> None:
    changed = re.findall(r"^diff --git a/\S+ b/(\S+)$", patch.read_text(), re.M)
    named = re.findall(r"`([\w./-]+)`", section)
    assert f"docs/recipes/{name}.patch" in section
    assert [path for path in changed if not path.startswith(tuple(named))] == []


def test_the_patch_is_short(name: str, patch: Path) -> None:
    assert len(patch.read_text().splitlines()) <= LONGEST[name]
