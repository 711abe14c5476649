"""A request and its answer: what is known of the one, and what every one of the other carries."""

import re
import time
from collections.abc import Iterable
from contextlib import ExitStack
from typing import Any, Final, cast

import flask
from flask import request
from uuid_utils import uuid7

from app.core import trace_context
from app.core.principal import Principal
from app.web.counters import Limit, seconds_left

JSON: Final = "application/json"
REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,128}")

# What keeps a browser from doing more with an answer than read it (OWASP, REST Security).
ALWAYS: Final = [("X-Content-Type-Options", "nosniff"), ("Referrer-Policy", "no-referrer")]
FRAMING: Final = ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
STORE_NOTHING: Final = ("Cache-Control", "no-store")
ASK_AGAIN: Final = ("Cache-Control", "private, no-cache")
OVER_TLS_ONLY: Final = ("Strict-Transport-Security", "max-age=63072000")


def new_id() -> str:
    """A UUIDv7 (RFC 9562, section 5.7): ids made later sort later."""
    return str(uuid7())


class Request(flask.Request):
    """A request, and what is found out about it; its id is the client's, if that is well-formed."""

    slept = 0.0
    """How many seconds it waited because the client asked for it."""

    def __init__(self, environ: dict[str, Any], *arguments: Any, **options: Any) -> None:
        super().__init__(environ, *arguments, **options)
        given = environ.get("HTTP_X_REQUEST_ID")
        self.id: str = given if given and REQUEST_ID.fullmatch(given) else new_id()
        self.started = time.perf_counter()
        self.trace = trace_context.received(environ)
        self.sent: Any = None
        """The body as JSON, before it was read into a model."""
        self.spans: ExitStack | None = None
        """Ends its span, if OpenTelemetry records it."""
        self.defect: Exception | None = None
        """The unforeseen error that it is answered with."""
        self.problem: str | None = None
        """The slug of the problem that it is answered with."""
        self.principal: Principal | None = None
        self.limits: list[tuple[int, Limit]] = []
        """The rate limits it met, and how many more requests each takes."""


def current() -> Request:
    """The request that this thread handles."""
    found: Request = request._get_current_object()  # type: ignore[attr-defined]
    return found


class Response(flask.Response):
    """An answer, which goes out with the headers that all have."""

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """The answer as WSGI has it (PEP 3333)."""
        body, status, headers = self.get_wsgi_response(environ)
        headers += common_headers(current(), {name for name, _ in headers})
        start_response(status, headers)
        return body


class Document(Response):
    """A body of bytes that is there already, sent as it is."""

    def __init__(self, body: bytes, status: int = 200, media_type: str = JSON) -> None:
        super().__init__(status=status, content_type=media_type)
        self.response = [body]

    def get_wsgi_response(
        self, environ: dict[str, Any]
    ) -> tuple[Iterable[bytes], str, list[tuple[str, str]]]:
        """Without another look at headers that are all of our own making."""
        body = cast(list[bytes], self.response)
        headers = [*self.headers, ("Content-Length", str(sum(map(len, body))))]
        return [] if environ["REQUEST_METHOD"] == "HEAD" else body, self.status, headers


def common_headers(incoming: Request, present: set[str]) -> list[tuple[str, str]]:
    """The headers of every answer, but for those that it has already."""
    headers = [("X-Request-ID", incoming.id), *ALWAYS]
    if incoming.limits:
        headers += limit_headers(incoming.limits)
    if "Cache-Control" not in present:
        headers.append(STORE_NOTHING if incoming.method == "POST" else ASK_AGAIN)
    if "Content-Security-Policy" not in present:
        headers.append(FRAMING)
    if incoming.scheme == "https":
        headers.append(OVER_TLS_ONLY)
    return headers


def limit_headers(met: list[tuple[int, Limit]]) -> list[tuple[str, str]]:
    """The limits that a request met, and of the one that is nearest how much is left.

    Source: draft-ietf-httpapi-ratelimit-headers (11).
    """
    left, nearest = min(met, key=lambda pair: (pair[0], pair[1].amount))
    return [
        ("RateLimit-Policy", ", ".join([limit.policy for _, limit in met])),
        ("RateLimit", f'"{nearest.name}";r={left};t={seconds_left()}'),
    ]
