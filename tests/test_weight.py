"""What a process that serves weighs, and how it reads the schema's head without Alembic."""

from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import pytest
from alembic.script import ScriptDirectory

from app.api.health.probe import head_revision
from tests.conftest import ROOT, Account, gunicorn_process
from tests.raw import MEGABYTE, memory
from tests.rig.cluster import children

WORKER_MEGABYTES: Final = 140
"""What a worker may have at most. How much it has depends on Python and machine, and is in docs;
this only keeps it from doubling.
"""


# The schema's head is read without Alembic


def test_the_head_is_the_one_that_alembic_finds() -> None:
    migrations = ROOT / "migrations"
    head = ScriptDirectory(str(migrations)).get_current_head()
    assert head_revision(migrations / "versions") == head


# What is kept


def ask(connection: HTTPConnection, account: Account, count: int) -> None:
    """Requests of several kinds, those that are refused included."""
    headers = {"Authorization": f"Bearer {account.token}", "Content-Type": "application/json"}
    for number in range(count):
        for method, path, body, status in (
            ("GET", "/v1/tasks?limit=5&q=milk", None, 200),
            ("PATCH", "/v1/me", f'{{"name": "Alice {number}"}}', 200),
            ("POST", "/v1/tasks", '{"title": ""}', 422),
            ("GET", "/v1/nothing", None, 404),
        ):
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            assert (response.status, bool(response.read())) == (status, True)


@pytest.mark.slow
def test_a_worker_has_its_size_from_the_beginning(
    database_url: str, alice: Account, tmp_path: Path
) -> None:
    alice.create_task()
    serving = gunicorn_process(database_url, tmp_path / "log", WEB_CONCURRENCY="1")
    with serving as (base, process), closing(HTTPConnection(urlsplit(base).netloc)) as connection:
        (worker,) = children(process.pid)
        ask(connection, alice, 150)
        before = memory(worker)
        ask(connection, alice, 100)
        assert memory(worker) - before < 2 * MEGABYTE
        assert memory(worker) < WORKER_MEGABYTES * MEGABYTE
        assert children(process.pid) == [worker]
