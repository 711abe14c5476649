"""A way to the service on which answers get lost: what a client has to reckon with."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import NamedTuple
from urllib.parse import urlsplit

RETRY_AFTER = 1
HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "host"}


class Attempt(NamedTuple):
    """One request, and when it came."""

    at: float
    key: str
    body: bytes


class Front(ThreadingHTTPServer):
    """Passes all on, but for the first requests to create a task, to refresh and to run a batch.

    The first is done and its answer is lost; the second to create a task is told to come later.
    """

    daemon_threads = True

    def __init__(self, base: str) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.service = urlsplit(base).netloc
        self.attempts: list[Attempt] = []
        self.refreshes: list[Attempt] = []
        self.batches: list[Attempt] = []
        self.lock = Lock()

    def handle_error(self, *_: object) -> None:
        """Say nothing of clients that hang up."""

    @property
    def url(self) -> str:
        """Where clients call."""
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    """Every method alike."""

    protocol_version = "HTTP/1.1"
    server: Front

    def handle_any(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        fault = 0
        attempts = {
            "/v1/tasks": self.server.attempts,
            "/v1/auth/refresh": self.server.refreshes,
            "/v1/batch": self.server.batches,
        }
        if self.command == "POST" and (made := attempts.get(self.path)) is not None:
            with self.server.lock:
                key = self.headers.get("Idempotency-Key", "")
                made.append(Attempt(time.monotonic(), key, body))
                fault = len(made)
        if fault == 2 and self.path == "/v1/tasks":
            return self._tell_to_wait()
        status, headers, answer = self._pass_on(body)
        if fault == 1:
            self.close_connection = True
            return None
        return self._answer(status, headers, answer)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any

    def _pass_on(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        connection = HTTPConnection(self.server.service, timeout=40)
        try:
            headers = {k: v for k, v in self.headers.items() if k.lower() not in HOP_BY_HOP}
            connection.request(self.command, self.path, body or None, headers)
            response = connection.getresponse()
            return response.status, response.getheaders(), response.read()
        finally:
            connection.close()

    def _tell_to_wait(self) -> None:
        problem = {"type": "about:blank", "title": "Service Unavailable", "status": 503}
        headers = [
            ("Retry-After", str(RETRY_AFTER)),
            ("Content-Type", "application/problem+json"),
        ]
        self._answer(503, headers, json.dumps(problem).encode())

    def _answer(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers:
            if name.lower() not in HOP_BY_HOP | {"content-length", "date", "server"}:
                self.send_header(name, value)
        if status not in {204, 304}:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def unreliable(base: str) -> Iterator[Front]:
    """A front of the service, listening."""
    with Front(base) as front:
        thread = Thread(target=front.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield front
        finally:
            front.shutdown()
            thread.join()
