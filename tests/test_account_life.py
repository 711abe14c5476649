"""docs/account-life.md prints what it shows, with `make run` and the mail server that it starts."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.dev import embedded
from tests.conftest import ROOT
from tests.fork import files
from tests.locks import until
from tests.rig.programs import free_port, need, output_of, refuses
from tests.test_readme import ADDRESS, MARK, settled, steps

pytestmark = pytest.mark.slow

PAGE = (ROOT / "docs" / "account-life.md").read_text()
MAIL_PORT = "8025"


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the repository, where `make` has nothing to install and there is no database."""
    copy = tmp_path / "checkout"
    for name in files():
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, copy / name)
    share_packages(copy / ".venv")
    monkeypatch.setattr("app.dev.embedded.cluster.REPOSITORY", copy)
    yield copy
    until(lambda: is_removed(embedded.default_directory()))


def share_packages(environment: Path) -> None:
    """Make a .venv with the packages of ours, as if make had installed them just now."""
    environment.mkdir()
    ours = [path for path in (ROOT / ".venv").iterdir() if not path.name.startswith(".")]
    for path in ours:
        (environment / path.name).symlink_to(path)
    for name in (".created", *(f".{lock.name}" for lock in ROOT.glob("requirements*.txt"))):
        (environment / name).touch()


def is_removed(directory: Path) -> bool:
    """Remove the database, and stop its server where what used it was killed."""
    try:
        embedded.Server(directory).drop()
    except RuntimeError:  # something that was killed has not ended yet
        return False
    shutil.rmtree(directory, ignore_errors=True)
    return True


def test_the_life_of_an_account_prints_what_is_shown(checkout: Path, tmp_path: Path) -> None:
    need("curl")
    life, port, mail_port = steps(PAGE), free_port(), free_port()
    script = f"\necho '{MARK}'\n".join(commands for commands, _ in life)
    script = script.replace(ADDRESS, f"http://127.0.0.1:{port}").replace(MAIL_PORT, str(mail_port))
    place = tmp_path / "place"
    place.mkdir()
    printed = run(script, checkout, place, PORT=str(port))
    assert [settled(text) for text in printed.split(MARK)] == [settled(text) for _, text in life]
    assert list(place.glob("account-life.*")) == []
    assert refuses(port)
    assert refuses(mail_port)


def run(script: str, checkout: Path, place: Path, **environment: str) -> str:
    """What it prints; whatever it starts has ended afterwards."""
    variables = {"PATH": os.environ["PATH"], "HOME": str(place), "TMPDIR": str(place)}
    return output_of(
        ["bash", "-euo", "pipefail", "-c", script],
        place / "log",
        180,
        cwd=checkout,
        env={**variables, "SHUTDOWN_GRACE": "0", **environment},
    )
