"""A receiver of webhooks on a port of 127.0.0.1, which verifies what it gets, and has faults."""

import base64
import hashlib
import hmac
import json
import socket
import ssl
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any, Self

Reply = tuple[int, dict[str, str], bytes]


@dataclass
class Received:
    """A message as it came."""

    path: str
    headers: dict[str, str]
    body: bytes
    at: float = field(default_factory=time.monotonic)

    @property
    def content(self) -> Any:
        """Its JSON."""
        return json.loads(self.body)


def accept(_message: Received) -> Reply:
    """The reply of a receiver that is well."""
    return 204, {}, b""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Do nothing: those who call may hang up."""


class Receiver:
    """Takes messages while it is entered; `reply` says what each is answered."""

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self.reply: Callable[[Received], Reply | None] = accept
        """None to hang until `free` is set."""
        self.free = Event()
        self.received: list[Received] = []
        self.connections = 0
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def setup(self) -> None:
                receiver.connections += 1
                super().setup()

            def do_POST(self) -> None:
                size = int(self.headers["Content-Length"])
                headers = {name.lower(): value for name, value in self.headers.items()}
                message = Received(self.path, headers, self.rfile.read(size))
                receiver.received.append(message)
                if (reply := receiver.reply(message)) is None:
                    receiver.free.wait(60)
                    return
                status, fields, body = reply
                self.send_response(status)
                for name, value in fields.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                with suppress(OSError):
                    self.wfile.write(body)

            def log_message(self, *_arguments: object) -> None:
                """Print nothing."""

        self.port = 0
        self._handler, self._context = Handler, context
        self.scheme = "https" if context else "http"
        self.server: _Server | None = None

    def url(self, path: str = "/", host: str = "127.0.0.1") -> str:
        """Where it takes messages."""
        return f"{self.scheme}://{host}:{self.port}{path}"

    def of(self, kind: str) -> list[Received]:
        """The messages of a kind."""
        return [each for each in self.received if each.content["type"] == kind]

    def by_path(self) -> dict[str, list[Received]]:
        """All messages, by their path."""
        found = defaultdict(list)
        for each in self.received:
            found[each.path].append(each)
        return found

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.free.set()
        self.stop()

    def start(self) -> None:
        """Take messages, on the same port as before."""
        self.server = _Server(("127.0.0.1", self.port), self._handler)
        if self._context:
            self.server.socket = self._context.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_address[1]
        self.thread = Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()

    def stop(self) -> None:
        """Take no more, as a host without a server; what is being answered ends by itself."""
        if self.server:
            self.server.shutdown()
            self.thread.join()
            self.server.server_close()
            self.server = None


class Dripping:
    """A receiver that answers what it is told, byte by byte, with a pause before each."""

    def __init__(self, answer: bytes, pause: float) -> None:
        self.answer, self.pause = answer, pause
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listener.getsockname()[1]
        self.stopped = Event()
        self.thread = Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopped.set()
        with suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port), timeout=5).close()
        self.thread.join()
        self.listener.close()

    def _run(self) -> None:
        while not self.stopped.is_set():
            connection, _ = self.listener.accept()
            with connection, suppress(OSError):
                for byte in self.answer:
                    connection.sendall(bytes([byte]))
                    if self.stopped.wait(self.pause):
                        break


def is_signed(message: Received, secret: str) -> bool:
    """Whether one of the signatures is that of the scheme, calculated without its library.

    Source: Standard Webhooks, "Signature scheme".
    """
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = b".".join(
        (
            message.headers["webhook-id"].encode(),
            message.headers["webhook-timestamp"].encode(),
            message.body,
        )
    )
    expected = "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
    return expected in message.headers["webhook-signature"].split(" ")
