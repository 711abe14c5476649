"""Components that operations share: headers, parameters, and references to components."""

from typing import Any, Final

LIMITS: Final = ["RateLimit", "RateLimit-Policy"]
TEXT: Final = {"type": "string"}
ENTITY_TAGS: Final = r'^("[0-9]{1,18}"(, ?"[0-9]{1,18}")*|\*)$'

BEARER: Final = {
    "type": "http",
    "scheme": "bearer",
    "bearerFormat": "JWT",
    "description": "The access token of a sign-in, or a personal access token.",
}

HEADERS: Final = {
    "RequestId": {
        "description": "The id of the request, which the operator finds in the logs.",
        "schema": TEXT,
    },
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
        "description": "Under `/v1/`: the requests that are left (`r`) and the seconds until the "
        "limit starts anew (`t`), for the limit with the fewest left "
        "(draft-ietf-httpapi-ratelimit-headers).",
        "schema": {"type": "string", "pattern": '^"(user|address)";r=[0-9]+;t=[0-9]+$'},
        "example": '"user";r=998;t=42',
    },
    "RateLimitPolicy": {
        "description": "Under `/v1/`: the limits that apply, each with its requests and seconds.",
        "schema": TEXT,
        "example": '"address";q=3000;w=60, "user";q=1000;w=60',
    },
    "WWWAuthenticate": {"description": "The challenge (RFC 6750).", "schema": TEXT},
    "IdempotencyReplayed": {
        "description": "The response is that of an earlier request with the same key.",
        "schema": {"type": "string", "enum": ["true"]},
    },
}

PARAMETERS: Final = {
    "IdempotencyKey": {
        "name": "Idempotency-Key",
        "in": "header",
        "description": "A key of your choice. For 24 hours, the same request with it is done once "
        "and gets the same response.",
        "schema": {"type": "string", "pattern": "^[!-~]{1,255}$"},
        "example": "6b1f0c1e-7d0b-4b6e-9f3c-2f8e1a7c5d90",
    },
    "IfMatch": {
        "name": "If-Match",
        "in": "header",
        "description": "Only if the resource has this version; otherwise 412.",
        "schema": {"type": "string", "pattern": ENTITY_TAGS},
        "example": '"7"',
    },
    "IfNoneMatch": {
        "name": "If-None-Match",
        "in": "header",
        "description": "304 if the resource still has this version.",
        "schema": {"type": "string", "pattern": ENTITY_TAGS},
        "example": '"7"',
    },
    "IfNoneMatchToWrite": {
        "name": "If-None-Match",
        "in": "header",
        "description": "Only if the resource has another version; `*`: only if it does not exist; "
        "otherwise 412.",
        "schema": {"type": "string", "pattern": ENTITY_TAGS},
        "example": "*",
    },
    "LastEventID": {
        "name": "Last-Event-ID",
        "in": "header",
        "description": "Of a stream: the `id` of the last event, in place of `since`.",
        "schema": {"type": "string", "maxLength": 200},
        "example": "VhH0rXyHbqCvMw0uFQk5nTgtMA",
    },
}


def reference(kind: str, name: str) -> dict[str, str]:
    """A reference to a component."""
    return {"$ref": f"#/components/{kind}/{name}"}


def headers(names: list[str]) -> dict[str, Any]:
    """References to the headers with these names, by these names."""
    components = {"X-Request-ID": "RequestId"}
    return {
        name: reference("headers", components.get(name, name.replace("-", ""))) for name in names
    }
