"""The rig itself: it starts, it serves, nothing of it stays; and CI does not do without it."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from threading import Event
from urllib.request import urlopen

import pytest

from tests.conftest import ROOT
from tests.locks import until
from tests.rig.programs import need, refuses

pytestmark = pytest.mark.slow

SKIPPED = "import pytest\ndef test_it():\n    pytest.skip('nonesuch is not installed')\n"


class Rig:
    """`python -m tests.rig`, and what it has printed."""

    def __init__(self, directory: Path) -> None:
        self.log = directory / "rig"
        with self.log.open("w") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.rig"],
                cwd=ROOT,
                env={**os.environ, "PORT": ""},
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    @property
    def printed(self) -> str:
        return self.log.read_text()

    @property
    def ports(self) -> list[int]:
        """Of the service, the pooler and the database."""
        return numbers(r"(?:127\.0\.0\.1|localhost):(\d+)", self.printed)

    @property
    def pids(self) -> list[int]:
        """Of the pooler, the database and the service."""
        return numbers(r"kill -\w+ (\d+)", self.printed)

    def wait_until_it_serves(self) -> None:
        deadline = time.monotonic() + 120
        while "Ctrl-C" not in self.printed and time.monotonic() < deadline:
            assert self.process.poll() is None, self.printed
            Event().wait(0.05)
        assert "Ctrl-C" in self.printed, self.printed
        assert (len(self.ports), len(self.pids)) == (3, 3)

    @property
    def gone(self) -> bool:
        """Whether nothing of it listens or runs, and none of its files are left."""
        files = {Path(path) for path in re.findall(r"/\S*?tasks-rig-\w+", self.printed)}
        return (
            all(map(refuses, self.ports))
            and not any(map(runs, self.pids))
            and not any(file.exists() for file in files)
        )


def numbers(pattern: str, text: str) -> list[int]:
    return sorted({int(found) for found in re.findall(pattern, text)})


def runs(pid: int) -> bool:
    """Whether the process is there, and no zombie that nobody has asked after."""
    if Path("/proc/self").exists():
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return False
        return state != "Z"
    shown = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True)
    return bool(shown.stdout.strip()) and not shown.stdout.startswith("Z")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_the_rig_serves_until_it_is_stopped_and_leaves_nothing(
    tmp_path: Path, number: signal.Signals
) -> None:
    need("pgbouncer")
    rig = Rig(tmp_path)
    try:
        rig.wait_until_it_serves()
        (base,) = re.findall(r"(http://\S+)/docs", rig.printed)
        with urlopen(f"{base}/health/db", timeout=30) as response:
            assert response.status == 200
        rig.process.send_signal(number)
        rig.process.wait(60)
    finally:
        rig.process.kill()
        rig.process.wait(60)
    assert rig.process.returncode == (-number if number == signal.SIGKILL else 0)
    until(lambda: rig.gone)
    assert "Traceback" not in rig.printed


def test_a_test_that_is_skipped_fails_in_ci(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(SKIPPED)
    command = [sys.executable, "-m", "pytest", "-p", "tests.conftest", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, f"--rootdir={tmp_path}", str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "CI": "true"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1, done.stdout
    assert "1 failed" in done.stdout
