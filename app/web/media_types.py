"""Media types of request and response bodies."""

from collections.abc import Container
from typing import Final

from app.core.problem_kinds import UNSUPPORTED_MEDIA_TYPE
from app.core.problems import Problem
from app.web.request import Request

JSON: Final = "application/json"
MERGE_PATCH: Final = "application/merge-patch+json"
"""RFC 7396."""
PROBLEM_JSON: Final = "application/problem+json"
"""RFC 9457."""

LONGEST: Final = 255
"""Characters of a Content-Type header that is parsed."""


def require_json(incoming: Request) -> None:
    """Raise Problem 415 unless the body is uncompressed JSON, or a merge patch with PATCH."""
    require(incoming, (JSON, MERGE_PATCH) if incoming.method == "PATCH" else (JSON,))


def require(incoming: Request, allowed: Container[str], detail: str | None = None) -> None:
    """Raise Problem 415 unless the body has one of these types, is in UTF-8 and uncompressed."""
    short = len(incoming.environ.get("CONTENT_TYPE", "")) <= LONGEST
    if not short or incoming.mimetype not in allowed or not _is_utf8(incoming):
        raise Problem(UNSUPPORTED_MEDIA_TYPE, detail)
    if incoming.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise Problem(UNSUPPORTED_MEDIA_TYPE, "The body must not be compressed.")


def _is_utf8(incoming: Request) -> bool:
    return incoming.mimetype_params.get("charset", "utf-8").lower() in {"utf-8", "utf8"}
