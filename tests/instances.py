"""Instances of the service before which a balancer stands: real ones, and some that only listen."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

from werkzeug.serving import make_server

from app import create_app
from app.db.base import db
from tests.conftest import settings_for, wait_until_ready
from tests.rig.programs import Program
from tests.rig.service import start

SMALL = {"WEB_CONCURRENCY": "1", "WEB_THREADS": "2", "TRUSTED_PROXIES": "1"}


class Handler(BaseHTTPRequestHandler):
    """Hangs up on /lost without an answer."""

    protocol_version = "HTTP/1.1"
    server: "Instance"

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path != "/health":
            self.server.seen.append((self.command, dict(self.headers.items())))
        if self.path == "/lost":
            self.close_connection = True
            return
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_POST = do_PUT = do_PATCH = do_DELETE = do_GET

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Instance(ThreadingHTTPServer):
    """Stands for the service, and remembers what it has been sent."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.seen: list[tuple[str, dict[str, str]]] = []


@contextmanager
def listening() -> Iterator[Instance]:
    """One that is listening."""
    with Instance() as instance:
        thread = Thread(target=instance.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield instance
        instance.shutdown()
        thread.join()


def port(base: str) -> int:
    return int(base.rpartition(":")[2])


@contextmanager
def served_here(database_url: str, **environment: str) -> Iterator[str]:
    """The base URL of the application in a thread of this process, for what needs no gunicorn."""
    application = create_app(settings_for(database_url, **environment))
    server = make_server("127.0.0.1", 0, application, threaded=True)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        with application.app_context():
            db.engine.dispose()


def serve(stack: ExitStack, log: Path, port: int, database_url: str, **variables: str) -> Program:
    """An instance of the service on this port, once it answers; it ends with the stack."""
    program = start(log, port, DATABASE_URL=database_url, TRUSTED_PROXIES="1", **variables)
    stack.callback(program.end)
    wait_until_ready(f"http://127.0.0.1:{port}", program.process)
    return program
