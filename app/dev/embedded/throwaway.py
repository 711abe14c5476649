"""A temporary cluster for tests and measurements."""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .cluster import Server
from .postmaster import server_name

# Runs in its own session, so it outlives every way this process can end; the pipe on its standard
# input closes then. It compares the command line, as the pid may belong to another process by now.
_WATCHER = r"""
serves() {
    { cat "/proc/$pid/cmdline" || ps -ww -o args= -p "$pid"; } |
        tr '\0' ' ' | grep -qF "cluster_name=$2"
}
read -r _
if read -r pid <"$1/data/postmaster.pid"; then
    serves "$@" && kill -QUIT "$pid" && kill -CONT "$pid"
    while serves "$@"; do sleep 0.05; done
fi
for _ in 1 2 3 4 5; do rm -rf "$1" && break; sleep 1; done
"""


@contextmanager
def throwaway(options: str = "") -> Iterator[str]:
    """Yield the URL of a temporary cluster that ends with this process, however that ends.

    It is fast rather than durable, as its data is lost with the process anyway.
    """
    # As root the temporary directory of the environment may be one that only root can reach.
    parent = None if os.geteuid() else "/tmp"  # noqa: S108
    directory = Path(tempfile.mkdtemp(prefix="tasks-api-", dir=parent)).resolve()
    watcher = subprocess.Popen(
        ["/bin/sh", "-c", _WATCHER, "watcher", str(directory), server_name(directory / "data")],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        start_new_session=True,
    )
    speed = "-c fsync=off -c synchronous_commit=off -c full_page_writes=off"
    server = Server(directory, f"{speed} {options}")
    try:
        yield server.start()
    finally:
        watcher.communicate()
        server.stop()
