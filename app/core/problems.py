"""Problem, the exception for every error response, and constructors of frequent problems."""

from collections.abc import Mapping
from typing import Any

from app.core.problem_kinds import (
    NOT_FOUND,
    PRECONDITION_FAILED,
    UNAUTHENTICATED,
    VALIDATION_FAILED,
    ProblemKind,
)


class Problem(Exception):
    """An error response; raise it anywhere, web/errors.py turns it into a problem document.

    `detail` replaces the meaning of the kind. `members` are extension members of the document
    (RFC 9457, section 3.2).
    """

    def __init__(
        self,
        kind: ProblemKind,
        detail: str | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        **members: Any,
    ) -> None:
        super().__init__(kind.slug)
        self.kind = kind
        self.detail = detail or kind.meaning
        self.headers = dict(headers or {})
        self.members = members

    @property
    def document(self) -> dict[str, Any]:
        """The members of its problem document, but for the id of the request."""
        return {
            "type": f"/problems/{self.kind.slug}",
            "title": self.kind.title,
            "status": self.kind.status,
            "detail": self.detail,
            **self.members,
        }


def not_found() -> Problem:
    """Return 404, the same for a missing resource and for one of another user."""
    return Problem(NOT_FOUND)


def precondition_failed(current: Mapping[str, Any] | None) -> Problem:
    """412 with the representation of the resource as it is now, or None if there is none."""
    return Problem(PRECONDITION_FAILED, current=current)


def invalid_token(detail: str = "The access token is not valid here.") -> Problem:
    """Return 401 with the challenge of RFC 6750, section 3."""
    headers = {"WWW-Authenticate": 'Bearer error="invalid_token"'}
    return Problem(UNAUTHENTICATED, detail, headers=headers)


def invalid(detail: str, code: str, **where: str) -> Problem:
    """Return 422 for one invalid value; `where` is `pointer=`, `parameter=` or `header=`."""
    return Problem(VALIDATION_FAILED, errors=[{**where, "code": code, "detail": detail}])
