"""The request that is being handled, with what is found out about it on the way."""

import re
import select
import socket
import ssl
import time
from contextlib import ExitStack
from typing import Any, Final

import flask
from flask import request

from app.core import trace_context
from app.core.ids import new_id
from app.core.principal import Principal
from app.web.counters import Limit

REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,128}")
"""A client's X-Request-ID that is taken over; any other is replaced."""


class Request(flask.Request):
    """A Flask request with its id, start time, trace, caller and outcome."""

    slept = 0.0
    """Seconds that the handler waited because the client asked for it."""

    def __init__(self, environ: dict[str, Any], *arguments: Any, **options: Any) -> None:
        super().__init__(environ, *arguments, **options)
        given = environ.get("HTTP_X_REQUEST_ID")
        self.id: str = given if given and REQUEST_ID.fullmatch(given) else new_id()
        self.started = time.perf_counter()
        self.trace = trace_context.received(environ)
        self.sent: Any = None
        """The JSON body as parsed, before validation."""
        self.spans: ExitStack | None = None
        """Ends the request's OpenTelemetry span, if there is one."""
        self.defect: Exception | None = None
        """The unexpected error behind a response of 500."""
        self.problem: str | None = None
        """The slug of the problem that the response reports."""
        self.principal: Principal | None = None
        self.limits: list[tuple[int, Limit]] = []
        """The rate limits that apply, each with the number of requests left."""


def current() -> Request:
    """The request that this thread handles, without Flask's proxy."""
    found: Request = request._get_current_object()  # type: ignore[attr-defined]
    return found


def is_closed(incoming: Request) -> bool:
    """Whether the client has closed its side of the connection.

    False where that cannot be known: under other servers, and where gunicorn terminates TLS.
    """
    client = incoming.environ.get("gunicorn.socket")
    if not isinstance(client, socket.socket) or isinstance(client, ssl.SSLSocket):
        return False
    poller = select.poll()
    poller.register(client, select.POLLIN)
    try:
        return bool(poller.poll(0)) and not client.recv(1, socket.MSG_PEEK)
    except OSError:
        return True
