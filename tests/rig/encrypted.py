"""The system's PostgreSQL with TLS, which the embedded one does not speak."""

import secrets
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from tests.locks import until
from tests.rig.certificates import LOCAL, Authority
from tests.rig.programs import Program, account, answers, find, free_port, own_directory, write

DEBIAN: Final = Path("/usr/lib/postgresql")

SETTINGS: Final = """
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
fsync = off
ssl = on
ssl_cert_file = '{directory}/certificate.pem'
ssl_key_file = '{directory}/key.pem'
"""
# No line for connections without TLS, as on a server that insists on it.
ACCESS: Final = b"hostssl all all 127.0.0.1/32 scram-sha-256\n"


def programs() -> Path:
    """Where the newest of them is; a test that needs it is skipped where there is none."""
    versions = sorted(DEBIAN.glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    found = versions[-1] if versions else find("postgres")
    if found is None:
        pytest.skip("a PostgreSQL with TLS is not installed")
    return Path(found).resolve().parent


@contextmanager
def encrypted(authority: Authority) -> Iterator[str]:
    """A superuser's URL of a temporary server, whose certificate the authority has signed."""
    binaries = programs()
    directory = own_directory()
    password = secrets.token_hex(16)
    try:
        create(binaries, directory, authority, password)
        port = free_port()
        with (directory / "log").open("w") as log:
            command = [str(binaries / "postgres"), "-D", str(directory / "data"), "-p", str(port)]
            program = Program(command, directory, stdout=log, stderr=log, **account())
        try:
            wait_until_ready(program, port, directory / "log")
            yield f"postgresql://app:{password}@localhost:{port}/postgres"
        finally:
            program.end(signal.SIGINT)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def create(binaries: Path, directory: Path, authority: Authority, password: str) -> None:
    """An empty cluster that only talks TLS."""
    secret = write(directory / "password", password.encode())
    data = directory / "data"
    arguments = [f"--pgdata={data}", f"--pwfile={secret}", "--username=app", "--no-sync"]
    arguments += ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C"]
    command = [str(binaries / "initdb"), *arguments]
    done = subprocess.run(command, cwd="/", capture_output=True, text=True, **account())
    assert done.returncode == 0, done.stdout + done.stderr
    identity = authority.issue(*LOCAL)
    write(directory / "certificate.pem", identity.certificate)
    write(directory / "key.pem", identity.key)
    with (data / "postgresql.conf").open("a") as configuration:
        configuration.write(SETTINGS.format(directory=directory))
    write(data / "pg_hba.conf", ACCESS)


def wait_until_ready(program: Program, port: int, log: Path) -> None:
    """Return when it takes connections. Raises AssertionError if it ends before."""
    until(lambda: not program.runs or answers(port))
    assert program.runs, log.read_text()
