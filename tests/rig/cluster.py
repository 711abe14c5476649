"""A PostgreSQL that can be hurt, on the embedded binaries."""

import os
import shlex
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

import psycopg2

from app.dev.embedded import throwaway

# What is acknowledged is in the hands of the kernel, so that it outlives the server's processes. It
# need not outlive the machine, which is what fsync would be for.
DURABLE = "-c synchronous_commit=on -c full_page_writes=on"
PATIENCE = 60.0


class Cluster:
    """A temporary cluster; it comes back on the port that it had."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.port = urlsplit(url).port or 0
        self.data = Path(self._ask("show data_directory")[0][0])
        # The program, which may have a space in its path, and its arguments in quotation marks.
        program, mark, quoted = (self.data / "postmaster.opts").read_text().partition(' "')
        arguments = shlex.split(mark + quoted)
        self._controller = str(Path(program).with_name("pg_ctl"))
        self._arguments = shlex.join(arguments)
        self._frozen: list[int] = []

    @classmethod
    @contextmanager
    def throwaway(cls, options: str = "") -> Iterator[Self]:
        """A new cluster that ends with this process; `options` are arguments for `postgres`."""
        with throwaway(f"{DURABLE} -c max_connections=200 {options}") as url:
            cluster = cls(url)
            try:
                yield cluster
            finally:
                cluster.thaw()

    @property
    def programs(self) -> Path:
        """Where the server's own pg_dump, psql and the like are."""
        return Path(self._controller).parent

    @property
    def log(self) -> str:
        """What the server has logged so far."""
        return (self.data / "server.log").read_text()

    def start(self) -> None:
        """Start it and wait until it takes connections."""
        deadline = time.monotonic() + PATIENCE
        while (started := self._control("start", f"--options={self._arguments}")).returncode:
            # Children of a killed server may live on for a moment, and hold its shared memory.
            if time.monotonic() > deadline:
                raise AssertionError(f"PostgreSQL does not start: {started.stdout}\n{self.log}")
            time.sleep(0.1)

    def stop(self, mode: str = "fast") -> None:
        """Stop it and wait until it is gone."""
        stopped = self._control("stop", f"--mode={mode}")
        assert stopped.returncode == 0, stopped.stdout

    def kill(self) -> None:
        """Kill every process of it with -9."""
        self.freeze()  # so that none is forked meanwhile
        self._signal(signal.SIGKILL)
        (self.data / "postmaster.pid").unlink()
        self._frozen = []

    def freeze(self) -> None:
        """Stop every process of it where it stands; connections stay open and silent."""
        postmaster = int((self.data / "postmaster.pid").read_text().split()[0])
        os.kill(postmaster, signal.SIGSTOP)
        self._frozen = [postmaster]
        self._frozen += children(postmaster)
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)
        self._frozen = []

    def terminate_backends(self, user: str | None = None) -> int:
        """End the sessions of all others, or of one user; return how many there were."""
        sql = (
            "select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid()"
            " and backend_type = 'client backend' and usename = coalesce(%s, usename)"
        )
        return len(self._ask(sql, user))

    def sessions(self, application: str) -> int:
        """How many connections the application has open."""
        sql = "select from pg_stat_activity where application_name = %s"
        return len(self._ask(sql, application))

    def _ask(self, sql: str, *parameters: object) -> list[tuple[str, ...]]:
        connection = psycopg2.connect(self.url)
        try:
            with connection.cursor() as cursor:
                cursor.execute(sql, parameters)
                return list(cursor.fetchall())
        finally:
            connection.close()

    def _signal(self, number: int) -> None:
        for pid in self._frozen:
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def _control(self, command: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        owner = self.data.stat()
        account = {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []}
        common = [f"--pgdata={self.data}", f"--log={self.data}/server.log", f"--timeout={PATIENCE}"]
        if command == "stop":
            common.pop(1)
        return subprocess.run(
            [self._controller, command, "--wait", *common, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd="/",
            env={"PATH": os.environ["PATH"], "TZ": "UTC"},
            start_new_session=True,
            **(account if os.geteuid() == 0 else {}),
        )


def children(parent: int) -> list[int]:
    """The processes that this one has started."""
    try:
        return [
            int(pid) for pid in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
        ]
    except FileNotFoundError:
        shown = subprocess.run(["ps", "-axo", "pid=,ppid="], capture_output=True, text=True).stdout
        pairs = (line.split() for line in shown.splitlines())
        return [int(pid) for pid, ppid in pairs if int(ppid) == parent]
