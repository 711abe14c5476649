"""A worker opens its first connection by itself, and a database that sleeps delays no port."""

import json
import time
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from tests.conftest import Account, gunicorn
from tests.databases import opened, own_database
from tests.locks import until
from tests.rig.proxy import Proxy

pytestmark = pytest.mark.slow

PATIENCE_SECONDS = 30.0


def status(base: str, account: Account) -> int:
    request = Request(f"{base}/v1/tasks", headers={"Authorization": f"Bearer {account.token}"})
    try:
        with urlopen(request, timeout=30) as response:
            return int(response.status)
    except HTTPError as error:
        return error.code


def sessions(cursor: Any) -> int:
    cursor.execute(
        "select from pg_stat_activity"
        " where datname = current_database() and application_name = 'tasks-api'"
    )
    return int(cursor.rowcount)


def test_each_worker_opens_a_connection_before_anybody_asks(cluster: str, tmp_path: Path) -> None:
    with (
        own_database(cluster) as url,
        opened(url) as cursor,
        gunicorn(url, tmp_path / "log", WEB_CONCURRENCY="2"),
    ):
        until(lambda: sessions(cursor) >= 2)
        assert sessions(cursor) == 2


def test_a_database_that_sleeps_delays_no_port_and_is_served_when_it_wakes(
    proxy: Proxy, alice: Account, tmp_path: Path
) -> None:
    proxy.faults.asleep = True
    with gunicorn(proxy.url, tmp_path / "log", WEB_CONCURRENCY="1") as base:
        with urlopen(f"{base}/health", timeout=5) as response:
            assert json.load(response) == {"status": "ok"}
        started, answers = time.monotonic(), []
        while not answers or answers[-1] != 200:
            assert time.monotonic() - started < PATIENCE_SECONDS
            if time.monotonic() - started > 2:
                proxy.faults.asleep = False
            answers.append(status(base, alice))
        assert set(answers) <= {200, 503}
