"""A PostgreSQL cluster: the directory with its data, and the processes that share its server.

Each process holds a shared lock for as long as it lives. The kernel releases the locks of a process
that is killed, so nothing here depends on a clean exit.
"""

import fcntl
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

from .postmaster import PID_FILE, Postmaster, server_name
from .programs import (
    SYSTEM_DIRECTORY,
    Account,
    exclusively,
    open_lock,
    program,
    run_as,
    server_account,
)

REPOSITORY = Path(__file__).resolve().parents[3]

_PATIENCE = 60.0

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


def default_directory() -> Path:
    """Return where this checkout's development cluster is.

    For root it is outside the checkout, which the account that runs the server may not reach.
    """
    if os.geteuid():
        return REPOSITORY / ".postgres"
    return SYSTEM_DIRECTORY / hashlib.sha256(os.fsencode(REPOSITORY)).hexdigest()[:12]


class Server:
    """One process's share in the cluster of a directory: `with Server(directory) as url: …`.

    `options` are arguments for `postgres`, and only count for the process that starts it. Every
    failure is a RuntimeError of one line.
    """

    def __init__(self, directory: Path, options: str = "") -> None:
        self._directory = directory.resolve()
        self._options = options
        self._data = self._directory / "data"
        self._log = self._data / "server.log"
        self._password = self._directory / "password"
        self._lock = self._directory / "lock"
        self._membership = -1  # the descriptor of the shared lock

    def __enter__(self) -> str:
        return self.start()

    def __exit__(self, *_error: object) -> None:
        self.stop()

    def start(self) -> str:
        """Join the server, starting it and creating the cluster if needed; return its URL.

        The URL is all that a client needs: libpq's variables are meant for other servers, and are
        removed from this process's environment.
        """
        for name in [name for name in os.environ if re.match("PG[A-Z]", name)]:
            del os.environ[name]
        with self._errors():
            self._directory.mkdir(parents=True, exist_ok=True)
            account = server_account(self._data)
            # Ours in both cases: another account may pass through to its data, and do no more.
            self._directory.chmod(0o711 if account else 0o700)
            with exclusively(self._lock):
                self._join()
                try:
                    return self._serve(account)
                except BaseException:
                    self._leave()
                    raise

    def stop(self) -> None:
        """Leave; the last process to do so stops the server."""
        if self._membership < 0:
            return
        with self._errors():
            try:
                with exclusively(self._lock):
                    self._leave()
            except FileNotFoundError:
                self._forget()  # The directory was removed, and its server ends by itself then.

    def drop(self) -> bool:
        """Remove all data, whether there is a server or not; return whether there was any.

        Raises RuntimeError while another process uses the server.
        """
        if not self._data.exists():
            return False
        with self._errors(), exclusively(self._lock):
            self._join()
            if not self._leave():  # It also stops a server whose owners were all killed.
                raise RuntimeError(
                    f"The database in {self._directory} is in use: stop what runs on it first."
                )
            shutil.rmtree(self._data)
            return True

    # Only under the lock

    def _join(self) -> None:
        """Become a user of the server."""
        self._membership = open_lock(self._directory / "users")
        fcntl.flock(self._membership, fcntl.LOCK_SH)

    def _leave(self) -> bool:
        """Stop the server unless others use it; return whether it did."""
        try:
            fcntl.flock(self._membership, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        else:
            self._end()
            return True
        finally:
            self._forget()

    def _forget(self) -> None:
        os.close(self._membership)
        self._membership = -1

    def _serve(self, account: Account | None) -> str:
        """Create the data and start the server, unless they exist; return the URL."""
        if not self._data.exists():
            self._create(account)
        running = Postmaster.running(self._data)
        if running and running.status == "ready":
            port = running.port
        else:
            self._end()  # The process that was starting or stopping it has been killed.
            port = self._launch(account)
        return f"postgresql://app:{self._password.read_text()}@127.0.0.1:{port}/postgres"

    def _end(self) -> None:
        """Stop the server, if it runs."""
        deadline = time.monotonic() + _PATIENCE
        if running := Postmaster.running(self._data):
            # What `pg_ctl stop --mode=fast` does, even if the wheel has been uninstalled meanwhile.
            os.kill(running.pid, signal.SIGINT)
        while Postmaster.running(self._data):
            if time.monotonic() > deadline:
                raise self._failure("the server does not stop")
            time.sleep(0.02)

    def _create(self, account: Account | None) -> None:
        # Renamed only when complete, so that an interrupted creation is done again.
        unfinished = self._directory / "unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        self._password.touch(0o600)
        self._password.write_text(secrets.token_hex(16))
        if account:
            os.chown(unfinished, *account)
            os.chown(self._password, *account)
        arguments = [f"--pgdata={unfinished}", f"--pwfile={self._password}", *_INITDB.split()]
        arguments += ["--no-sync"] if "fsync=off" in self._options else []
        created = run_as(account, [program("initdb", account), *arguments])
        if created.returncode:
            raise self._failure(created.stdout)
        unfinished.rename(self._data)

    def _launch(self, account: Account | None) -> int:
        """Start the server, and wait until it takes connections; return its port."""
        recorded = Postmaster.recorded(self._data)
        # PostgreSQL would believe any live pid in this file. Without it, orphans of a killed server
        # are still found, as the key of their shared memory is the data directory's inode.
        (self._data / PID_FILE).unlink(missing_ok=True)
        command = [program("pg_ctl", account), "start", f"--log={self._log.name}"]
        name = f"-c cluster_name={server_name(self._data)}"
        # Clients of a killed server find the next one on its port, unless others took it meanwhile.
        for port in ([recorded.port] if recorded else []) + [_free_port() for _ in range(3)]:
            self._log.unlink(missing_ok=True)
            options = f"--options=-p {port} {name} {_LOCAL} {_DISCREET} {self._options}"
            if run_as(account, [*command, options], data=self._data).returncode == 0:
                return port
        raise self._failure(self._log.read_text(errors="replace"))

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Turn what the system raises into a RuntimeError of one line."""
        try:
            yield
        except (OSError, subprocess.SubprocessError) as error:
            raise self._failure(str(error)) from error

    def _failure(self, output: str) -> RuntimeError:
        """Return an error of one line: the cause in a program's output, and where to look."""
        lines = [line.strip() for line in output.splitlines() if line.strip()]
        telling = [line for line in lines if re.search("FATAL|PANIC|error:", line)]
        reason = (telling or lines[-1:] or ["no reason given"])[0].rstrip(".")
        text = f"The embedded PostgreSQL in {self._directory} failed: {reason}."
        return RuntimeError(f"{text} See {self._log}, or set DATABASE_URL.")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
