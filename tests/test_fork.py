"""docs/make-it-yours.md is true: its shell blocks rename a copy, and the files it names exist."""

import re
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.fork import GUIDE, ROOT, copy_to, follow_guide, run

pytestmark = pytest.mark.slow

OF_THE_ROLES = [
    f"tests/test_migrations.py::test_{name}"
    for name in (
        "alembic_finds_no_difference_between_models_and_schema",
        "policies_are_these",
        "grants_are_these",
    )
]
OF_THE_NAMES = ["tests/test_personal_tokens.py", "tests/test_documents.py", "tests/test_users.py"]


@pytest.fixture(scope="module")
def fork() -> Iterator[Path]:
    """A copy that has been given another name."""
    with TemporaryDirectory(prefix="fork-") as temporary:
        directory = Path(temporary)
        copy_to(directory)
        follow_guide(directory)
        yield directory


def test_nothing_is_left_of_the_old_name(fork: Path) -> None:
    old = r"Tasks API|tasks-api|\btasks_(app|auth|maintenance|search|service|worker|pat)\b"
    kept = {"docs/make-it-yours.md", "tests/test_fork.py"}
    names = set(run(["git", "grep", "-lI", ""], fork).splitlines()) - kept
    texts = {name: (fork / name).read_text("utf-8", errors="replace") for name in names}
    assert [name for name, text in texts.items() if re.search(old, text)] == []


def test_the_recipes_apply_to_the_renamed_service(fork: Path) -> None:
    (command,) = re.findall(r"^    (git apply docs/\S+)$", GUIDE.read_text(), re.M)
    for patch in ("kind.patch", "field.patch"):
        asking = command.replace("git apply", "git apply --check").replace("kind.patch", patch)
        run(asking.split(), fork)


def test_the_renamed_service_serves_and_its_roles_are_right(fork: Path) -> None:
    command = [".venv/bin/python", "-m", "pytest", "-n", "0", "-p", "no:cacheprovider"]
    command += ["--maxfail=5"]
    printed = run([*command, *OF_THE_ROLES, *OF_THE_NAMES], fork)
    assert "skipped" not in printed


def test_every_file_that_the_guide_names_exists() -> None:
    named = set(re.findall(r"`((?:app|tests|docs|migrations)/[\w./-]*)`", GUIDE.read_text()))
    assert len(named) > 12
    assert [path for path in named if not (ROOT / path).exists()] == []
