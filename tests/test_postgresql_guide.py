"""The steps of docs/operations/postgresql.md lead to a service on a PostgreSQL like any other."""

import os
import re
import secrets
import shlex
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest

from tests.conftest import ROOT
from tests.databases import opened
from tests.rig.cluster import Cluster
from tests.rig.programs import free_port, need, output_of, own_directory

pytestmark = pytest.mark.slow

PAGE = (ROOT / "docs" / "operations" / "postgresql.md").read_text()
OWNER, LOGIN = re.findall(r"^```sql\n(.*?)^```", PAGE, re.M | re.S)
SETTINGS, MIGRATE, START = re.findall(r"^```sh\n(.*?)^```", PAGE, re.M | re.S)
(SHOWN,) = re.findall(r"^```text\n(.*?)^```", PAGE, re.M | re.S)
PASSWORDS = {name: secrets.token_hex(16) for name in ("OWNER_PASSWORD", "SERVICE_PASSWORD")}


@pytest.fixture
def place() -> Iterator[Path]:
    made = own_directory()
    yield made
    shutil.rmtree(made)


def run(cluster_url: str, port: int, log: Path, *steps: str) -> str:
    """What the steps print; whatever they start has ended afterwards."""
    script = "\n".join(("set -euo pipefail", *steps, "kill $(jobs -p) || true", "wait"))
    for name, password in PASSWORDS.items():
        script = script.replace(name, password)
    script = script.replace("localhost:5432", f"localhost:{urlsplit(cluster_url).port}")
    script = script.replace(".venv/bin/python", shlex.quote(sys.executable))
    script = script.replace("127.0.0.1:8000", f"127.0.0.1:{port}")
    environment = {
        "PATH": os.environ["PATH"],
        "FLASK_SKIP_DOTENV": "1",
        "PORT": str(port),
        "GUNICORN_CMD_ARGS": f"--bind=127.0.0.1:{port}",
        "WEB_CONCURRENCY": "1",
        "LOG_LEVEL": "WARNING",
        "SHUTDOWN_GRACE": "0",
    }
    return output_of(["bash", "-c", script], log, 300, cwd=ROOT, env=environment)


def execute(url: str, statements: str) -> None:
    """Run the statements of a step, one after the other, as psql does."""
    for name, password in PASSWORDS.items():
        statements = statements.replace(name, password)
    with opened(url) as cursor:
        for statement in filter(None, map(str.strip, statements.split(";"))):
            cursor.execute(statement)


def test_the_steps_lead_to_a_service_whose_roles_have_the_least_rights(place: Path) -> None:
    need("curl")
    need("openssl")
    with Cluster.throwaway() as cluster:
        execute(cluster.url, OWNER)
        port = free_port()
        run(cluster.url, port, place / "migrated", SETTINGS, MIGRATE)
        server = urlsplit(cluster.url)
        owner = f"tasks_owner:{PASSWORDS['OWNER_PASSWORD']}@{server.hostname}:{server.port}"
        execute(urlunsplit(server._replace(netloc=owner, path="/tasks")), LOGIN)
        printed = run(cluster.url, port, place / "started", SETTINGS, START)
        lines = [line for line in printed.splitlines() if not line.startswith('{"time"')]
        assert lines[:2] == SHOWN.splitlines()
        with opened(cluster.url) as cursor:
            cursor.execute(
                "select rolname, rolsuper or rolbypassrls, rolcreaterole from pg_roles"
                " where rolname in ('tasks_owner', 'tasks_service') order by rolname"
            )
            assert cursor.fetchall() == [
                ("tasks_owner", False, True),
                ("tasks_service", False, False),
            ]
