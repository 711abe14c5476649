"""The catalogue of problems: every kind of error, each with a page at `/problems/<slug>`.

The page is the `type` of problem documents (RFC 9457). A status' first kind is its general one.
"""

from typing import Final


class ProblemKind:
    """A kind of problem: its slug, its status, what happened and what the client can do."""

    def __init__(self, slug: str, status: int, meaning: str, remedy: str, title: str = "") -> None:
        self.slug: Final = slug
        self.status: Final = status
        self.title: Final = title or slug.replace("-", " ").capitalize()
        self.meaning: Final = meaning
        self.remedy: Final = remedy


BAD_REQUEST: Final = ProblemKind(
    "bad-request",
    400,
    "The request is not well-formed HTTP, or its path or query is not UTF-8.",
    "Correct the request before sending it again.",
)
MALFORMED_JSON: Final = ProblemKind(
    "malformed-json",
    400,
    "The body is not one JSON document in UTF-8 (RFC 8259) with unique member names.",
    "Send JSON without duplicate names, NaN, Infinity or numbers too large for a double.",
    title="Malformed JSON",
)
UNAUTHENTICATED: Final = ProblemKind(
    "unauthenticated",
    401,
    "The access token is missing, expired or invalid, or its session has ended.",
    "Get a new access token and send it as `Authorization: Bearer <token>`. If that fails too, "
    "sign in again.",
    title="Authentication required",
)
INVALID_CREDENTIALS: Final = ProblemKind(
    "invalid-credentials",
    401,
    "The e-mail address and password, or the refresh token, were not accepted.",
    "Sign in again.",
)
FORBIDDEN: Final = ProblemKind(
    "forbidden",
    403,
    "The server refuses this request.",
    "Do not repeat it.",
)
INSUFFICIENT_SCOPE: Final = ProblemKind(
    "insufficient-scope",
    403,
    "The access token is valid, but may not be used for this.",
    "Use a token with the scopes listed in `scope`.",
)
SIGN_IN_REQUIRED: Final = ProblemKind(
    "sign-in-required",
    403,
    "A personal access token may not do this.",
    "Use the access token of a sign-in.",
)
FRESH_SIGN_IN_REQUIRED: Final = ProblemKind(
    "fresh-sign-in-required",
    401,
    "The user has to have signed in within the last ten minutes.",
    "Let the user sign in again at the issuer, with `prompt=login` or `max_age=0`, and repeat the "
    "request with the new access token (RFC 9470).",
)
ACCOUNT_DISABLED: Final = ProblemKind(
    "account-disabled",
    403,
    "The operator has disabled this account.",
    "Ask the operator.",
)
REGISTRATION_CLOSED: Final = ProblemKind(
    "registration-closed",
    403,
    "This service takes no registrations; its operator creates accounts.",
    "Ask the operator for an account.",
)
NOT_FOUND: Final = ProblemKind(
    "not-found",
    404,
    "The resource does not exist, or it belongs to another user.",
    "Check the address. A deleted resource stays 404 until it is restored or created again.",
)
METHOD_NOT_ALLOWED: Final = ProblemKind(
    "method-not-allowed",
    405,
    "This address does not support this method.",
    "Use one of the methods in the Allow header.",
)
NOT_ACCEPTABLE: Final = ProblemKind(
    "not-acceptable",
    406,
    "The response cannot have the media type that the Accept header asks for.",
    "Ask for `application/json`. Changes come as `text/event-stream` only where the operator has "
    "set up Pushpin; elsewhere use `wait`.",
)
CONFLICT: Final = ProblemKind(
    "conflict",
    409,
    "The request would create something that already exists.",
    "Choose another value.",
)
STALE_OCCURRENCE: Final = ProblemKind(
    "stale-occurrence",
    409,
    "The task is not, or not any more, at the occurrence that was to be completed or skipped.",
    "Look at `current`, and complete or skip its occurrence if that is what you want.",
)
BATCH_FAILED: Final = ProblemKind(
    "batch-failed",
    409,
    "One operation could not be done, so nothing was done.",
    "`operation` is the index of the failed operation, counted from 0, and `problem` its response. "
    "Correct it and send the whole batch again, with the same Idempotency-Key or a new one.",
)
TOO_MANY_TOKENS: Final = ProblemKind(
    "too-many-tokens",
    409,
    "The user already has a hundred personal access tokens, the maximum.",
    "Revoke a token that is no longer needed; `last_used_at` shows which may be unused.",
)
TOO_MANY_WEBHOOKS: Final = ProblemKind(
    "too-many-webhooks",
    409,
    "The user has ten webhooks already.",
    "Delete one that is not needed any more.",
)
QUOTA_EXCEEDED: Final = ProblemKind(
    "quota-exceeded",
    409,
    "The user has reached the storage quota; nothing was changed.",
    "`quota` says which one: `rows` or `bytes`. Shorten texts, erase rows in the trash, or ask the "
    "operator for a larger quota. A deleted row counts until it is purged. The response stored for "
    "an Idempotency-Key counts for a day or longer. Requests that add nothing are always allowed.",
)
CHANGES_GONE: Final = ProblemKind(
    "changes-gone",
    410,
    "This token can no longer be used: rows deleted since then have been removed permanently, the "
    "database was restored, or the token belongs to another account or another secret.",
    "Start over: discard your local copy and request changes without `since`.",
)
ERASED: Final = ProblemKind(
    "erased",
    410,
    "The request was done before, and what it made has been erased since.",
    "To create it again, send the request with a new Idempotency-Key.",
)
LENGTH_REQUIRED: Final = ProblemKind(
    "length-required",
    411,
    "The request has neither a Content-Length nor a chunked body.",
    "Send the body with a Content-Length, or chunked.",
)
PRECONDITION_FAILED: Final = ProblemKind(
    "precondition-failed",
    412,
    "The resource is not in the state that If-Match or If-None-Match asks for.",
    "Compare your change with `current`, and repeat it with the current ETag if it still applies.",
)
PRECONDITION_REQUIRED: Final = ProblemKind(
    "precondition-required",
    428,
    "The change makes a repeating task go on to its next occurrence, which must not happen twice.",
    "Send the task's ETag as `If-Match`, or use `POST /v1/tasks/{id}/complete`.",
)
CONTENT_TOO_LARGE: Final = ProblemKind(
    "content-too-large",
    413,
    "The body is larger than this server accepts.",
    "Send a smaller body, for example in several requests.",
)
URI_TOO_LONG: Final = ProblemKind(
    "uri-too-long",
    414,
    "The request line is longer than this server accepts.",
    "Shorten the query string.",
    title="URI too long",
)
UNSUPPORTED_MEDIA_TYPE: Final = ProblemKind(
    "unsupported-media-type",
    415,
    "The body has a type that this address does not accept, or it is compressed.",
    "Send `Content-Type: application/json`, uncompressed.",
)
RANGE_NOT_SATISFIABLE: Final = ProblemKind(
    "range-not-satisfiable",
    416,
    "The file does not contain this range of bytes.",
    "Send the request without the Range header.",
)
EXPECTATION_FAILED: Final = ProblemKind(
    "expectation-failed",
    417,
    "The Expect header asks for something that this server does not support.",
    "Send the request without the Expect header.",
)
VALIDATION_FAILED: Final = ProblemKind(
    "validation-failed",
    422,
    "Some values are missing, unknown, or not what the contract allows.",
    "Correct each value listed in `errors`: `pointer` is its place in the body (RFC 6901), "
    "`parameter` names a query parameter, `header` a header.",
)
IDEMPOTENCY_KEY_REUSED: Final = ProblemKind(
    "idempotency-key-reused",
    422,
    "This Idempotency-Key was used with another body within the last 24 hours.",
    "Use a new key for a new request.",
)
SEARCH_TOO_SLOW: Final = ProblemKind(
    "search-too-slow",
    422,
    "The search takes longer than the limit.",
    "Narrow the search down: send a longer text in `q`, or add filters such as `complete` and "
    "`updated_after`.",
)
TOO_MANY_REQUESTS: Final = ProblemKind(
    "too-many-requests",
    429,
    "There were too many requests of this user or from this address, too many failed sign-ins, or "
    "an earlier request of this user is still in progress.",
    "Wait for the number of seconds in Retry-After, then repeat the request.",
)
HEADERS_TOO_LARGE: Final = ProblemKind(
    "headers-too-large",
    431,
    "A header of the request, or all of them together, are larger than this server accepts.",
    "Send smaller headers.",
    title="Request header fields too large",
)
INTERNAL_ERROR: Final = ProblemKind(
    "internal-error",
    500,
    "An unexpected error occurred in the server; nothing was changed.",
    "Report the error to the operator, with the request id in `instance`.",
)
NOT_IMPLEMENTED: Final = ProblemKind(
    "not-implemented",
    501,
    "The request uses a transfer coding that this server does not support.",
    "Send the body with a Content-Length, or chunked.",
)
DATABASE_UNAVAILABLE: Final = ProblemKind(
    "database-unavailable",
    503,
    "The database is unavailable; nothing was changed.",
    "Repeat the request after Retry-After.",
)
OUTCOME_UNKNOWN: Final = ProblemKind(
    "outcome-unknown",
    503,
    "The connection to the database broke during the change; it may have been made.",
    "Repeat a POST with the same Idempotency-Key: it takes effect once, however often it is sent. "
    "Repeat a PUT or DELETE unchanged. Repeat a PATCH with If-Match; if the response is 412, "
    "`current` shows whether the change was made.",
)
OVERLOADED: Final = ProblemKind(
    "overloaded",
    503,
    "The request waited so long for its turn that there is no time left to do it; nothing was "
    "changed.",
    "Repeat the request after Retry-After.",
)
DATABASE_BUSY: Final = ProblemKind(
    "database-busy",
    503,
    "The database took too long; nothing was changed.",
    "Repeat the request after Retry-After.",
)
UNFINISHED: Final = ProblemKind(
    "unfinished",
    503,
    "Part of the work is done and stays done; there was no time for the rest.",
    "Repeat the request after Retry-After; it continues where it stopped.",
)
IMPORT_INTERRUPTED: Final = ProblemKind(
    "import-interrupted",
    503,
    "The import stopped before its end; the lines up to `line` have been processed, and some "
    "after it may have been.",
    "Send the same body again after Retry-After; lines that were imported already change nothing.",
)
ISSUER_UNAVAILABLE: Final = ProblemKind(
    "issuer-unavailable",
    503,
    "The issuer's signing keys could not be fetched.",
    "Repeat the request after Retry-After.",
    title="Token issuer unavailable",
)
MAIL_UNAVAILABLE: Final = ProblemKind(
    "mail-unavailable",
    503,
    "This service does not send mail, which the request needs; nothing was changed.",
    "Ask the operator to set up mail. To repeat the request does not help.",
)

KINDS: Final = {kind.slug: kind for kind in [*globals().values()] if type(kind) is ProblemKind}

BY_STATUS: Final = {kind.status: kind for kind in reversed(KINDS.values())}
"""The general kind of each status, for errors that the framework or the server raises."""
