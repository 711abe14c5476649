"""The request that is being handled: its trace, its client, and what is found out on the way.

The trace context is that of W3C Trace Context, level 2. Logs and statements name the trace even if
OpenTelemetry, an optional dependency, is not installed.
"""

import re
import select
import socket
import ssl
import time
from contextlib import ExitStack
from random import getrandbits
from typing import Any, Final, NamedTuple, Self

import flask
from flask import request

from app.core.ids import new_id
from app.core.principal import Principal
from app.web.counters import Limit

REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,128}")
"""A client's X-Request-ID that is taken over; any other is replaced."""

SAMPLED: Final = 0x01
RANDOM: Final = 0x02

# Later versions may append fields (section 4.3).
TRACEPARENT: Final = re.compile(
    r"(?!ff)(?P<version>[0-9a-f]{2})"
    r"-(?P<trace>(?!0{32})[0-9a-f]{32})"
    r"-(?P<span>(?!0{16})[0-9a-f]{16})"
    r"-(?P<flags>[0-9a-f]{2})"
    r"(?P<rest>-.*)?"
)


class TraceContext(NamedTuple):
    """The ids of a trace and of one of its spans, in hexadecimal, and its flags."""

    trace_id: str
    span_id: str
    flags: int = RANDOM

    @classmethod
    def new(cls) -> Self:
        """Return a new trace context, not sampled."""
        digits = f"{getrandbits(192):048x}"  # not a secret
        return cls(digits[:32], digits[32:])

    @classmethod
    def parse(cls, traceparent: str) -> Self | None:
        """Return the trace context of a header value; None if it is not valid."""
        match = TRACEPARENT.fullmatch(traceparent)
        if match is None or (match["version"] == "00" and match["rest"]):
            return None
        flags = int(match["flags"], 16) & (SAMPLED | RANDOM)
        return cls(match["trace"], match["span"], flags)

    @property
    def sampled(self) -> bool:
        """Whether the caller may have recorded this trace."""
        return bool(self.flags & SAMPLED)

    @property
    def traceparent(self) -> str:
        """The value of the header: hexadecimal digits and hyphens."""
        return f"00-{self.trace_id}-{self.span_id}-{self.flags:02x}"


class Request(flask.Request):
    """A Flask request with its id, start time, trace, caller and outcome."""

    slept = 0.0
    """Seconds that the handler waited because the client asked for it."""

    def __init__(self, environ: dict[str, Any], *arguments: Any, **options: Any) -> None:
        super().__init__(environ, *arguments, **options)
        given = environ.get("HTTP_X_REQUEST_ID")
        self.id: str = given if given and REQUEST_ID.fullmatch(given) else new_id()
        self.started = time.perf_counter()
        parent = environ.get("HTTP_TRACEPARENT")
        self.trace = (parent and TraceContext.parse(parent)) or TraceContext.new()
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
