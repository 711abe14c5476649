"""A service that is told to be in development, but that others can reach, says so at its start."""

from pathlib import Path
from typing import Any

import pytest

from app.core.config import Settings
from app.core.environment import exposed_development
from tests.conftest import SECRET, gunicorn

pytestmark = pytest.mark.slow

HERE = "postgresql://app:hidden@127.0.0.1/tasks"
THERE = "postgresql://app:hidden@db.invalid/tasks?sslmode=require"
LOOPBACK: list[Any] = [("127.0.0.1", 8000), ("::1", 8000), ("localhost", 8000), "/run/tasks.sock"]


def warning(address: Any, **environment: str) -> list[str]:
    settings = Settings.from_environment({"JWT_SECRET": SECRET, **environment})
    return exposed_development(settings, [address])


@pytest.mark.parametrize("address", LOOPBACK, ids=str)
def test_nothing_is_said_while_all_stays_on_this_host(address: Any) -> None:
    assert warning(address) == []
    assert warning(address, DATABASE_URL=HERE) == []


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "tasks.example.com"])
def test_an_address_that_others_reach_is_named(host: str) -> None:
    (line,) = warning((host, 8000), DATABASE_URL=THERE)
    assert f"listens on {host} and uses a database on another host" in line
    assert "APP_ENV is development" in line
    production = {"APP_ENV": "production", "DATABASE_URL": THERE}
    assert warning((host, 8000), **production) == []


def test_a_server_with_a_database_elsewhere_says_it_once(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with gunicorn(THERE, log, APP_ENV="development", WEB_CONCURRENCY="2"):
        pass
    lines = [line for line in log.read_text().splitlines() if "APP_ENV is" in line]
    assert len(lines) == 1
    assert "APP_ENV is development: the service uses a database on another host" in lines[0]
    assert "hidden" not in lines[0]
