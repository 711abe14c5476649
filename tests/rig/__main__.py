"""`make rig`: the service on Neon in a box, for a person to try, until Ctrl-C."""

import os
import signal
import sys
import time
from pathlib import Path
from types import FrameType

from tests.rig.cluster import Cluster
from tests.rig.neon import Neon
from tests.rig.pgbouncer import PgBouncer
from tests.rig.programs import find, refuses
from tests.rig.service import served

DOWN_SECONDS = 8.0
"""How long what was killed stays away, as a database that wakes slowly does."""

GUIDE = """
The service   {base}/docs
              log: {log}
Pooled        {pooled}
Direct        {direct}
Console       {console}

Hurt it, from a second terminal:
  kill -USR1 {pooler}                        pause the pooler; -USR2 resumes it
  kill -9 {pooler}                           kill the pooler; it is back after {down:.0f} s
  kill -STOP {pooler}                        freeze the pooler; -CONT lets it go on
  kill -STOP {postgres} $(pgrep -P {postgres})    freeze PostgreSQL; -CONT lets it go on
  kill -INT {postgres}                       stop PostgreSQL; it is back after {down:.0f} s
  kill -HUP {service}                        reload the service; -TERM drains it and ends the rig
and look:
  curl {base}/health/db
  {psql} '{console}' -c 'show pools'

Ctrl-C stops all of it.
"""


def main() -> int:
    """Start it, say how to use it, and keep it up until a signal or the service's end."""
    if not find("pgbouncer"):
        print("make rig needs PgBouncer: install the package pgbouncer.", file=sys.stderr)
        return 1
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    print("Starting PostgreSQL, PgBouncer and the service ...", flush=True)
    with Cluster.throwaway() as cluster, PgBouncer(cluster.url) as pooler:
        log = pooler.log.with_name("service")
        project = Neon.create(cluster.url)
        pooled = pooler.through(project.service_url)
        project.migrate(pooled)
        project.add_service()
        settings = {"DATABASE_URL": pooled, "DATABASE_URL_UNPOOLED": project.owner_url}
        port = int(os.environ.get("PORT") or 0)
        with served(log, port, **settings) as (base, service):
            print(guide(cluster, pooler, project, base, log, service.pid), flush=True)
            while service.runs:
                revive(cluster, pooler)
                time.sleep(1)
    print("The service has ended.")
    return 0


def stop(_number: int, _frame: FrameType | None) -> None:
    """End the rig; what is sent while it ends changes nothing."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    print("\nStopping.", flush=True)
    raise SystemExit(0)


def guide(
    cluster: Cluster, pooler: PgBouncer, project: Neon, base: str, log: Path, service: int
) -> str:
    """What the person at the terminal can do."""
    return GUIDE.format(
        base=base,
        log=log,
        pooled=pooler.through(project.service_url),
        direct=project.owner_url,
        console=pooler.console,
        pooler=pooler.pid,
        postgres=postmaster(cluster),
        service=service,
        down=DOWN_SECONDS,
        psql=find("psql") or "psql",
    )


def postmaster(cluster: Cluster) -> int | None:
    """The process of the server, while there is one."""
    try:
        return int((cluster.data / "postmaster.pid").read_text().split()[0])
    except (FileNotFoundError, IndexError):
        return None


def revive(cluster: Cluster, pooler: PgBouncer) -> None:
    """Start again what was killed, as a platform would, and tell where it is now."""
    if not pooler.pid:
        print(f"PgBouncer is down; it is started in {DOWN_SECONDS:.0f} s.", flush=True)
        time.sleep(DOWN_SECONDS)
        pooler.start()
        print(f"PgBouncer is back: process {pooler.pid}.", flush=True)
    if refuses(cluster.port):
        print(f"PostgreSQL is down; it is started in {DOWN_SECONDS:.0f} s.", flush=True)
        time.sleep(DOWN_SECONDS)
        cluster.start()
        print(f"PostgreSQL is back: process {postmaster(cluster)}.", flush=True)


if __name__ == "__main__":
    sys.exit(main())
