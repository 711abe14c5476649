"""The vocabulary of errors: each kind has a slug, a status, a title and a page that explains it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of problem; `type` in an answer is `/problems/<slug>` (RFC 9457, section 3.1.1)."""

    slug: str
    status: int
    title: str
    meaning: str
    remedy: str


class Problem(Exception):
    """An error to report to the client; raise it anywhere, and `app.web.errors` responds with it.

    `members` are extension members of the document (RFC 9457, section 3.2).
    """

    def __init__(
        self,
        kind: Kind,
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


BAD_REQUEST: Final = Kind(
    "bad-request",
    400,
    "Bad request",
    "The request is not well-formed HTTP, or its path or query is not UTF-8.",
    "Correct the request before sending it again.",
)
MALFORMED_JSON: Final = Kind(
    "malformed-json",
    400,
    "Malformed JSON",
    "The body is not one JSON document in UTF-8 (RFC 8259) with unique member names.",
    "Send JSON without duplicate names, NaN, Infinity or numbers too large for a double.",
)
UNAUTHENTICATED: Final = Kind(
    "unauthenticated",
    401,
    "Authentication required",
    "The access token is missing, expired or not valid here.",
    "Get a new access token and send it as `Authorization: Bearer <token>`.",
)
INVALID_CREDENTIALS: Final = Kind(
    "invalid-credentials",
    401,
    "Invalid credentials",
    "The e-mail address and password, or the refresh token, were not accepted.",
    "Sign in again.",
)
FORBIDDEN: Final = Kind(
    "forbidden",
    403,
    "Forbidden",
    "The server refuses this request.",
    "Do not repeat it.",
)
INSUFFICIENT_SCOPE: Final = Kind(
    "insufficient-scope",
    403,
    "Insufficient scope",
    "The access token is valid, but may not be used for this.",
    "Use a token that has the scopes that `scope` names.",
)
NOT_FOUND: Final = Kind(
    "not-found",
    404,
    "Not found",
    "There is nothing at this address, or it is not yours.",
    "Check the address; a deleted resource stays away until it is created again.",
)
METHOD_NOT_ALLOWED: Final = Kind(
    "method-not-allowed",
    405,
    "Method not allowed",
    "This address does not take this method.",
    "Use one of the methods that the Allow header lists.",
)
CONFLICT: Final = Kind(
    "conflict",
    409,
    "Conflict",
    "What the request would create is taken already.",
    "Choose another value.",
)
BATCH_FAILED: Final = Kind(
    "batch-failed",
    409,
    "Batch failed",
    "One operation cannot be done as things are, and so nothing was done.",
    "Look at `operation`, which counts from 0, and its `problem`; correct it and send all again.",
)
TOO_MANY_TOKENS: Final = Kind(
    "too-many-tokens",
    409,
    "Too many tokens",
    "The user has a hundred personal access tokens, and there can be no more.",
    "Revoke one that is no longer needed; `last_used_at` tells which those may be.",
)
QUOTA_EXCEEDED: Final = Kind(
    "quota-exceeded",
    409,
    "Quota exceeded",
    "The user has stored all that one user may; nothing was changed.",
    "Look at `quota`, which is `rows` or `bytes`. Shorten texts, erase what is in the trash, or "
    "ask the operator for more room. A deleted row counts until it is purged, an answer that is "
    "kept for an Idempotency-Key for a day or longer. What adds nothing is always possible.",
)
ERASED: Final = Kind(
    "erased",
    410,
    "Erased",
    "The request was done before, and what it made has been erased since.",
    "Send it with a new Idempotency-Key if it is to be made again.",
)
CHANGES_GONE: Final = Kind(
    "changes-gone",
    410,
    "Changes gone",
    "This token cannot be continued from: something that was deleted since has been removed for "
    "good, the database was set back, or the token is of another account or another secret.",
    "Start over: drop what you have and ask for changes without `since`.",
)
LENGTH_REQUIRED: Final = Kind(
    "length-required",
    411,
    "Length required",
    "The request has neither a Content-Length nor a chunked body.",
    "Send a body with its length.",
)
PRECONDITION_FAILED: Final = Kind(
    "precondition-failed",
    412,
    "Precondition failed",
    "The resource is not in the state that If-Match or If-None-Match asks for.",
    "Look at `current`, decide again, and repeat with its ETag.",
)
CONTENT_TOO_LARGE: Final = Kind(
    "content-too-large",
    413,
    "Content too large",
    "The body is larger than this server takes.",
    "Send less at a time.",
)
URI_TOO_LONG: Final = Kind(
    "uri-too-long",
    414,
    "URI too long",
    "The request line is longer than this server takes.",
    "Shorten the query.",
)
UNSUPPORTED_MEDIA_TYPE: Final = Kind(
    "unsupported-media-type",
    415,
    "Unsupported media type",
    "The body is not of a type that this address takes, or it is compressed.",
    "Send `Content-Type: application/json`, uncompressed.",
)
RANGE_NOT_SATISFIABLE: Final = Kind(
    "range-not-satisfiable",
    416,
    "Range not satisfiable",
    "The file has no such range of bytes.",
    "Leave the Range header out.",
)
EXPECTATION_FAILED: Final = Kind(
    "expectation-failed",
    417,
    "Expectation failed",
    "The Expect header asks for something that this server does not do.",
    "Leave the header out.",
)
VALIDATION_FAILED: Final = Kind(
    "validation-failed",
    422,
    "Validation failed",
    "Some values are missing, unknown, or not what the contract allows.",
    "Correct each entry of `errors`: `pointer` is a place in the body (RFC 6901), `parameter` a "
    "query parameter, `header` a header.",
)
IDEMPOTENCY_KEY_REUSED: Final = Kind(
    "idempotency-key-reused",
    422,
    "Idempotency key reused",
    "This Idempotency-Key was used with another body within the last 24 hours.",
    "Use a new key for a new request.",
)
SEARCH_TOO_SLOW: Final = Kind(
    "search-too-slow",
    422,
    "Search too slow",
    "To look for this text takes longer than a search may.",
    "Narrow it down: send more of the text in `q`, or filters such as `complete` and "
    "`updated_after` beside it.",
)
TOO_MANY_REQUESTS: Final = Kind(
    "too-many-requests",
    429,
    "Too many requests",
    "There were too many requests of this user or from this address, too many failed sign-ins, or "
    "an earlier request of this user is still being worked on.",
    "Wait for as many seconds as Retry-After says.",
)
HEADERS_TOO_LARGE: Final = Kind(
    "headers-too-large",
    431,
    "Request header fields too large",
    "A header of the request, or all of them, are larger than this server takes.",
    "Send smaller headers.",
)
INTERNAL_ERROR: Final = Kind(
    "internal-error",
    500,
    "Internal error",
    "The server met a condition that its authors did not foresee; nothing was changed.",
    "Report it with the request id in `instance`.",
)
NOT_IMPLEMENTED: Final = Kind(
    "not-implemented",
    501,
    "Not implemented",
    "The request uses a transfer coding that this server does not know.",
    "Send the body plain or chunked.",
)
DATABASE_UNAVAILABLE: Final = Kind(
    "database-unavailable",
    503,
    "Database unavailable",
    "The database is away; nothing was changed.",
    "Repeat the request after Retry-After.",
)
OUTCOME_UNKNOWN: Final = Kind(
    "outcome-unknown",
    503,
    "Outcome unknown",
    "The connection to the database broke while the change was on its way; it may have been made.",
    "Repeat a POST with the same Idempotency-Key, which does it once however often it is sent, and "
    "PUT and DELETE as they are. Repeat a PATCH with If-Match; if that is answered with 412, "
    "`current` shows whether the change was made.",
)
OVERLOADED: Final = Kind(
    "overloaded",
    503,
    "Overloaded",
    "The request waited so long for its turn that there is no time left to do it; nothing was "
    "changed.",
    "Repeat the request after Retry-After.",
)
DATABASE_BUSY: Final = Kind(
    "database-busy",
    503,
    "Database busy",
    "The database took too long; nothing was changed.",
    "Repeat the request after Retry-After.",
)
UNFINISHED: Final = Kind(
    "unfinished",
    503,
    "Unfinished",
    "Part of the work is done for good; there was no time for the rest.",
    "Repeat the request after Retry-After; it goes on where it ended.",
)
IMPORT_INTERRUPTED: Final = Kind(
    "import-interrupted",
    503,
    "Import interrupted",
    "The import broke off before its end; the lines up to `line` have been dealt with, and some "
    "after it may have been.",
    "Send the same body again after Retry-After: what is there already stays as it is.",
)
ISSUER_UNAVAILABLE: Final = Kind(
    "issuer-unavailable",
    503,
    "Token issuer unavailable",
    "The keys of the issuer of the access token are not to be had.",
    "Repeat the request after Retry-After.",
)

KINDS: Final = {kind.slug: kind for kind in list(globals().values()) if isinstance(kind, Kind)}

BY_STATUS: Final = {
    400: BAD_REQUEST,
    401: UNAUTHENTICATED,
    403: FORBIDDEN,
    404: NOT_FOUND,
    405: METHOD_NOT_ALLOWED,
    409: CONFLICT,
    410: CHANGES_GONE,
    411: LENGTH_REQUIRED,
    412: PRECONDITION_FAILED,
    413: CONTENT_TOO_LARGE,
    414: URI_TOO_LONG,
    415: UNSUPPORTED_MEDIA_TYPE,
    416: RANGE_NOT_SATISFIABLE,
    417: EXPECTATION_FAILED,
    422: VALIDATION_FAILED,
    429: TOO_MANY_REQUESTS,
    431: HEADERS_TOO_LARGE,
    500: INTERNAL_ERROR,
    501: NOT_IMPLEMENTED,
    503: DATABASE_UNAVAILABLE,
}
"""Which kind an error of the framework or of the server is."""


def not_found() -> Problem:
    """The same answer for what is missing and for what is another user's."""
    return Problem(NOT_FOUND)


def precondition_failed(current: Mapping[str, Any] | None) -> Problem:
    """412 with the representation of the resource as it is now, or None if there is none."""
    return Problem(PRECONDITION_FAILED, current=current)


def invalid_token(detail: str = "The access token is not valid here.") -> Problem:
    """401 with the challenge of RFC 6750, section 3."""
    headers = {"WWW-Authenticate": 'Bearer error="invalid_token"'}
    return Problem(UNAUTHENTICATED, detail, headers=headers)


def invalid(detail: str, code: str, **where: str) -> Problem:
    """One value that the contract does not allow; where: pointer=, parameter= or header=."""
    return Problem(VALIDATION_FAILED, errors=[{**where, "code": code, "detail": detail}])
