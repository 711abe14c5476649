"""Programs on Node.js, as npm has put them into tests/clients/node_modules by the lock there."""

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.rig.programs import need

CLIENTS = ROOT / "tests" / "clients"
MODULES = CLIENTS / "node_modules"
OLDEST = (20, 19)


def need_node() -> Path:
    """Where the packages are; a test that needs them is skipped without, and says why."""
    if reason := os.environ.get("WITHOUT_NODE"):
        pytest.skip(reason)
    told = subprocess.run([need("node"), "--version"], capture_output=True, text=True, timeout=60)
    version = tuple(int(part) for part in told.stdout.strip().removeprefix("v").split("."))
    if version[:2] < OLDEST:
        pytest.skip(f"Node.js {'.'.join(map(str, OLDEST))} or later is not installed")
    if not (MODULES / ".package-lock.json").exists():
        pytest.skip("what `npm ci` in tests/clients installs is not installed")
    return MODULES


def run(command: list[str], cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """The program's end, with all that it printed; it tells nobody that it ran."""
    quiet = {"REDOCLY_TELEMETRY": "off", "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true", "NO_COLOR": "1"}
    variables: dict[str, Any] = {**os.environ, **quiet, **environment}
    return subprocess.run(
        command, cwd=cwd, env=variables, capture_output=True, text=True, timeout=240
    )
