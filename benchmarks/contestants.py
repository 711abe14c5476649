"""Who takes part, and how each is started."""

import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from benchmarks.data import Person, as_service
from tests.conftest import ROOT, SECRET
from tests.rig.programs import Program, free_port

WORKERS: Final = 2
PEERS: Final = ROOT / "benchmarks" / "peers"
PATIENCE: Final = 60.0

HERE: Final = [sys.executable, "-m"]
THERE: Final = [str(PEERS / ".venv" / "bin" / "python"), "-m"]
SHAPE: Final = ["gunicorn", f"--config={ROOT}/benchmarks/shape.py", "--bind=127.0.0.1:{port}"]


@dataclass(frozen=True)
class Contestant:
    """One way to answer the same requests; `{port}` in the command is where it is to listen."""

    name: str
    title: str
    command: list[str]
    directory: Path = ROOT
    is_service: bool = False
    """Whether it is this service, with its settings and its login of least rights."""
    variables: Mapping[str, str] = field(default_factory=dict)
    """What it has in its environment besides."""


FLOOR: Final = Contestant("floor", "the floor", [*HERE, *SHAPE, "benchmarks.floor:application"])
SERVICE: Final = Contestant("service", "this service", [*HERE, "gunicorn"], is_service=True)
GRANIAN: Final = Contestant(
    "granian",
    "this service under Granian",
    [
        *[*HERE, "granian", "--interface=wsgi", f"--workers={WORKERS}", "--blocking-threads=4"],
        *["--host=127.0.0.1", "--port={port}", "--no-ws", "wsgi:app"],
    ],
    is_service=True,
)
FASTAPI: Final = Contestant(
    "fastapi",
    "FastAPI, SQLModel, asyncpg",
    [
        *[*THERE, "uvicorn", f"--workers={WORKERS}", "--host=127.0.0.1", "--port={port}"],
        *["--no-access-log", "fastapi_sqlmodel:app"],
    ],
    PEERS,
)
DJANGO: Final = Contestant(
    "django",
    "Django REST framework",
    [*THERE, *SHAPE, "django_rest.wsgi:application"],
    PEERS,
)
FLASK: Final = Contestant(
    "flask", "Flask, Flask-SQLAlchemy", [*THERE, *SHAPE, "plain_flask:app"], PEERS
)
OURS: Final = [FLOOR, SERVICE, GRANIAN]
CONTESTANTS: Final = [*OURS, FASTAPI, DJANGO, FLASK]


@dataclass(frozen=True)
class Running:
    """A contestant that answers."""

    contestant: Contestant
    base: str
    pid: int
    start_seconds: float
    """From the start of its process to its first answer with a task in it."""


@contextmanager
def started(
    contestant: Contestant, database: str, person: Person, directory: Path
) -> Iterator[Running]:
    """Run it on the owner's database until the end of the block; its output goes to a log there.

    Raises RuntimeError if it does not answer.
    """
    if not Path(contestant.command[0]).exists():
        raise RuntimeError(f"{contestant.title} is not installed: make bench does that")
    port = free_port()
    log = directory / f"{contestant.name}.log"
    begun = time.monotonic()
    with log.open("w") as output:
        program = Program(
            [part.format(port=port) for part in contestant.command],
            cwd=contestant.directory,
            env=environment(contestant, database, port),
            stdout=output,
            stderr=output,
        )
    try:
        base = f"http://127.0.0.1:{port}"
        while not answers(f"{base}/v1/tasks/{person.tasks[0]}", person.token):
            if not program.runs or time.monotonic() - begun > PATIENCE:
                said = log.read_text()[-3000:]
                raise RuntimeError(f"{contestant.title} does not start:\n{said}")
            time.sleep(0.01)
        yield Running(contestant, base, program.pid, time.monotonic() - begun)
    finally:
        program.end()


def environment(contestant: Contestant, database: str, port: int) -> dict[str, str]:
    """The same for all, and for this service what production has; nothing of the developer's."""
    kept = {"PATH", "HOME", "LANG", "PYTHONPATH"}
    common = {
        **{name: value for name, value in os.environ.items() if name in kept},
        "DATABASE_URL": database,
        "JWT_SECRET": SECRET,
        **contestant.variables,
    }
    if not contestant.is_service:
        return common
    return common | {
        "APP_ENV": "production",
        "DATABASE_URL": as_service(database),
        "PORT": str(port),
        # In production it would listen on all interfaces.
        "GUNICORN_CMD_ARGS": f"--bind=127.0.0.1:{port}",
        "WEB_CONCURRENCY": str(WORKERS),
        # Everything is counted; nobody is refused.
        "RATELIMIT_PER_USER": "1000000",
        "RATELIMIT_PER_ADDRESS": "1000000",
    }


def answers(url: str, token: str) -> bool:
    """Whether the task is there."""
    request = Request(url, headers={"Authorization": f"Bearer {token}"})
    try:
        with urlopen(request, timeout=PATIENCE):
            return True
    except HTTPError as error:
        raise RuntimeError(f"{url} is answered with {error.code}") from None
    except OSError:
        return False
