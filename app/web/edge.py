"""Requests refused before any view runs: long headers or URIs, invalid or untrusted hosts."""

from typing import Final
from urllib.parse import parse_qsl

from flask import Flask, Request, current_app

from app.core.hosts import host_of, is_trusted
from app.core.problem_kinds import BAD_REQUEST, HEADERS_TOO_LARGE, URI_TOO_LONG
from app.core.problems import Problem
from app.web.request import current

MOST_PARAMETERS: Final = 100
"""Parameters of a query; the widest route has fewer than a quarter of that."""

LONGEST_QUERY: Final = 8190
"""Bytes; gunicorn's limit for the whole request line."""

LONGEST_HEADER: Final = 8190
"""Characters; gunicorn's limit for a header field."""

CREDENTIALS: Final = "HTTP_AUTHORIZATION"

WATCHED_PATHS: Final = {"/health", "/health/db", "/metrics"}
"""Monitoring endpoints, which balancers and monitors may reach under any host name."""


def refuse_malformed() -> None:
    """Raise Problem 400, 414 or 431 for a request that no route can accept."""
    incoming = current()
    _require_short_headers(incoming)
    _require_host(incoming)
    _require_target(incoming)


def _require_short_headers(incoming: Request) -> None:
    """Raise Problem 431 for a header longer than LONGEST_HEADER (RFC 6585, section 5).

    gunicorn refuses such requests itself (`limit_request_field_size`), but other servers may not.
    Authorization may be longer: such a token is answered like any invalid one.
    """
    for name, value in incoming.environ.items():
        if name[:5] == "HTTP_" and len(value) > LONGEST_HEADER and name != CREDENTIALS:
            raise Problem(HEADERS_TOO_LARGE)


def _require_host(incoming: Request) -> None:
    """Raise Problem 400 for a Host that is invalid or not in TRUSTED_HOSTS (RFC 9112, 3.2).

    HTTP/1.0 requests may have no Host; the address they arrived at counts instead.
    """
    environ, trusted = incoming.environ, current_app.config["HOSTS"]
    header: str | None = environ.get("HTTP_HOST")
    if header is None and environ["SERVER_PROTOCOL"] == "HTTP/1.0":
        name = environ["SERVER_NAME"]
        header = f"[{name}]" if ":" in name else name
    host = host_of(header) if header else None
    if host is None:
        raise Problem(BAD_REQUEST, "The Host header is not valid.")
    if trusted and not is_trusted(host, trusted) and incoming.path not in WATCHED_PATHS:
        raise Problem(BAD_REQUEST, "The Host header names another host.")


def _require_target(incoming: Request) -> None:
    """Raise Problem 414 for a long query, 400 for too many parameters or invalid UTF-8.

    Flask would replace invalid UTF-8 by U+FFFD.
    """
    if (query := incoming.query_string) and len(query) > LONGEST_QUERY:
        raise Problem(URI_TOO_LONG)
    if query.count(b"&") >= MOST_PARAMETERS:
        raise Problem(BAD_REQUEST, f"The query has more than {MOST_PARAMETERS} parameters.")
    try:
        if not (path := incoming.environ["PATH_INFO"]).isascii():
            path.encode("latin-1").decode()
        if b"%" in query or not query.isascii():
            parse_qsl(query.decode("ascii"), errors="strict")
    except ValueError:
        raise Problem(BAD_REQUEST) from None


def init_app(app: Flask) -> None:
    """Check every request before its view runs."""
    app.before_request(refuse_malformed)
