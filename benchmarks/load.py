"""The clients: wrk, on eight connections that stay open."""

import json
import subprocess
from pathlib import Path
from typing import Final, NamedTuple

from tests.rig.programs import find

SCRIPT: Final = Path(__file__).with_name("requests.lua")
CONNECTIONS: Final = 8
OPERATIONS: Final = ("get", "list", "post", "patch", "mix")


class Load(NamedTuple):
    """What the clients saw."""

    requests: int
    seconds: float
    errors: int
    p50_ms: float
    p99_ms: float


def fire(base: str, operation: str, targets: Path, seconds: int, seed: str) -> Load:
    """Send requests of one kind, each as soon as the connection has had its answer.

    Raises RuntimeError if one of them failed.
    """
    command = [wrk(), "--threads=1", f"--connections={CONNECTIONS}", f"--duration={seconds}s"]
    command += ["--timeout=30s", "--script", str(SCRIPT), base, "--", operation, str(targets), seed]
    run = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 60)
    if run.returncode:
        raise RuntimeError(f"wrk failed: {run.stderr.strip() or run.stdout.strip()}")
    load = Load(**json.loads(run.stdout.splitlines()[-1]))
    if load.errors or not load.requests:
        raise RuntimeError(f"{load.errors} errors in {load.requests} requests ({operation})")
    return load


def wrk() -> str:
    """Where wrk is. Raises RuntimeError if it is not installed."""
    path = find("wrk")
    if path is None:
        raise RuntimeError("The benchmark needs wrk: install the package wrk.")
    return path
