"""Responses, and the headers that every response carries."""

from collections.abc import Iterable
from typing import Any, Final, cast

import flask
import orjson

from app.web.counters import Limit, seconds_left
from app.web.request import Request, current

JSON: Final = "application/json"
# Security headers for an API that browsers call (OWASP, REST Security Cheat Sheet).
ALWAYS: Final = [("X-Content-Type-Options", "nosniff"), ("Referrer-Policy", "no-referrer")]
FRAMING: Final = ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
NO_STORE: Final = ("Cache-Control", "no-store")
REVALIDATE: Final = ("Cache-Control", "private, no-cache")
HSTS: Final = ("Strict-Transport-Security", "max-age=63072000")


class Response(flask.Response):
    """A response that adds the common headers when it is sent."""

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Send the response (WSGI, PEP 3333)."""
        body, status, headers = self.get_wsgi_response(environ)
        headers += common_headers(current(), {name for name, _ in headers})
        start_response(status, headers)
        return body


class Document(Response):
    """A response whose body is complete, with a Content-Length and no further processing."""

    def __init__(self, body: bytes, status: int = 200, media_type: str = JSON) -> None:
        super().__init__(status=status, content_type=media_type)
        self.response = [body]

    def get_wsgi_response(
        self, environ: dict[str, Any]
    ) -> tuple[Iterable[bytes], str, list[tuple[str, str]]]:
        """Body, status and headers; Werkzeug would check headers that only we have set."""
        body = cast(list[bytes], self.response)
        headers = [*self.headers, ("Content-Length", str(sum(map(len, body))))]
        return [] if environ["REQUEST_METHOD"] == "HEAD" else body, self.status, headers


def common_headers(incoming: Request, present: set[str]) -> list[tuple[str, str]]:
    """The headers that every response carries, except for policies that it sets itself."""
    headers = [("X-Request-ID", incoming.id), *ALWAYS]
    if incoming.limits:
        headers += limit_headers(incoming.limits)
    if "Cache-Control" not in present:
        headers.append(NO_STORE if incoming.method == "POST" else REVALIDATE)
    if "Content-Security-Policy" not in present:
        headers.append(FRAMING)
    if incoming.scheme == "https":
        headers.append(HSTS)
    return headers


def limit_headers(met: list[tuple[int, Limit]]) -> list[tuple[str, str]]:
    """All rate limits that apply, and what is left of the one that is nearest.

    Source: draft-ietf-httpapi-ratelimit-headers (11).
    """
    left, nearest = min(met, key=lambda pair: (pair[0], pair[1].amount))
    return [
        ("RateLimit-Policy", ", ".join([limit.policy for _, limit in met])),
        ("RateLimit", f'"{nearest.name}";r={left};t={seconds_left()}'),
    ]


def json_response(value: Any, status: int = 200) -> Response:
    """A JSON response; datetimes in UTC end in Z."""
    return Document(orjson.dumps(value, option=orjson.OPT_UTC_Z), status)


def no_content() -> Response:
    """204, without a Content-Type."""
    response = Response(status=204)
    del response.headers["Content-Type"]
    return response


def accepted() -> Response:
    """202, without a body: what was asked for is done later."""
    response = Response(status=202)
    del response.headers["Content-Type"]
    return response


def store_nothing(response: flask.Response) -> flask.Response:
    """Forbid every cache, the browser's own included, to keep the response."""
    name, value = NO_STORE
    response.headers[name] = value
    return response
