"""The service as it is started in production, on a port of 127.0.0.1."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.conftest import ROOT, SECRET, wait_until_ready
from tests.rig.programs import Program, free_port


def environment(**variables: str) -> dict[str, str]:
    """Production's variables, and none of the developer's."""
    return {
        **{k: v for k, v in os.environ.items() if k in {"PATH", "HOME", "LANG"}},
        "APP_ENV": "production",
        "FLASK_SKIP_DOTENV": "1",
        "JWT_SECRET": SECRET,
        "RATELIMIT_PER_USER": "0",
        "RATELIMIT_PER_ADDRESS": "0",
        **variables,
    }


def start(log: Path, port: int, **variables: str) -> Program:
    """gunicorn, with all that it prints in the log."""
    # In production it would listen on all interfaces.
    bind = {"PORT": str(port), "GUNICORN_CMD_ARGS": f"--bind=127.0.0.1:{port}"}
    with log.open("w") as output:
        return Program(
            [sys.executable, "-m", "gunicorn"],
            cwd=ROOT,
            env=environment(**variables, **bind),
            stdout=output,
            stderr=output,
        )


@contextmanager
def served(log: Path, port: int = 0, **variables: str) -> Iterator[tuple[str, Program]]:
    """Its base URL and process, once it answers; stopped at once afterwards."""
    port = port or free_port()
    program = start(log, port, **variables)
    base = f"http://127.0.0.1:{port}"
    try:
        wait_until_ready(base, program.process)
        yield base, program
    finally:
        program.end(signal.SIGINT)


def refused(log: Path, **variables: str) -> tuple[int, str]:
    """The status that it ends with where it refuses to start, and what it has printed."""
    program = start(log, free_port(), SHUTDOWN_GRACE="0", **variables)
    try:
        status = program.process.wait(60)
    finally:
        program.end()
    return status, log.read_text()
