"""Reading the request body, up to a limit and as its headers frame it."""

from flask import Request, current_app

from app.core.problem_kinds import BAD_REQUEST, CONTENT_TOO_LARGE, LENGTH_REQUIRED
from app.core.problems import Problem
from app.web.request_limits import count_length


def read_body(incoming: Request) -> bytes:
    """The whole body, at most MAX_BODY_BYTES long. Raises Problem 400, 411, 413, 429."""
    limit: int = current_app.config["MAX_BODY_BYTES"]
    length = declared_length(incoming, limit)
    # One byte more than a chunked body may have shows that it is too long.
    body = read_piece(incoming, limit + 1 if length is None else length)
    if len(body) > limit:
        raise too_large(limit)
    require_whole(len(body), length)
    if length is None:
        count_length(len(body))
    return body


def declared_length(incoming: Request, limit: int) -> int | None:
    """The Content-Length in bytes; None for a chunked body.

    Raises Problem 411 for a body that is framed by neither, 413 for more bytes than `limit`.
    """
    length = incoming.content_length
    if length is None and not incoming.environ.get("wsgi.input_terminated"):
        raise Problem(LENGTH_REQUIRED)
    if (length or 0) > limit:
        raise too_large(limit)
    return length


def read_piece(incoming: Request, size: int) -> bytes:
    """The next `size` bytes of the body, or fewer at its end. Raises Problem 400."""
    try:
        piece: bytes = incoming.environ["wsgi.input"].read(size)
    except Exception as error:
        # Malformed chunks raise an exception of the server's own, which differs between servers.
        raise Problem(BAD_REQUEST, "The body is not framed as its headers say.") from error
    return piece


def require_whole(taken: int, length: int | None) -> None:
    """Raise Problem 400 if fewer bytes could be read than Content-Length says."""
    if taken < (length or 0):
        raise Problem(BAD_REQUEST, "The body is shorter than its Content-Length.")


def too_large(limit: int) -> Problem:
    """413, with the limit in bytes."""
    return Problem(CONTENT_TOO_LARGE, f"The body may be at most {limit} bytes long.")
