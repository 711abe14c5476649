"""What a run has found, as it is kept: all figures of each round, the machine, the versions."""

import json
import os
import platform
import subprocess
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

from benchmarks.contestants import PEERS
from benchmarks.data import TASKS, USERS, server_version
from benchmarks.load import CONNECTIONS
from benchmarks.measure import Run

DIRECTORY: Final = Path(__file__).with_name("results")
OWN: Final = (
    "flask",
    "sqlalchemy",
    "psycopg2-binary",
    "pydantic",
    "orjson",
    "pyjwt",
    "gunicorn",
    "granian",
)
THEIRS: Final = (
    "fastapi",
    "sqlmodel",
    "sqlalchemy",
    "asyncpg",
    "uvicorn",
    "uvloop",
    "django",
    "djangorestframework",
    "psycopg",
    "flask",
    "flask-sqlalchemy",
    "psycopg2-binary",
    "pyjwt",
    "gunicorn",
)


def collect(run: Run) -> dict[str, Any]:
    """All of it, as JSON has it."""
    plan = run.plan
    return {
        "measured": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        "machine": machine(),
        "versions": {
            "python": platform.python_version(),
            "postgresql": server_version(run.ground.cluster.url),
            "packages": {name: found for name in OWN if (found := installed(name))},
            "peers": versions_of_peers(),
        },
        "plan": {
            "rounds": plan.rounds,
            "seconds": plan.seconds,
            "connections": CONNECTIONS,
            "users": USERS,
            "tasks_of_each": TASKS,
        },
        "titles": {one.name: one.title for one in plan.contestants},
        "flights": run.flights,
        "samples": [asdict(sample) | {"load": sample.load._asdict()} for sample in run.samples],
        "stays": [asdict(stay) for stay in run.stays],
    }


def save(results: dict[str, Any]) -> Path:
    """Write it to a file with the day in its name."""
    path = DIRECTORY / f"{results['measured'][:10]}.json"
    DIRECTORY.mkdir(exist_ok=True)
    path.write_text(json.dumps(results, indent=1) + "\n")
    return path


def machine() -> dict[str, Any]:
    """What it ran on."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "processor": processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(memory / 1e9),
        "kernel": f"{platform.system()} {platform.release()}",
    }


def processor() -> str:
    """The processor's name, as Linux knows it."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def installed(name: str) -> str | None:
    """The version of a package of ours."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def versions_of_peers() -> dict[str, str]:
    """The versions of theirs, in their own virtual environment."""
    python = PEERS / ".venv" / "bin" / "python"
    if not python.exists():
        return {}
    script = "import json, sys; from importlib.metadata import version; "
    script += "print(json.dumps({name: version(name) for name in sys.argv[1:]}))"
    run = subprocess.run(
        [python, "-c", script, *THEIRS], capture_output=True, text=True, check=True
    )
    found: dict[str, str] = json.loads(run.stdout)
    return found
