"""Problem documents in the contract: their schemas, and a response for each status."""

from typing import Any, Final

from app.core.problem_kinds import (
    BATCH_FAILED,
    BY_STATUS,
    CONFLICT,
    CONTENT_TOO_LARGE,
    IMPORT_INTERRUPTED,
    INSUFFICIENT_SCOPE,
    KINDS,
    PRECONDITION_FAILED,
    QUOTA_EXCEEDED,
    SEARCH_TOO_SLOW,
    STALE_OCCURRENCE,
    TOO_MANY_REQUESTS,
    VALIDATION_FAILED,
    ProblemKind,
)
from app.core.problems import Problem, invalid, not_found
from app.web.errors import PROBLEM_JSON
from app.web.openapi.components import LIMITS, TEXT, headers, reference

STATUSES: Final = {
    400,
    401,
    403,
    404,
    406,
    409,
    410,
    411,
    412,
    413,
    414,
    415,
    422,
    428,
    429,
    431,
    500,
    503,
}
"""The statuses of problems that an operation can answer with."""

SHOWN: Final = ("Task", "Category", "User", "Token", "Webhook")
"""The schemas of resources that a problem may show."""

INTEGER: Final = {"type": "integer", "format": "int64"}

ALONE: Final = {
    "type": {
        "type": "string",
        "format": "uri-reference",
        "description": "Which kind it is; others may come.",
        "examples": [f"/problems/{slug}" for slug in KINDS],
    },
    "title": TEXT,
    "status": {"type": "integer", "minimum": 400, "maximum": 599},
    "detail": TEXT,
    "current": {
        "description": "Of precondition-failed and stale-occurrence: the resource as it is now.",
        "anyOf": [reference("schemas", "Resource"), {"type": "null"}],
    },
    "quota": {"type": "string", "description": "Of quota-exceeded: `rows` or `bytes`."},
    "limit": {
        **INTEGER,
        "description": "Of quota-exceeded: the most that may be stored.",
    },
    "used": {
        **INTEGER,
        "description": "Of quota-exceeded: how much is stored, which the request would add to.",
    },
}
"""The members that a problem has alone and as the problem of one operation of a batch."""

PROBLEM: Final = {
    "type": "object",
    "description": "What went wrong (RFC 9457).",
    "required": ["type", "title", "status", "detail", "instance"],
    "properties": {
        **ALONE,
        "instance": {"type": ["string", "null"], "description": "The request's id."},
        "errors": {
            "type": "array",
            "description": "Of validation-failed and search-too-slow: each value that is wrong.",
            "items": reference("schemas", "FieldError"),
        },
        "operation": {
            "type": "integer",
            "minimum": 0,
            "description": "Of batch-failed: which operation cannot be done.",
        },
        "problem": {
            **reference("schemas", "OperationProblem"),
            "description": "Of batch-failed: the problem that it would get as a single request.",
        },
        "scope": {**TEXT, "description": "Of insufficient-scope: the scopes that are missing."},
        "line": {
            "type": "integer",
            "description": "Of import-interrupted, and of quota-exceeded where it ends an import: "
            "up to which line all have been dealt with.",
        },
    },
}

SCHEMAS: Final = {
    "Problem": PROBLEM,
    "FieldError": {
        "type": "object",
        "description": "A value that is not as it should be.",
        "required": ["code", "detail"],
        "properties": {
            "pointer": {**TEXT, "description": "A place in the body (RFC 6901)."},
            "parameter": {**TEXT, "description": "A query parameter."},
            "header": {**TEXT, "description": "A header."},
            "code": TEXT,
            "detail": TEXT,
        },
    },
    "Resource": {
        "description": "A resource as it is answered.",
        "oneOf": [reference("schemas", name) for name in SHOWN],
    },
    "OperationProblem": {
        "type": "object",
        "description": "What one operation of a batch would have been answered with alone.",
        "required": ["type", "title", "status", "detail"],
        "properties": ALONE,
    },
}

INSTANCE: Final = "01981d2c-7f3a-7d40-8a3e-2f6b9c1d0e4f"

MEMBERS: Final[dict[ProblemKind, dict[str, Any]]] = {
    VALIDATION_FAILED: invalid(
        "String should have at most 200 characters", "string_too_long", pointer="/title"
    ).members,
    SEARCH_TOO_SLOW: {
        "errors": [{"parameter": "q", "code": "too_slow", "detail": "takes too long to look for"}]
    },
    INSUFFICIENT_SCOPE: {
        "detail": "The access token lacks the scope tasks:write.",
        "scope": "tasks:write",
    },
    CONFLICT: {"detail": "Another of your categories has this name, perhaps in other letter case."},
    CONTENT_TOO_LARGE: {"detail": "The body may be at most 1048576 bytes long."},
    TOO_MANY_REQUESTS: {"detail": "At most 1000 requests a minute are accepted from one user."},
    BATCH_FAILED: {
        "detail": f"Operation 2 cannot be done, and so nothing was done: {not_found().detail}",
        "operation": 2,
        "problem": not_found().document,
    },
    IMPORT_INTERRUPTED: {"line": 1200},
    QUOTA_EXCEEDED: {"quota": "rows", "limit": 250_000, "used": 250_000},
}
"""Members of examples that follow from the case shown; `detail` is otherwise the meaning."""


def problem_response(status: int, task: dict[str, Any]) -> dict[str, Any]:
    """A response with a problem document, and an example of each kind that has this status.

    `task` is the example of a task.
    """
    names = ["X-Request-ID", *LIMITS]
    names += ["WWW-Authenticate"] if status in {401, 403} else []
    names += ["Retry-After"] if status in {429, 503} else []
    return {
        "description": "Gone" if status == 410 else BY_STATUS[status].title,
        "headers": headers(names),
        "content": {
            PROBLEM_JSON: {
                "schema": reference("schemas", "Problem"),
                "examples": {
                    kind.slug: {"summary": kind.title, "value": _example(kind, task)}
                    for kind in KINDS.values()
                    if kind.status == status
                },
            }
        },
    }


def _example(kind: ProblemKind, task: dict[str, Any]) -> dict[str, Any]:
    current = {"current": {**task, "title": "Buy oat milk", "version": 8}}
    members = current if kind in {PRECONDITION_FAILED, STALE_OCCURRENCE} else MEMBERS.get(kind, {})
    return Problem(kind, **members).document | {"instance": INSTANCE}
