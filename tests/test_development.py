"""What `make run` starts once there is a database."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from urllib.request import urlopen

import pytest

from app.core.config import FAILED_TO_LOAD
from tests.conftest import ROOT, gunicorn_process
from tests.databases import opened, own_database
from tests.locks import until
from tests.rig.cluster import children
from tests.rig.programs import free_port

pytestmark = pytest.mark.slow


def test_an_empty_database_is_migrated_and_served(cluster: str, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with own_database(cluster) as url:
        serving = gunicorn_process(url, log, "app.dev.development", APP_ENV="development")
        with serving as (base, _), urlopen(f"{base}/health/db", timeout=5) as response:
            health = json.load(response)
    assert (health["status"], health["revision"]["up_to_date"]) == ("ok", True)
    assert f"Documentation: {base}/docs" in log.read_text()


def is_gone(pid: int) -> bool:
    """Whether the process has ended; a zombie has."""
    shown = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True)
    return shown.stdout.strip() in {"", "Z", "Z+", "Zs"}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_worker_runs_beside_the_server_and_ends_with_it_whatever_happens(
    cluster: str, tmp_path: Path, number: int
) -> None:
    log, health = tmp_path / "log", tmp_path / "health"
    beside = {"APP_ENV": "development", "WORKER_HEALTH_FILE": str(health)}
    with own_database(cluster) as url:
        serving = gunicorn_process(url, log, "app.dev.development", **beside)
        with serving as (_, process):
            until(health.exists)
            processes = children(process.pid)
            assert len(processes) == 3  # gunicorn's two, and it
            process.send_signal(number)
            process.wait(60)
            if number == signal.SIGKILL:
                until(lambda: all(map(is_gone, processes)))
            assert all(map(is_gone, processes))
    assert '"message":"the worker ends"' in log.read_text()


def stopped(**environment: str) -> tuple[int, str]:
    """The status and the lines that a start ends with."""
    kept = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG"}}
    given = {"FLASK_SKIP_DOTENV": "1", "DB_CONNECT_TIMEOUT": "1", "PORT": str(free_port())}
    ended = subprocess.run(
        [sys.executable, "-m", "app.dev.development"],
        cwd=ROOT,
        env={**kept, **given, **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "hidden" not in ended.stdout + ended.stderr
    lines = [line for line in ended.stdout.splitlines() if '"logger":"alembic' not in line]
    assert lines == []
    return ended.returncode, ended.stderr


@pytest.mark.parametrize(
    ("url", "status", "said"),
    [
        ("postgresql://app:hidden@127.0.0.1:1/tasks", 1, "Connection refused; check DATABASE_URL"),
        ("postgresql://app:hidden@nowhere.invalid/tasks", 1, "no host of that name is known"),
        ("{server}/nowhere", 1, "there is no database of that name"),
        ("{server}/postgres?sslmode=require", 1, "asks for TLS, which the server does not speak"),
        ("{wrong}/postgres", 1, "its user or password is not accepted"),
        ("{server}/postgres?pgbouncer=true", 4, "no parameter but libpq's"),
    ],
)
def test_a_database_that_cannot_be_used_stops_the_start_with_one_line(
    cluster: str, url: str, status: int, said: str
) -> None:
    server = cluster.rpartition("/")[0]
    wrong = server.replace(server.split(":")[2].split("@")[0], "hidden")
    code, told = stopped(DATABASE_URL=url.format(server=server, wrong=wrong))
    assert (code, told.count("\n")) == (status, 1), told
    assert said in told


def test_a_port_in_use_stops_the_start_before_anything_else(cluster: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, own_database(cluster) as url:
        port = taken.getsockname()[1]
        code, told = stopped(DATABASE_URL=url, PORT=str(port))
        with opened(url) as cursor:
            cursor.execute("select to_regclass('alembic_version')")
            assert cursor.fetchall() == [(None,)]
    assert code == FAILED_TO_LOAD
    assert told == f"Configuration: port {port} is in use; set PORT to another\n"
