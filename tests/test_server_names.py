"""What gunicorn does not document and app/server uses is there; behaviour is in test_server.py."""

import os
import socket

import pytest
from gunicorn.arbiter import Arbiter
from gunicorn.config import Config
from gunicorn.glogging import Logger
from gunicorn.workers.gthread import TConn, ThreadWorker

GUNICORN_NAMES = {
    "worker": "accept alive enqueue_req get_thread_pool handle handle_error handle_exit"
    " handle_quit handle_request keepalived_conns method_queue nr_conns"
    " on_client_socket_readable pending_conns poller set_accept_enabled sockets tpool"
    " wait_for_and_dispatch_events",
    "connection": "close data_ready parser sock timeout",
    "parser": "unreader",
    "unreader": "buf",
    "request": "body force_close",
    "body": "reader",
    "reader": "length",
    "master": "reexec_pid signal",
}
"""What gunicorn does not document and app/server uses, by the object that has it."""

REQUEST = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\none"


class Application:
    """What gunicorn's master process is made for."""

    def __init__(self) -> None:
        self.cfg = Config()


def objects() -> dict[str, object]:
    """gunicorn's objects, by the names that the package has for them."""
    configuration = Config()
    worker = ThreadWorker(1, os.getpid(), [], None, 30, configuration, Logger(configuration))
    worker.tmp.close()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(REQUEST)
        connection = TConn(configuration, ours, ("127.0.0.1", 1), ("127.0.0.1", 2))
        connection.init()
        request = next(connection.parser)
    return {
        "worker": worker,
        "connection": connection,
        "parser": connection.parser,
        "unreader": connection.parser.unreader,
        "request": request,
        "body": request.body,
        "reader": request.body.reader,
        "master": Arbiter(Application()),
    }


FOUND = objects()


@pytest.mark.parametrize(
    ("kind", "name"),
    [(kind, name) for kind in GUNICORN_NAMES for name in GUNICORN_NAMES[kind].split()],
)
def test_gunicorn_still_has_what_the_package_uses(kind: str, name: str) -> None:
    assert hasattr(FOUND[kind], name)


def test_what_a_body_has_left_is_its_readers_length() -> None:
    assert FOUND["reader"].length == 3  # type: ignore[attr-defined]


def test_all_that_is_overridden_is_listed() -> None:
    from app.server.worker import Worker

    inherited = set(dir(ThreadWorker)) | set(vars(FOUND["worker"]))
    own = {name for name in vars(Worker) if not name.startswith("__")}
    assert own & inherited <= set(GUNICORN_NAMES["worker"].split()) | {"alive"}
