"""What a process that serves weighs: what it loads, what it keeps, what its workers share."""

import gc
import json
import logging
import re
import subprocess
import sys
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import pytest
from alembic.script import ScriptDirectory

from app.api.health import head_revision
from app.core.logs import StandardOutput
from tests.conftest import ROOT, SECRET, Account, gunicorn_process
from tests.contract import NOWHERE
from tests.raw import memory
from tests.rig.cluster import children

MEGABYTE: Final = 2**20

IDLE: Final = {
    "alembic": "migrations",
    "flask_migrate": "migrations",
    "mako": "migrations",
    "sqlalchemy.dialects.mysql": "migrations",
    "redis": "a RATELIMIT_STORAGE_URI that names one",
    "app.dev.embedded": "a service with no DATABASE_URL",
    "dns": "nothing here",
    "email_validator": "nothing here",
    "google.protobuf": "a service that sends traces",
    "icalendar": "an export for a calendar",
    "opentelemetry": "a service that sends traces",
    "app.ops.metrics.exposition": "a METRICS_TOKEN",
    "prometheus_client": "a METRICS_TOKEN",
    "yaml": "nothing here",
}
"""What most processes that serve have no use for, and who has."""

LOADED: Final = 670
"""Modules of ours and of others; how many Python's own are changes from one to the next."""

SERVE: Final = """
import json, sys, wsgi
client = wsgi.app.test_client()
assert client.get("/health").status_code == 200
assert client.get("/health/db").status_code == 503
assert client.get("/docs").status_code == 200
print(json.dumps(sorted(sys.modules)))
"""

WORKER_MEGABYTES: Final = 90
"""What a worker may have at most; how much it has is in docs, this only keeps it from doubling."""

ROUNDS: Final = 100


@pytest.fixture(scope="module")
def loaded() -> set[str]:
    """The modules of a process that has served."""
    environment = {"APP_ENV": "test", "FLASK_SKIP_DOTENV": "1", "LOG_LEVEL": "ERROR"}
    process = subprocess.run(
        [sys.executable, "-c", SERVE],
        cwd=ROOT,
        env={**environment, "DATABASE_URL": NOWHERE, "JWT_SECRET": SECRET},
        capture_output=True,
        text=True,
        check=True,
    )
    return set(json.loads(process.stdout))


@pytest.mark.parametrize("module", IDLE)
def test_what_serving_has_no_use_for_is_not_loaded(loaded: set[str], module: str) -> None:
    assert module not in loaded, f"it is for {IDLE[module]}"


def test_the_modules_that_are_loaded_do_not_become_many_more(loaded: set[str]) -> None:
    others = {name for name in loaded if name.partition(".")[0] not in sys.stdlib_module_names}
    assert len(others) < LOADED


# The schema's head is read without Alembic


def test_the_head_is_the_one_that_alembic_finds() -> None:
    migrations = ROOT / "migrations"
    head = ScriptDirectory(str(migrations)).get_current_head()
    assert head_revision(migrations / "versions") == head


@pytest.mark.parametrize(
    ("steps", "head"),
    [
        ({}, None),
        ({"0001": "None"}, "0001"),
        ({"0001": "None", "ab12cd": '"0001"', "0000": "'ab12cd'"}, "0000"),
        ({"a": "None", "b": '"a"', "c": '"a"', "d": '("b", "c")'}, "d"),
    ],
    ids=["none", "one", "a chain out of order", "a merge"],
)
@pytest.mark.parametrize("annotation", ["", ": str | None"])
def test_the_head_is_what_no_other_migration_follows(
    tmp_path: Path, steps: dict[str, str], head: str | None, annotation: str
) -> None:
    for name, before in steps.items():
        text = f'revision{annotation} = "{name}"\ndown_revision{annotation} = {before}\n'
        (tmp_path / f"{name}_step.py").write_text(text)
    assert head_revision(tmp_path) == head


def test_two_heads_stop_the_start(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / f"{name}.py").write_text(f'revision = "{name}"\ndown_revision = None\n')
    with pytest.raises(ValueError, match="one, two"):
        head_revision(tmp_path)


# What is kept


def in_use() -> tuple[int, int]:
    """How many containers and blocks of memory Python has, when nothing is left to free."""
    gc.collect()
    return len(gc.get_objects()), sys.getallocatedblocks()


def use(account: Account, task: str) -> None:
    """One request of each kind, those that are refused included."""
    path = f"/v1/tasks/{task}"
    statuses = [
        account.get(path).status_code,
        account.get("/v1/tasks?limit=5&q=milk").status_code,
        account.patch(path, json={"title": "Buy oat milk"}).status_code,
        account.post("/v1/tasks", json={"title": ""}).status_code,
        account.get(f"/v1/nothing/{task}").status_code,
        account.client.get("/v1/tasks").status_code,
    ]
    assert statuses == [200, 200, 200, 422, 404, 401]


def test_requests_leave_nothing_behind(alice: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging.root, "handlers", [StandardOutput()])  # pytest's keeps each record
    task = alice.create_task()["id"]
    for _ in range(20):
        use(alice, task)
    objects, blocks = in_use()
    for _ in range(ROUNDS):
        use(alice, task)
    more_objects, more_blocks = in_use()
    assert more_objects - objects < ROUNDS / 2
    # Some are taken on the way: what is kept for the next use ends in other places for a while.
    assert more_blocks - blocks < ROUNDS * 6


def ask(connection: HTTPConnection, account: Account, count: int) -> None:
    for _ in range(count):
        headers = {"Authorization": f"Bearer {account.token}"}
        connection.request("GET", "/v1/tasks", headers=headers)
        response = connection.getresponse()
        assert (response.status, bool(response.read())) == (200, True)


def test_a_worker_has_its_size_from_the_beginning(
    database_url: str, alice: Account, tmp_path: Path
) -> None:
    alice.create_task()
    serving = gunicorn_process(database_url, tmp_path / "log", WEB_CONCURRENCY="1")
    with serving as (base, process), closing(HTTPConnection(urlsplit(base).netloc)) as connection:
        (worker,) = children(process.pid)
        ask(connection, alice, 100)
        before = memory(worker)
        ask(connection, alice, 500)
        assert memory(worker) - before < 2 * MEGABYTE
        assert memory(worker) < WORKER_MEGABYTES * MEGABYTE
        assert children(process.pid) == [worker]


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="Linux alone tells")
def test_workers_share_most_of_what_they_have(
    database_url: str, alice: Account, tmp_path: Path
) -> None:
    serving = gunicorn_process(database_url, tmp_path / "log", WEB_CONCURRENCY="1")
    with serving as (base, process), closing(HTTPConnection(urlsplit(base).netloc)) as connection:
        (worker,) = children(process.pid)
        ask(connection, alice, 100)
        shown = Path(f"/proc/{worker}/smaps_rollup").read_text()
        amounts = {name: int(size) for name, size in re.findall(r"^(\w+):\s+(\d+) kB", shown, re.M)}
        assert amounts["Private_Dirty"] < amounts["Rss"] / 2
