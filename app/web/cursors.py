"""Keyset pagination with signed cursors."""

import hashlib
import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Final, NamedTuple, Self
from urllib.parse import parse_qsl, urlencode

import orjson
from flask import Response
from pydantic import Field

from app.core import secrets
from app.core.problems import invalid
from app.rows.listing import Position
from app.web.fields.inputs import Query
from app.web.fields.scalars import WholeNumber
from app.web.request import current
from app.web.response import json_response

SIGNATURE_BYTES: Final = 16
ID_LENGTH: Final = 36
MAX_LIMIT: Final = 200
DEFAULT_LIMIT: Final = 50

Limit = Annotated[
    int, WholeNumber(1, MAX_LIMIT), Field(description="The maximum number of items on the page.")
]
Cursor = Annotated[
    Annotated[str, Field(max_length=2000)] | None,
    Field(
        description="`next_cursor` of the previous page. Send the other parameters unchanged; only"
        " `limit` may differ."
    ),
]


class PageQuery(Query):
    """Which page of a listing, and how long."""

    limit: Limit = DEFAULT_LIMIT
    cursor: Cursor = None


def encode(position: Position, listing: object) -> str:
    """An opaque cursor for the page after a position, signed for its user, sort and filters."""
    return seal(f"{position.id}{position.key}", listing)


def decode(cursor: str | None, listing: object) -> Position | None:
    """The position in a cursor of this listing; None without a cursor.

    Raises Problem 422 for a cursor that was tampered with or belongs to another listing.
    """
    if cursor is None:
        return None
    sealed = Sealed.parse(cursor)
    if sealed is None or not sealed.is_for(listing):
        raise invalid("does not belong to this listing", "cursor", parameter="cursor")
    return Position(sealed.text[ID_LENGTH:], sealed.text[:ID_LENGTH])


def seal(text: str, purpose: object) -> str:
    """The text as an opaque, URL-safe token, signed for a purpose under the present secret."""
    content = text.encode()
    signature = _sign(content, purpose, secrets.present().cursor)
    return urlsafe_b64encode(signature + content).decode().rstrip("=")


class Sealed(NamedTuple):
    """A token in the form of `seal`, whose signature is not verified before `is_for`."""

    signature: bytes
    text: str

    @classmethod
    def parse(cls, sealed: str) -> Self | None:
        """Decode a token; None if it is malformed."""
        try:
            data = urlsafe_b64decode(sealed.encode("ascii") + b"=" * (-len(sealed) % 4))
            found = cls(data[:SIGNATURE_BYTES], data[SIGNATURE_BYTES:].decode())
        except ValueError:
            return None
        canonical = urlsafe_b64encode(data).decode().rstrip("=") == sealed
        return found if canonical and len(data) >= SIGNATURE_BYTES else None

    def is_for(self, purpose: object) -> bool:
        """Whether the signature is valid for this purpose, under any of the accepted secrets."""
        content = self.text.encode()
        return any(
            hmac.compare_digest(self.signature, _sign(content, purpose, each.cursor))
            for each in secrets.accepted()
        )


def _sign(content: bytes, purpose: object, key: bytes) -> bytes:
    message = orjson.dumps(purpose, option=orjson.OPT_SORT_KEYS) + b"\n" + content
    return hmac.digest(key, message, hashlib.sha256)[:SIGNATURE_BYTES]


def after(rows: Sequence[Any]) -> Position:
    """The position after the last row; rows have `sort_key` and `id`."""
    return Position(rows[-1].sort_key, rows[-1].id)


def page(
    rows: Sequence[Any],
    items: Sequence[Any],
    limit: int,
    listing: object,
    position_after: Callable[[Sequence[Any]], Position] = after,
) -> Response:
    """A page as `{"items", "next_cursor"}`, with a Link to the next page (RFC 8288).

    `rows` and `items`, their representations, have one element more than `limit` if there is a
    next page. `position_after` returns the position after the rows of this page.
    """
    cursor = None
    if len(rows) > limit:
        cursor = encode(position_after(rows[:limit]), listing)
    response = json_response({"items": items[:limit], "next_cursor": cursor})
    if cursor:
        incoming = current()
        pairs = parse_qsl(incoming.query_string.decode("ascii"))
        query = [pair for pair in pairs if pair[0] != "cursor"] + [("cursor", cursor)]
        response.headers["Link"] = f'<{incoming.path}?{urlencode(query)}>; rel="next"'
    return response
