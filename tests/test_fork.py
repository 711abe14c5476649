"""docs/make-it-yours.md does what it says: followed in a copy, it makes another whole service."""

import re
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.conftest import ROOT
from tests.fork import GUIDE, blocks, copy_to, environment, follow_guide, run

FORGETFUL = "test_a_query_that_forgets_the_owner_gives_and_changes_nothing_of_his"
OF_ALL_THERE_IS = [
    *(f"tests/test_{name}.py" for name in ("notes", "documents", "architecture", "openapi")),
    f"tests/test_isolation.py::{FORGETFUL}[note_id]",
    *(
        f"tests/test_migrations.py::test_{name}"
        for name in (
            "each_step_back_leaves_what_was_there_before_it",
            "alembic_finds_no_difference_between_models_and_schema",
            "constraints_indexes_and_columns_are_defined_as_in_the_models",
            "policies_are_these",
            "grants_are_these",
            "every_table_with_a_users_id_forces_row_level_security",
        )
    ),
]
"""What goes over all routes, tables and modules; `make fork-test` runs the whole suite."""


@pytest.fixture(scope="module")
def fork() -> Iterator[Path]:
    """The service that the guide makes of a copy of this one."""
    with TemporaryDirectory(prefix="fork-") as temporary:
        directory = Path(temporary)
        copy_to(directory)
        follow_guide(directory)
        yield directory


def tracked(fork: Path, *pathspec: str) -> list[str]:
    return run(["git", "ls-files", "--", *pathspec], fork).splitlines()


def test_nothing_is_left_of_categories_where_the_service_is_made(fork: Path) -> None:
    places = ["app", "migrations", "tests", ":(glob)benchmarks/*.py", "README.md"]
    places += ["docs/data-model.md"]
    text = {name: (fork / name).read_text() for name in tracked(fork, *places)}
    speaking = [name for name, words in text.items() if re.search("categor", words, re.I)]
    assert speaking == ["tests/test_import.py"]  # which excludes a category of Unicode


def test_nothing_is_left_of_the_old_name(fork: Path) -> None:
    old = r"Tasks API|tasks-api|\btasks_(app|auth|maintenance|search|service|pat)\b"
    names = tracked(fork, ".", ":!docs/make-it-yours*")
    assert [name for name in names if re.search(old, (fork / name).read_text())] == []


def test_the_copy_serves_notes_and_its_suites_of_every_route_pass(fork: Path) -> None:
    command = [".venv/bin/python", "-m", "pytest", "--no-cov", "-n", "0", "-p", "no:cacheprovider"]
    printed = run([*command, "-k", "not schemathesis", *OF_ALL_THERE_IS], fork)
    assert "skipped" not in printed


def test_what_the_guide_shows_of_a_patch_is_in_it() -> None:
    patches = "\n".join(path.read_text() for path in (ROOT / "docs/make-it-yours").glob("*.patch"))
    assert len(blocks("diff")) > 3
    assert [block for block in blocks("diff") if block not in patches] == []


def test_every_patch_is_applied_by_the_guide() -> None:
    applied = re.findall(r"git apply --index (docs/\S+)", "".join(blocks("sh")))
    kept = sorted(str(path.relative_to(ROOT)) for path in GUIDE.with_suffix("").glob("*"))
    assert sorted(applied) == kept


def test_a_copy_owes_nothing_to_the_test_run_that_makes_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    monkeypatch.setenv("PYTEST_XDIST_WORKER", "gw0")
    assert not {"GIT_DIR", "PYTEST_XDIST_WORKER"} & set(environment())
