"""A copy of the repository, renamed as docs/make-it-yours.md shows."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parent.parent
GUIDE: Final = ROOT / "docs" / "make-it-yours.md"


def shell_blocks() -> list[str]:
    """Return the guide's shell blocks in their order."""
    return re.findall(r"^```sh\n(.*?)^```$", GUIDE.read_text(), re.M | re.S)


def files() -> list[str]:
    """Return the files that are, or are about to be, in the repository."""
    listed = run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], ROOT)
    return sorted({name for name in listed.split("\0") if (ROOT / name).is_file()})


def copy_to(directory: Path) -> None:
    """Make a repository with the same files, which shares the installed packages."""
    for name in files():
        target = directory / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, target)
    run(["git", "init", "--quiet", "--initial-branch=main"], directory)
    (directory / ".git" / "info" / "exclude").write_text(".venv\n")
    run(["git", "add", "--all"], directory)
    (directory / ".venv").symlink_to(ROOT / ".venv")


def follow_guide(directory: Path) -> None:
    """Run each shell block of the guide."""
    for block in shell_blocks():
        run(["bash", "-c", f"set -euo pipefail\n{block}"], directory)


def run(command: list[str], directory: Path) -> str:
    """Return what the command prints; AssertionError with its output if it fails."""
    done = subprocess.run(
        command, cwd=directory, env=environment(), capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-8000:]}{done.stderr[-8000:]}"
    return done.stdout


def environment() -> dict[str, str]:
    """Return the environment without what belongs to this repository or this test run."""
    foreign = ("GIT_", "PYTEST_", "COV_", "COVERAGE_")
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(foreign)}
    return inherited | {"FLASK_SKIP_DOTENV": "1", "PYTHONDONTWRITEBYTECODE": "1"}
