"""The contract as an OpenAPI 3.1 document: what APIFlask reads off the views, completed by rules.

What follows from a route's method, path and policy is said here once: headers, statuses, problems.
"""

import re
from collections.abc import Iterator
from typing import Any, Final

import orjson
from apiflask import APIFlask

from app.http import MERGE_PATCH
from app.limits import LIMITED_PATH
from app.problems import (
    BATCH_FAILED,
    BY_STATUS,
    IMPORT_INTERRUPTED,
    INSUFFICIENT_SCOPE,
    KINDS,
    NOT_FOUND,
    PRECONDITION_FAILED,
    VALIDATION_FAILED,
    Kind,
)
from app.tokens.permissions import required
from app.transfer.contract import FILES_GIVEN, FILES_TAKEN

TITLE: Final = "Tasks API"
DESCRIPTION: Final = """\
Tasks and categories of many users, kept apart by the database itself.

**Authentication.** Create an account, sign in, and send the access token as
`Authorization: Bearer …`. It lives for 15 minutes; the refresh token gets the next pair. Scripts
send a personal access token in its place, whose scopes say what it may be used for: `tasks:read`,
`tasks:write` (which includes it) and `account`. Without the scope that an operation names, it is
403.

**Errors** are `application/problem+json` (RFC 9457); each `type` leads to a page that explains it.

**Retries.** Send an `Idempotency-Key` with a POST, or make the UUID yourself and PUT: a request
that is sent twice is done once.

**Lost updates.** Every resource has a strong `ETag`. Send it back as `If-Match`, and a change that
somebody made meanwhile is answered with 412 and the current state instead of being overwritten.

**Limits.** Requests are limited by the minute, for each user and each address. Every answer tells
in `RateLimit` what is left; past the limit it is 429 with `Retry-After`.

**Copies.** `/v1/changes` tells of everything created, changed or deleted since a token.

**Batches.** `/v1/batch` does up to a hundred writes, all of them or none.

**Trash.** What was deleted can be restored for 30 days.

**Files.** By `/v1/export` and `/v1/import` an account leaves and comes back whole.

**Pages.** Collections are `{"items", "next_cursor"}`. Follow `next_cursor` until it is null.
"""

CONFLICTING: Final = {
    "register_account",
    "create_category",
    "replace_category",
    "update_category",
    "run_batch",
    "restore_category",
    "create_token",
}
OWN_FORM: Final = {
    "get_health": "The service is about to end.",
    "get_database_health": "The database does not answer.",
}
"""What 503 means where it is no problem document but has the form of 200."""

LIMITS: Final = ["RateLimit", "RateLimit-Policy"]
STATUSES: Final = {400, 401, 403, 404, 409, 410, 411, 412, 413, 414, 415, 422, 429, 431, 500, 503}
"""Of the problems that an operation can answer with."""

TEXT: Final = {"type": "string"}
PROBLEM: Final = {
    "type": "object",
    "description": "What went wrong (RFC 9457).",
    "required": ["type", "title", "status", "detail", "instance"],
    "properties": {
        "type": {
            "type": "string",
            "format": "uri-reference",
            "enum": [f"/problems/{slug}" for slug in KINDS],
        },
        "title": TEXT,
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "detail": TEXT,
        "instance": {"type": ["string", "null"], "description": "The request's id."},
        "errors": {
            "type": "array",
            "description": "Of validation-failed: each value that is not as it should be.",
            "items": {
                "type": "object",
                "required": ["code", "detail"],
                "properties": {
                    "pointer": {**TEXT, "description": "A place in the body (RFC 6901)."},
                    "parameter": {**TEXT, "description": "A query parameter."},
                    "header": {**TEXT, "description": "A header."},
                    "code": TEXT,
                    "detail": TEXT,
                },
            },
        },
        "current": {
            "type": ["object", "null"],
            "description": "Of precondition-failed: the resource as it is now.",
        },
        "operation": {
            "type": "integer",
            "minimum": 0,
            "description": "Of batch-failed: which operation cannot be done.",
        },
        "problem": {
            "type": "object",
            "description": "Of batch-failed: what that would have been answered with alone.",
        },
        "scope": {**TEXT, "description": "Of insufficient-scope: the scopes that are missing."},
        "line": {
            "type": "integer",
            "description": "Of import-interrupted: up to which line all have been dealt with.",
        },
    },
}

MEMBERS: Final[dict[Kind, dict[str, Any]]] = {
    VALIDATION_FAILED: {
        "errors": [
            {"pointer": "/title", "code": "string_too_long", "detail": "at most 200 characters"}
        ]
    },
    INSUFFICIENT_SCOPE: {"scope": "tasks:write"},
    PRECONDITION_FAILED: {
        "current": {"id": "01981d2c-7f3a-7d40-8a3e-2f6b9c1d0e50", "title": "Buy oat milk"}
    },
    BATCH_FAILED: {
        "operation": 2,
        "problem": {
            "type": f"/problems/{NOT_FOUND.slug}",
            "title": NOT_FOUND.title,
            "status": NOT_FOUND.status,
            "detail": NOT_FOUND.meaning,
        },
    },
    IMPORT_INTERRUPTED: {"line": 1200},
}
"""What the examples of these problems hold beyond the members that all have."""

