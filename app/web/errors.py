"""Error responses: every error as `application/problem+json` (RFC 9457)."""

import logging
from typing import Final

import orjson
import psycopg2
from flask import Flask
from werkzeug.exceptions import HTTPException

from app.core.ids import new_id
from app.core.metrics import tally
from app.core.metrics.families import PROBLEMS
from app.core.problem_kinds import (
    BAD_REQUEST,
    BY_STATUS,
    DATABASE_BUSY,
    DATABASE_UNAVAILABLE,
    INTERNAL_ERROR,
)
from app.core.problems import Problem, invalid_token
from app.db.constraints import violated
from app.web.request import current
from app.web.response import Document, Response

PROBLEM_JSON: Final = "application/problem+json"

# PostgreSQL, "Error Codes": cancelled by statement_timeout, lock not available, serialization
# failure, deadlock, and class 53, insufficient resources.
BUSY: Final = ("57014", "55P03", "40001", "40P01", "53")

CONSTRAINTS: Final[dict[str, Problem]] = {}
"""The problem that a violated constraint is reported as, by its name; features add theirs."""

RAISED: Final[dict[str, Problem]] = {"TA401": invalid_token()}
"""The problem that an error of our database functions is reported as, by SQLSTATE.

TA401 is raised by `require_caller`: the session ended, the account is disabled, or the personal
access token was revoked or has expired.
"""

# Read-only (a standby), shutting down, or a system error such as a failing disk.
UNABLE: Final = ("25006", "57P", "58")

logger = logging.getLogger(__name__)


def document(problem: Problem, instance: str) -> bytes:
    """The problem document of RFC 9457, section 3.1, for the request with this id; counts it."""
    tally.add(PROBLEMS, problem.kind.slug)
    return orjson.dumps({**problem.document, "instance": instance}, option=orjson.OPT_UTC_Z)


def respond(problem: Problem) -> Response:
    """The response that reports a problem."""
    incoming = current()
    incoming.problem = problem.kind.slug
    body = document(problem, incoming.id)
    response = Document(body, problem.kind.status, PROBLEM_JSON)
    response.headers.update(problem.headers)
    if problem.kind.status == 401:
        response.headers.setdefault("WWW-Authenticate", "Bearer")
    if problem.kind.status == 503:
        response.headers.setdefault("Retry-After", "1")
    return response


def of_server(status: int) -> bytes:
    """The raw HTTP response to a request that gunicorn refuses before the application sees it."""
    kind = BY_STATUS.get(status, BAD_REQUEST)
    request_id = new_id()
    body = document(Problem(kind), request_id)
    head = (
        f"HTTP/1.1 {kind.status} {kind.title}\r\n"
        "Connection: close\r\n"
        f"Content-Type: {PROBLEM_JSON}\r\n"
        "Cache-Control: no-store\r\n"
        "X-Content-Type-Options: nosniff\r\n"
        f"X-Request-ID: {request_id}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode("ascii") + body


def from_framework(error: HTTPException) -> Response:
    """Report an error of Flask or Werkzeug, with its headers, such as Allow."""
    if error.response is not None:
        return error.response  # type: ignore[return-value]
    kind = BY_STATUS.get(error.code or 500, INTERNAL_ERROR)
    headers = {k: v for k, v in error.get_headers() if k.lower() != "content-type"}
    return respond(Problem(kind, headers=headers))


def from_database(error: psycopg2.Error) -> Response:
    """Report an error of the database server.

    Failed connections do not arrive here: `app.db` reports those as problems itself.
    """
    code = error.pgcode or ""
    if problem := CONSTRAINTS.get(violated(error)) or RAISED.get(code):
        return respond(problem)
    if code.startswith(BUSY):
        return respond(Problem(DATABASE_BUSY))
    if code.startswith(UNABLE):
        logger.error("the database is unable to do it: SQLSTATE %s", code)
        return respond(Problem(DATABASE_UNAVAILABLE))
    return from_defect(error)


def from_defect(error: Exception) -> Response:
    """Report an unexpected error as 500 without details, which go to the log."""
    logger.error("unforeseen error", exc_info=error)
    current().defect = error
    return respond(Problem(INTERNAL_ERROR))


def init_app(app: Flask) -> None:
    """Report every error of this application as a problem document."""
    app.register_error_handler(Problem, respond)
    app.register_error_handler(HTTPException, from_framework)
    app.register_error_handler(psycopg2.Error, from_database)
    app.register_error_handler(Exception, from_defect)
