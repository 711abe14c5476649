"""No new connection waits for a worker that takes none."""

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from subprocess import Popen
from urllib.parse import urlsplit

import pytest

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


@pytest.mark.parametrize("which", [0, 1])
def test_a_worker_that_hangs_keeps_no_connection_waiting(
    server: tuple[str, Popen[bytes]], which: int
) -> None:
    base, process = server
    with ExitStack() as stack, stopped(children(process.pid)[which]):
        for _ in range(CONNECTIONS):
            connect(base, stack)