HEADERS: Final = {
    "RequestId": {"description": "The request's id, as in the logs.", "schema": TEXT},
    "ETag": {
        "description": "The version, as a strong entity tag (RFC 9110, section 8.8.3).",
        "schema": {"type": "string", "pattern": '^"[0-9]+"$'},
    },
    "Location": {"description": "Where the new resource is.", "schema": TEXT},
    "Link": {"description": 'The next page, as `rel="next"` (RFC 8288).', "schema": TEXT},
    "RetryAfter": {
        "description": "Seconds to wait (RFC 9110, section 10.2.3).",
        "schema": {"type": "integer", "minimum": 1},
    },
    "RateLimit": {
        "description": "Under `/v1/`: the limit that is nearest, the requests that are left of it, "
        "and for how many seconds (draft-ietf-httpapi-ratelimit-headers).",
        "schema": {"type": "string", "pattern": '^"(user|address)";r=[0-9]+;t=[0-9]+$'},
        "example": '"user";r=998;t=42',
    },
    "RateLimitPolicy": {
        "description": "Under `/v1/`: the limits that were met, their requests and seconds.",
        "schema": TEXT,
        "example": '"address";q=3000;w=60, "user";q=1000;w=60',
    },
    "WWWAuthenticate": {"description": "The challenge (RFC 6750).", "schema": TEXT},
    "IdempotencyReplayed": {
        "description": "The answer is that of an earlier request with the same key.",
        "schema": {"type": "string", "enum": ["true"]},
    },
}

PARAMETERS: Final = {
    "IdempotencyKey": {
        "name": "Idempotency-Key",
        "in": "header",
        "description": "Done once and answered alike for 24 hours; for each user and route.",
        "schema": {"type": "string", "pattern": "^[!-~]{1,255}$"},
        "example": "6b1f0c1e-7d0b-4b6e-9f3c-2f8e1a7c5d90",
    },
    "IfMatch": {
        "name": "If-Match",
        "in": "header",
        "description": "Only if the resource stands at this version; else 412.",
        "schema": {"type": "string", "pattern": r'^("[0-9]{1,18}"(, ?"[0-9]{1,18}")*|\*)$'},
        "example": '"7"',
    },
    "IfNoneMatch": {
        "name": "If-None-Match",
        "in": "header",
        "description": "304 if the resource still stands at this version.",
        "schema": {"type": "string", "pattern": r'^("[0-9]{1,18}"(, ?"[0-9]{1,18}")*|\*)$'},
        "example": '"7"',
    },
    "IfNoneMatchAny": {
        "name": "If-None-Match",
        "in": "header",
        "description": "`*`: only if there is no such resource; else 412.",
        "schema": {"type": "string", "enum": ["*"]},
    },
}


def document(app: APIFlask) -> dict[str, Any]:
    """The whole document."""
    spec = _with_short_names(dict(app.spec))  # type: ignore[arg-type]
    spec["tags"].sort(key=lambda tag: tag["name"] == "Health")  # what clients use comes first
    components = spec.setdefault("components", {})
    components["schemas"]["Problem"] = PROBLEM
    components["headers"] = HEADERS
    components["responses"] = {
        f"Problem{status}": problem_response(status) for status in sorted(STATUSES)
    }
    components["parameters"] = PARAMETERS
    components["securitySchemes"] = {
        "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
    }
    for path, method, operation, endpoint in _operations(app, spec):
        _tell_of_files(operation, endpoint)
        _complete(operation, path, method, endpoint, scope=_scope(app, method, endpoint))
    return spec


def _with_short_names(spec: dict[str, Any]) -> dict[str, Any]:
    """The document with `TaskPage.Task` called `Task`, as which it is there already."""
    schemas = spec["components"]["schemas"]
    text = orjson.dumps(spec).decode()
    for name in [name for name in schemas if "." in name]:
        text = text.replace(f'schemas/{name}"', f'schemas/{name.split(".")[-1]}"')
    short: dict[str, Any] = orjson.loads(text)
    short["components"]["schemas"] = {
        name.split(".")[-1]: schema for name, schema in short["components"]["schemas"].items()
    }
    return short


def _operations(
    app: APIFlask, spec: dict[str, Any]
) -> Iterator[tuple[str, str, dict[str, Any], str]]:
    for rule in app.url_map.iter_rules():
        path = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule)
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
            if operation := spec["paths"].get(path, {}).get(method.lower()):
                yield path, method, operation, rule.endpoint


def _scope(app: APIFlask, method: str, endpoint: str) -> str | None:
    """The scope that a token needs for it; None where none is needed."""
    blueprint = endpoint.split(".")[0]
    if blueprint in app.config["ACCOUNT_BLUEPRINTS"]:
        return "account"
    return required(method) if blueprint in app.config["SECURED_BLUEPRINTS"] else None


