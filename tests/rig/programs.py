"""Programs beyond Python: found or done without, run as who they accept, and never left behind."""

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

# Where distributions put servers; an ordinary user's PATH may lack it.
SYSTEM_PATH = "/usr/sbin:/usr/local/sbin:/opt/homebrew/bin"

# Runs in a session of its own, so it outlives every way this process can end; the pipe on its
# standard input closes then. A line says that the program has ended already. Its session also has
# the children that it put into process groups of their own.
WATCHER = 'read -r _ || { kill -s KILL -- "-$1"; pkill -KILL -s "$1"; rm -rf "$2"; }'


def find(name: str) -> str | None:
    """Where the program is, if it is installed."""
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:{SYSTEM_PATH}")


def need(name: str) -> str:
    """Where the program is; a test that needs one that is missing is skipped."""
    path = find(name)
    if path is None:
        pytest.skip(f"{name} is not installed")
    return path


def account() -> dict[str, Any]:
    """Options of subprocess, so that a program which refuses root runs as somebody else."""
    if os.geteuid():
        return {}
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    raise RuntimeError("there is no account postgres or nobody")


def own_directory() -> Path:
    """A new directory that every account may pass through, and only the programs' account fill."""
    parent = None if os.geteuid() else "/tmp"
    directory = Path(tempfile.mkdtemp(prefix="tasks-rig-", dir=parent)).resolve()
    directory.chmod(0o711)
    give(directory)
    return directory


def write(path: Path, content: bytes, mode: int = 0o600) -> Path:
    """Write a file that belongs to the account of the programs."""
    path.touch(0o600)
    path.write_bytes(content)
    path.chmod(mode)
    give(path)
    return path


def give(path: Path) -> None:
    """Let it belong to the account of the programs."""
    if options := account():
        os.chown(path, options["user"], options["group"])


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def answers(port: int) -> bool:
    """Whether somebody takes connections on the port of 127.0.0.1."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except OSError:
        return False
    return True


def refuses(port: int) -> bool:
    """Whether nobody listens on the port of 127.0.0.1; a frozen server does."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except ConnectionRefusedError:
        return True
    except OSError:
        return False
    return False


class Program:
    """A program and its children, which end with this process, however that ends.

    The directory is what it leaves behind, to be removed if this process is killed.
    """

    def __init__(
        self, command: Sequence[str], directory: Path | None = None, **options: Any
    ) -> None:
        options.setdefault("cwd", "/")
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, start_new_session=True, **options
        )
        self._watcher = subprocess.Popen(
            ["/bin/sh", "-c", WATCHER, "watcher", str(self.process.pid), str(directory or "")],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        """The program's process, and that of its group."""
        return self.process.pid

    @property
    def runs(self) -> bool:
        """Whether it has not ended."""
        return self.process.poll() is None

    def send(self, number: int) -> None:
        """Send the signal to the program and its children."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def end(self, number: int = signal.SIGKILL, patience: float = 30) -> int:
        """End it, with SIGKILL where another signal does not within so many seconds; its status."""
        try:
            self.send(number)
            status = self.process.wait(patience)
        except subprocess.TimeoutExpired:
            status = -signal.SIGKILL
        finally:
            self.send(signal.SIGKILL)
            self.process.wait()
            self._watcher.communicate(b"ended\n")
        return status


def output_of(command: Sequence[str], log: Path, seconds: float, **options: Any) -> str:
    """What the program and its children print, once it has ended well; all of them end with it."""
    with log.open("w") as output:
        program = Program(command, stdout=output, stderr=output, **options)
    try:
        status = program.process.wait(seconds)
    finally:
        program.end()
    printed = log.read_text()
    assert status == 0, printed
    return printed
