"""The service as it is started in production, on a database that can be hurt."""

import json
import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import pytest

from app import create_app
from app.core.ids import new_id
from tests.conftest import SECRET, settings_for
from tests.databases import migrate, opened
from tests.faults.clients import Person
from tests.locks import until
from tests.rig.cluster import Cluster, children
from tests.rig.pgbouncer import PgBouncer
from tests.rig.proxy import Proxy
from tests.rig.service import served

WORKERS = 2  # the default of WEB_CONCURRENCY
SERVERS = 10  # PgBouncer's, for all clients; the service has eight threads


class Way(Enum):
    """How the service comes to its database."""

    DIRECT = "directly"
    PROXY = "through a proxy that can do what networks do"
    POOLER = "through PgBouncer"
    SMALL_DISK = "directly, to one on a disk that can be filled"


@dataclass
class Ground:
    """What the service stands on, and what a fault may take hold of."""

    cluster: Cluster
    database: str
    """The database's URL, past everything between it and the service."""

    url: str
    """The URL that the service uses."""

    people: list[Person]
    proxy: Proxy | None = None
    pooler: PgBouncer | None = None
    disk: Path | None = None


@dataclass
class Service:
    """gunicorn with its workers."""

    ground: Ground
    base: str
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def workers(self) -> set[int]:
        return set(children(self.process.pid))

    def defects(self) -> list[str]:
        """The last words of what the service itself called unforeseen."""
        lines = (json.loads(line) for line in self.log.read_text().splitlines())
        unforeseen = (line for line in lines if line["message"] == "unforeseen error")
        return sorted({line["exception"].splitlines()[-1] for line in unforeseen})

    def secrets_in_log(self) -> int:
        """How many of the secrets that the service knows are in its log."""
        text = self.log.read_text()
        known = [SECRET, urlsplit(self.ground.database).password or ""]
        return sum(secret in text for secret in known + [p.token for p in self.ground.people])


@contextmanager
def ground(cluster: Cluster, way: Way, count: int, login_retry: int) -> Iterator[Ground]:
    """A migrated database of its own and so many people, reached in that way."""
    with ExitStack() as stack:
        disk = stack.enter_context(small_disk(cluster)) if way is Way.SMALL_DISK else None
        database = stack.enter_context(created(cluster.url, disk))
        migrate(database)
        found = Ground(cluster, database, database, people(database, count), disk=disk)
        if way is Way.PROXY:
            found.proxy = stack.enter_context(Proxy(database))
            found.url = found.proxy.url
        if way is Way.POOLER:
            pooler = PgBouncer(database, pool_size=SERVERS, server_login_retry=login_retry)
            found.pooler = stack.enter_context(pooler)
            found.url = found.pooler.through(database)
        yield found


@contextmanager
def service(found: Ground, **environment: str) -> Iterator[Service]:
    """gunicorn on that ground; killed in the end, whatever state it is in."""
    with tempfile.TemporaryDirectory(prefix="tasks-api-faults-") as directory:
        log = Path(directory) / "log"
        with served(log, DATABASE_URL=found.url, **environment) as (base, program):
            try:
                serving = Service(found, base, program.process, log)
                # The first one answers before the next is there.
                until(lambda: len(serving.workers) == WORKERS)
                yield serving
            finally:
                program.send(signal.SIGKILL)  # an orderly end takes seconds, and proves nothing


def people(database_url: str, count: int) -> list[Person]:
    """So many new users, signed in."""
    verifier = create_app(settings_for(database_url)).extensions["token_verifier"]
    ids = [new_id() for _ in range(count)]
    with opened(database_url) as cursor:
        cursor.execute(
            "insert into users (id, email, password_hash)"
            " select id, id || '@example.com', 'none' from unnest(%s::uuid[]) id",
            (ids,),
        )
    return [Person(user_id, verifier.issue(user_id)) for user_id in ids]


@contextmanager
def created(cluster: str, disk: Path | None) -> Iterator[str]:
    """The URL of a new database; its tables lie on that disk, the server's log of changes does not.

    No connection is held meanwhile, as faults would end it.
    """
    name = f"faults_{uuid4().hex}"
    with opened(cluster) as cursor:
        if disk:
            cursor.execute(f"create tablespace {name} location %s", (str(disk),))
        cursor.execute(f"create database {name} {f'tablespace {name}' if disk else ''}")
    yield urlunsplit(urlsplit(cluster)._replace(path=f"/{name}"))
    with opened(cluster) as cursor:
        cursor.execute(f"drop database {name} with (force)")
        cursor.execute(f"drop tablespace if exists {name}")


@contextmanager
def small_disk(cluster: Cluster) -> Iterator[Path]:
    """A directory of the server's on a disk of 48 MB; skipped where none can be mounted."""
    owner = cluster.data.stat()
    directory = tempfile.mkdtemp(prefix="tasks-api-disk-", dir="/tmp")
    options = f"size=48m,uid={owner.st_uid},gid={owner.st_gid},mode=0700"
    command = ["mount", "-t", "tmpfs", "-o", options, "tasks-api", directory]
    try:
        mounted = os.geteuid() == 0 and subprocess.run(command, capture_output=True).returncode == 0
        if not mounted:
            pytest.skip("no disk of its own can be mounted here: that takes root")
        yield Path(directory)
    finally:
        subprocess.run(["umount", "--lazy", directory], capture_output=True)
        os.rmdir(directory)
