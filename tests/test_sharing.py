"""New connections go to the worker that has fewer, and none waits for a worker that takes none."""

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from subprocess import Popen
from urllib.parse import urlsplit

import pytest

from app import lifecycle
from tests.conftest import gunicorn_process
from tests.locks import until
from tests.rig.cluster import children

pytestmark = pytest.mark.slow

CONNECTIONS = 20


def connect(base: str, stack: ExitStack) -> None:
    """A connection that has been answered once and stays open until the stack ends."""
    connection = stack.enter_context(closing(HTTPConnection(urlsplit(base).netloc, timeout=30)))
    connection.request("GET", "/health")
    assert connection.getresponse().read()


def sockets(pid: int) -> int:
    """How many sockets this process has open."""
    links = Path(f"/proc/{pid}/fd").iterdir()
    return sum(os.readlink(link).startswith("socket:") for link in links)


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@pytest.fixture
def server(database_url: str, tmp_path: Path) -> Iterator[tuple[str, Popen[bytes]]]:
    with gunicorn_process(database_url, tmp_path / "log", WEB_CONCURRENCY="2") as serving:
        until(lambda: len(children(serving[1].pid)) == 2)
        yield serving


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs Linux's /proc")
def test_no_worker_has_clearly_more_connections_than_another(
    server: tuple[str, Popen[bytes]],
) -> None:
    base, process = server
    workers = children(process.pid)
    idle = {pid: sockets(pid) for pid in workers}
    with ExitStack() as stack:
        while any(sockets(pid) < idle[pid] + 5 for pid in workers):
            connect(base, stack)  # until each takes some, one of which may be its database's
        for _ in range(CONNECTIONS):
            connect(base, stack)
        taken = [sockets(pid) for pid in workers]
    assert max(taken) - min(taken) <= CONNECTIONS // 4


@pytest.mark.parametrize("which", [0, 1])
def test_a_worker_that_hangs_keeps_no_connection_waiting(
    server: tuple[str, Popen[bytes]], which: int
) -> None:
    base, process = server
    with ExitStack() as stack, stopped(children(process.pid)[which]):
        for _ in range(CONNECTIONS):
            connect(base, stack)


def test_a_worker_that_takes_none_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lifecycle, "_loads", memoryview(bytearray(8 * lifecycle.WORKERS)).cast("Q"))
    assert lifecycle.least_load() == 0
    lifecycle.note_load(1, 7)
    lifecycle.note_load(lifecycle.WORKERS + 2, 5)
    assert lifecycle.least_load() == 5
    lifecycle.note_load(lifecycle.WORKERS + 2, None)
    assert lifecycle.least_load() == 7