def _tell_of_files(operation: dict[str, Any], endpoint: str) -> None:
    """Bodies that are not one JSON document."""
    if content := FILES_TAKEN.get(endpoint):
        operation["requestBody"] = {"content": content}
    if content := FILES_GIVEN.get(endpoint):
        operation["responses"]["200"]["content"] = content


def _complete(
    operation: dict[str, Any], path: str, method: str, endpoint: str, *, scope: str | None
) -> None:
    name = endpoint.split(".")[-1]
    single = "{" in path or path.endswith("/me")
    writes = (single and method != "GET") or method == "DELETE"
    limited = path.startswith(LIMITED_PATH)
    operation["operationId"] = name
    operation["security"] = [{"bearer": [scope]}] if scope else []
    if body := operation.get("requestBody"):
        body["required"] = True
        if method == "PATCH":
            body["content"][MERGE_PATCH] = body["content"]["application/json"]
    _complete_parameters(operation, method, single=single, writes=writes)
    statuses = {400, 414, 431} | (set() if name == "get_health" else {500, 503})
    statuses |= {401} if scope or name in {"sign_in", "refresh_session"} else set()
    statuses |= {403} if scope else set()
    statuses |= {404} if "{" in path else set()
    statuses |= {411, 413, 415, 422} if body else set()
    statuses |= {422} if operation["parameters"] else set()
    statuses |= {412} if writes else set()
    statuses |= {409} if name in CONFLICTING else set()
    statuses |= {410} if name == "get_changes" else set()
    statuses |= {429} if limited else set()
    _complete_responses(operation, method, single=single, limited=limited)
    if method == "PUT":
        replaced = operation["responses"]["200"]
        operation["responses"]["201"] = {**replaced, "description": "Created"}
    for status in sorted(statuses - {503} if name in OWN_FORM else statuses):
        operation["responses"][str(status)] = {"$ref": f"#/components/responses/Problem{status}"}
    if name in OWN_FORM:
        healthy = operation["responses"]["200"]
        operation["responses"]["503"] = {**healthy, "description": OWN_FORM[name]}
    operation["responses"] = dict(sorted(operation["responses"].items()))


def _complete_parameters(
    operation: dict[str, Any], method: str, *, single: bool, writes: bool
) -> None:
    parameters = operation.setdefault("parameters", [])
    for parameter in parameters:
        if parameter["in"] == "path":
            parameter["required"] = True
            parameter["schema"] = {"type": "string", "format": "uuid"}
        else:
            parameter["schema"] = _without_null(parameter["schema"])
    names = ["IdempotencyKey"] if method == "POST" else []
    names += ["IfMatch"] if writes else []
    names += ["IfNoneMatchAny"] if method == "PUT" else []
    names += ["IfNoneMatch"] if single and method == "GET" else []
    parameters += [{"$ref": f"#/components/parameters/{name}"} for name in names]


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """What a query can hold of this schema: a value, or else the parameter is absent."""
    some = [option for option in schema.get("anyOf", []) if option != {"type": "null"}]
    if len(some) == len(schema.get("anyOf", [])):
        return schema
    rest = {name: schema[name] for name in schema.keys() - {"anyOf", "default"}}
    return rest | (some[0] if len(some) == 1 else {"anyOf": some})


def _complete_responses(
    operation: dict[str, Any], method: str, *, single: bool, limited: bool
) -> None:
    responses = operation["responses"]
    if single and method == "GET":
        responses["304"] = {"description": "Not modified"}
    for status, response in responses.items():
        names = ["X-Request-ID"]
        names += ["ETag"] if status in {"201", "304"} or (single and status == "200") else []
        names += ["Location"] if status == "201" and method == "POST" else []
        names += ["Idempotency-Replayed"] if method == "POST" else []
        names += LIMITS if limited else []
        response["headers"] = _headers(names)
        if status == "204":
            response.pop("content", None)
    if str(operation["operationId"]).startswith("list_"):
        responses["200"]["headers"] |= _headers(["Link"])


def problem_response(status: int) -> dict[str, Any]:
    """A response with a problem document, and an example of each kind that has this status."""
    names = ["X-Request-ID", *LIMITS]
    names += ["WWW-Authenticate"] if status in {401, 403} else []
    names += ["Retry-After"] if status in {429, 503} else []
    return {
        "description": BY_STATUS[status].title,
        "headers": _headers(names),
        "content": {
            "application/problem+json": {
                "schema": {"$ref": "#/components/schemas/Problem"},
                "examples": {
                    kind.slug: {"summary": kind.title, "value": _example(kind)}
                    for kind in KINDS.values()
                    if kind.status == status
                },
            }
        },
    }


def _example(kind: Kind) -> dict[str, Any]:
    return {
        "type": f"/problems/{kind.slug}",
        "title": kind.title,
        "status": kind.status,
        "detail": kind.meaning,
        "instance": "01981d2c-7f3a-7d40-8a3e-2f6b9c1d0e4f",
        **MEMBERS.get(kind, {}),
    }


def _headers(names: list[str]) -> dict[str, Any]:
    components = {"X-Request-ID": "RequestId"}
    return {
        name: {"$ref": f"#/components/headers/{components.get(name, name.replace('-', ''))}"}
        for name in names
    }
