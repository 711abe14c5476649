"""A copy of the repository, to which all is done that docs/make-it-yours.md says.

`python -m tests.fork` makes one in a directory of its own, runs its whole suite and removes it;
`python -m tests.fork DIRECTORY` makes one there and leaves it.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

ROOT: Final = Path(__file__).parent.parent
GUIDE: Final = ROOT / "docs" / "make-it-yours.md"


def blocks(language: str) -> list[str]:
    """The fenced blocks of the guide in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", GUIDE.read_text(), re.M | re.S)


def files() -> list[str]:
    """What is, or is about to be, in the repository."""
    listed = run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], ROOT)
    return sorted({name for name in listed.split("\0") if (ROOT / name).is_file()})


def copy_to(directory: Path) -> None:
    """A repository with the same files and one commit; it shares the installed packages."""
    for name in files():
        target = directory / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, target)
    run(["git", "init", "--quiet", "--initial-branch=main"], directory)
    (directory / ".git" / "info" / "exclude").write_text(".venv\n")
    commit(directory, "A copy")
    (directory / ".venv").symlink_to(ROOT / ".venv")


def follow_guide(directory: Path) -> None:
    """Do what each shell block says, in their order."""
    for block in blocks("sh"):
        run(["bash", "-c", f"set -euo pipefail\n{block}"], directory)
        commit(directory, block.splitlines()[0])


def commit(directory: Path, message: str) -> None:
    """Commit all that there is."""
    somebody = ["-c", "user.name=Fork", "-c", "user.email=fork@localhost"]
    run(["git", "add", "--all"], directory)
    run(["git", *somebody, "commit", "--quiet", "--allow-empty", "--message", message], directory)


def run(command: list[str], directory: Path) -> str:
    """What it prints. Raises AssertionError, with that, if it fails."""
    done = subprocess.run(
        command, cwd=directory, env=environment(), capture_output=True, text=True, timeout=1200
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-8000:]}{done.stderr[-8000:]}"
    return done.stdout


def environment() -> dict[str, str]:
    """Nothing of a repository or a test run around this one reaches those within."""
    foreign = ("GIT_", "PYTEST_", "COV_", "COVERAGE_")
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(foreign)}
    return inherited | {"FLASK_SKIP_DOTENV": "1", "PYTHONDONTWRITEBYTECODE": "1"}


def main() -> int:
    """Make the copy; without a directory, also run its tests."""
    if len(sys.argv) > 1:
        directory = Path(sys.argv[1]).absolute()
        copy_to(directory)
        follow_guide(directory)
        return 0
    with TemporaryDirectory(prefix="fork-") as temporary:
        directory = Path(temporary)
        copy_to(directory)
        follow_guide(directory)
        run(
            [sys.executable, "-m", "mypy", "--strict", "app", "wsgi.py", "gunicorn.conf.py"],
            directory,
        )
        tests = [sys.executable, "-m", "pytest", "--no-cov", "-n", "auto", "--dist=worksteal"]
        return subprocess.run(tests, cwd=directory, env=environment()).returncode


if __name__ == "__main__":
    sys.exit(main())
