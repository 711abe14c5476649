"""A PostgreSQL cluster: the directory with its data, and the server that runs on it."""

import hashlib
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from .programs import SYSTEM_DIRECTORY, Account, program, require_one_line, run_as, server_account

REPOSITORY = Path(__file__).resolve().parents[3]

_PATIENCE = 60.0
_ATTEMPTS = 5

_LOCAL = "-c listen_addresses=127.0.0.1 -c unix_socket_directories=''"

# Failed statements hold users' content, which must not reach the log.
_DISCREET = (
    "-c log_min_error_statement=panic -c log_error_verbosity=terse"
    " -c log_parameter_max_length=0 -c log_parameter_max_length_on_error=0"
)

# initdb's options. The C library's C locale knows no case beyond ASCII: lower('Ä') would stay 'Ä'.
_INITDB = (
    "--username=app --auth=scram-sha-256 --encoding=UTF8 --locale=C"
    " --locale-provider=builtin --builtin-locale=C.UTF-8"
)

# What PostgreSQL or Python report, and what to do about it. The first match counts.
_REMEDIES = (
    ("No space left|Disk quota exceeded", "Make room on the disk"),
    ("Cannot allocate memory|could not create shared memory", "Free some memory"),
    ("invalid permissions", "Run `chmod 700` on that directory"),
    (
        "Permission denied|wrong ownership|Operation not permitted",
        "Run it as the account that owns this directory, or give the directory to yours",
    ),
    ("incompatible with server", "Move its `data` away to begin with an empty database"),
    ("Read-only file system", "Move the checkout to where it can be written"),
)


def default_directory() -> Path:
    """Return where this checkout's development cluster is.

    For root it is outside the checkout, which the account that runs the server may not reach.
    """
    if os.geteuid():
        return REPOSITORY / ".postgres"
    return SYSTEM_DIRECTORY / hashlib.sha256(os.fsencode(REPOSITORY)).hexdigest()[:12]


class _Postmaster(NamedTuple):
    pid: int
    port: int
    status: str


class Cluster:
    """The cluster of an absolute directory; `options` are arguments for `postgres`.

    It takes no locks: of all processes, only one at a time may call its methods.
    """

    def __init__(self, directory: Path, options: str) -> None:
        self._directory = directory
        self._options = options
        self._data = directory / "data"
        self._log = self._data / "server.log"
        self._pid_file = self._data / "postmaster.pid"
        self._password = directory / "password"
        self._account: Account | None = None

    def prepare(self) -> None:
        """Create the directory, and choose the account that runs the server."""
        require_one_line(self._directory)
        self._directory.mkdir(parents=True, exist_ok=True)
        self._account = server_account(self._data)
        # Owned by us in both cases: another account may pass through to its data, and do no more.
        self._directory.chmod(0o711 if self._account else 0o700)

    def serve(self) -> str:
        """Create the data and start the server, unless they exist; return the URL."""
        if not self._data.exists():
            self._create()
        running = self._running()
        if running and running.status == "ready":
            port = running.port
        else:
            self.stop()  # Whoever was starting or stopping it has been killed.
            port = self._start()
        return f"postgresql://app:{self._password.read_text()}@127.0.0.1:{port}/postgres"

    def stop(self) -> None:
        """Stop the server, if it runs."""
        deadline = time.monotonic() + _PATIENCE
        if running := self._running():
            # What `pg_ctl stop --mode=fast` does, even if the wheel has been uninstalled meanwhile.
            os.kill(running.pid, signal.SIGINT)
        while self._running():
            if time.monotonic() > deadline:
                raise self.failure("the server does not stop")
            time.sleep(0.02)

    def remove(self) -> bool:
        """Remove the data of a stopped server; return whether there was any."""
        found = self._data.exists()
        if found:
            shutil.rmtree(self._data)
        return found

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Turn what the system raises into a RuntimeError of one line."""
        try:
            yield
        except (OSError, subprocess.SubprocessError) as error:
            raise self.failure(str(error)) from error

    def failure(self, output: str) -> RuntimeError:
        """Return an error of one line: the cause in a program's output, and a remedy."""
        lines = [line.strip() for line in output.splitlines() if line.strip()]
        telling = [line for line in lines if re.search("FATAL|PANIC|error:", line)]
        reason = (telling or lines[-1:] or ["no reason given"])[0].rstrip(".")
        remedies = (advice for pattern, advice in _REMEDIES if re.search(pattern, output))
        remedy = f"{next(remedies, f'See {self._log}')}, or set DATABASE_URL."
        text = f"The embedded PostgreSQL in {self._directory} failed: {reason}. {remedy}"
        return RuntimeError(" ".join(text.split()))

    def _create(self) -> None:
        # Renamed only when complete, so that an interrupted creation is done again.
        unfinished = self._directory / "unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        self._password.touch(0o600)
        self._password.write_text(secrets.token_hex(16))
        if self._account:
            os.chown(unfinished, *self._account)
            os.chown(self._password, *self._account)
        arguments = [f"--pgdata={unfinished}", f"--pwfile={self._password}", *_INITDB.split()]
        arguments += ["--no-sync"] if "fsync=off" in self._options else []
        created = run_as(self._account, [program("initdb", self._account), *arguments])
        if created.returncode:
            raise self.failure(created.stdout)
        unfinished.rename(self._data)

    def _start(self) -> int:
        recorded = self._recorded()
        # Clients of a server that was killed find the next one on the same port.
        port = recorded.port if recorded else _free_port()
        # PostgreSQL would believe any live pid in this file. Without it, orphans of a killed server
        # are still found, as the key of their shared memory is the data directory's inode.
        self._pid_file.unlink(missing_ok=True)
        for _ in range(_ATTEMPTS):
            if self._launch(port):
                return port
            port = _free_port()  # Another program may have taken the last one.
        raise self.failure(self._log.read_text(errors="replace"))

    def _launch(self, port: int) -> bool:
        """Start the server, and wait until it takes connections; return whether it does."""
        self._log.unlink(missing_ok=True)
        name = f"-c cluster_name={server_name(self._data)}"
        options = f"-p {port} {name} {_LOCAL} {_DISCREET} {self._options}"
        command = [program("pg_ctl", self._account), "start", f"--log={self._log.name}"]
        command += [f"--options={options}"]
        return run_as(self._account, command, data=self._data).returncode == 0

    def _running(self) -> _Postmaster | None:
        """Return what postmaster.pid records, if the process that it names is this server."""
        recorded = self._recorded()
        return recorded if recorded and _serves(recorded.pid, self._data) else None

    def _recorded(self) -> _Postmaster | None:
        try:
            lines = self._pid_file.read_text().splitlines()
            status = lines[7].strip() if len(lines) > 7 else "starting"
            return _Postmaster(int(lines[0]), int(lines[3]), status)
        except (FileNotFoundError, IndexError, ValueError):
            return None


def server_name(data: Path) -> str:
    """Return a name for the server of this data that a shell takes as it is, unlike a path."""
    return hashlib.sha256(os.fsencode(data)).hexdigest()[:32]


def _serves(pid: int, data: Path) -> bool:
    """Return whether the process is this cluster's server, not a zombie or a reused pid."""
    name = f"cluster_name={server_name(data)}".encode()
    if Path("/proc/self").exists():
        # Unlike the working directory, this can be read of another account's process.
        try:
            arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            return False
        return arguments[0].endswith(b"postgres") and name in arguments
    shown = subprocess.run(["ps", "-ww", "-o", "args=", "-p", str(pid)], capture_output=True)
    return b"postgres" in shown.stdout and name in shown.stdout


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
