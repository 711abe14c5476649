"""The processes that share a cluster, and how the last one stops its server.

Each holds a shared lock for as long as it lives. The kernel releases the locks of a process that is
killed, so nothing here depends on a clean exit.
"""

import fcntl
import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .cluster import Cluster, server_name
from .programs import exclusively, open_lock

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


class Server:
    """One process's share in the cluster of a directory: `with Server(directory) as url: …`.

    `options` are arguments for `postgres`, and only count for the process that starts it. Every
    failure is a RuntimeError of one line.
    """

    def __init__(self, directory: Path, options: str = "") -> None:
        self._directory = directory.resolve()
        self._cluster = Cluster(self._directory, options)
        self._lock = self._directory / "lock"
        self._membership = -1  # the descriptor of the shared lock

    def __enter__(self) -> str:
        return self.start()

    def __exit__(self, *_error: object) -> None:
        self.stop()

    def start(self) -> str:
        """Join the server, starting it and creating the cluster if needed; return its URL.

        The URL is all that a client needs: libpq's variables are meant for other servers, and are
        removed from this process's environment.
        """
        for name in [name for name in os.environ if re.match("PG[A-Z]", name)]:
            del os.environ[name]
        with self._cluster.errors():
            self._cluster.prepare()
            with exclusively(self._lock):
                self._join()
                try:
                    return self._cluster.serve()
                except BaseException:
                    self._leave()
                    raise

    def stop(self) -> None:
        """Leave; the last process to do so stops the server."""
        if self._membership < 0:
            return
        with self._cluster.errors():
            try:
                with exclusively(self._lock):
                    self._leave()
            except FileNotFoundError:
                self._forget()  # The directory was removed, and its server ends by itself then.

    def drop(self) -> bool:
        """Remove all data, whether there is a server or not; return whether there was any.

        Raises RuntimeError while another process uses the server.
        """
        if not self._directory.exists():
            return False
        with self._cluster.errors(), exclusively(self._lock):
            self._join()
            if not self._leave():  # It also stops a server whose owners were all killed.
                raise RuntimeError(
                    f"The database in {self._directory} is in use: stop what runs on it first."
                )
            return self._cluster.remove()

    def _join(self) -> None:
        """Become a user of the server; call only under the lock."""
        self._membership = open_lock(self._directory / "users")
        fcntl.flock(self._membership, fcntl.LOCK_SH)

    def _leave(self) -> bool:
        """Stop the server unless others use it; return whether it did. Call only under the lock."""
        try:
            fcntl.flock(self._membership, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        else:
            self._cluster.stop()
            return True
        finally:
            self._forget()

    def _forget(self) -> None:
        os.close(self._membership)
        self._membership = -1


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
