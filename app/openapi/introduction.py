"""What the document says of the service before its operations."""

from typing import Final

VERSION: Final = "1.0.0"
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
