"""`make reset` drops the development database once somebody has said yes, and nothing else."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.dev import embedded
from app.dev.embedded.main import main
from tests.conftest import ROOT
from tests.test_embedded import ask, is_down, make_directory

pytestmark = pytest.mark.slow

FAST = "-c fsync=off"


@pytest.fixture
def directory(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where the development database is, for this test."""
    made = make_directory()
    monkeypatch.setenv("FLASK_SKIP_DOTENV", "1")
    for name in ("DATABASE_URL", "APP_ENV"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("app.dev.embedded.main.default_directory", lambda: made)
    yield made
    embedded.Server(made).drop()
    for path in made.iterdir():
        path.unlink()
    made.rmdir()


def says(monkeypatch: pytest.MonkeyPatch, answer: str | None) -> None:
    """What is typed when it asks; None for the end of the input."""

    def typed(_question: str) -> str:
        if answer is None:
            raise EOFError
        return answer

    monkeypatch.setattr("builtins.input", typed)


def test_without_a_database_there_is_nothing_to_drop(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--reset", "--yes"]) == 0
    assert capsys.readouterr().out == f"{directory} has no database.\n"


@pytest.mark.parametrize("answer", ["no", "", "y", None])
def test_without_a_yes_nothing_is_dropped(
    directory: Path,
    answer: str | None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (directory / "data").mkdir()
    says(monkeypatch, answer)
    assert main(["--reset"]) == 1
    assert capsys.readouterr().err == "Nothing was dropped.\n"
    assert (directory / "data").exists()


def test_with_a_yes_it_is_dropped(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (directory / "data").mkdir()
    says(monkeypatch, "Yes")
    assert main(["--reset"]) == 0
    assert not (directory / "data").exists()


def test_a_database_in_use_is_refused_with_one_line_and_dropped_later(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with embedded.Server(directory, FAST) as url:
        assert main(["--reset", "--yes"]) == 1
        told = capsys.readouterr().err
        assert (told.count("\n"), "is in use: stop what runs on it" in told) == (1, True)
        assert ask(url, "select 1") == 1
    assert main(["--reset", "--yes"]) == 0
    assert capsys.readouterr().out == f"The database in {directory} was dropped.\n"
    assert not (directory / "data").exists()


def test_a_server_that_was_left_behind_is_stopped_first_and_the_next_one_is_empty(
    directory: Path,
) -> None:
    code = (
        "import os, sys, pathlib, embedded;"
        "server = embedded.Server(pathlib.Path(sys.argv[1]), '-c fsync=off');"
        "print(server.start(), flush=True); os._exit(0)"
    )
    command = [sys.executable, "-c", code, str(directory)]
    left = subprocess.run(command, cwd=ROOT / "app" / "dev", capture_output=True, text=True)
    url = left.stdout.strip()
    ask(url, "create table kept (); select 1")
    assert main(["--reset", "--yes"]) == 0
    assert is_down(url)
    with embedded.Server(directory, FAST) as url:
        assert ask(url, "select to_regclass('kept')") is None


@pytest.mark.parametrize(
    ("name", "value"),
    [("DATABASE_URL", "postgresql://app:hidden@127.0.0.1/tasks"), ("APP_ENV", "production")],
)
def test_another_database_is_never_dropped(
    directory: Path,
    name: str,
    value: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (directory / "data").mkdir()
    monkeypatch.setenv(name, value)
    assert main(["--reset", "--yes"]) == 1
    told = capsys.readouterr().err
    assert (told.count("\n"), "Only the embedded database" in told) == (1, True)
    assert "hidden" not in told
    assert (directory / "data").exists()


@pytest.mark.parametrize(
    ("given", "ends"),
    [(["CONFIRM=yes"], "--reset --yes"), (["CONFIRM=y"], "--reset"), ([], "--reset")],
)
def test_make_passes_a_yes_on(given: list[str], ends: str) -> None:
    environment = {"PATH": os.environ["PATH"]}
    command = ["make", "--dry-run", "reset", *given]
    shown = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert shown.stdout.strip().endswith(ends), shown.stdout + shown.stderr
