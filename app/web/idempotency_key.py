"""The Idempotency-Key header: a retried request is processed once and answered alike.

Source: IETF draft "The Idempotency-Key HTTP Header Field".
"""

import hashlib
import hmac
import re
from collections.abc import Mapping
from typing import Any, Final

import orjson
from flask import Response

from app.core import secrets
from app.core.metrics import tally
from app.core.metrics.families import REPLAYS
from app.core.problems import invalid
from app.rows.idempotency import Once
from app.web.fields.inputs import Body
from app.web.request import current

KEY: Final = re.compile(r"[\x21-\x7e]{1,255}")

TRIMMED: Final = {"title", "name"}
"""Texts that release 1.0 trimmed."""


class Fingerprint:
    """An HMAC-SHA256 of a body, updated piece by piece; keyed because bodies may hold passwords.

    There is one digest for each accepted secret, so that retries match after a rotation.
    """

    def __init__(self) -> None:
        self.made = [hmac.new(k.fingerprint, digestmod=hashlib.sha256) for k in secrets.accepted()]

    def update(self, piece: bytes) -> None:
        """Add the next piece of the body."""
        for digest in self.made:
            digest.update(piece)

    def digests(self) -> tuple[bytes, ...]:
        """The digests under all accepted secrets, the present one first."""
        return tuple(digest.digest() for digest in self.made)


def requested(body: Body | Mapping[str, str]) -> Once | None:
    """The Idempotency-Key and the fingerprint of the validated body; None without the header.

    Raises Problem 422.
    """
    if (key := requested_key()) is None:
        return None
    fingerprint = Fingerprint()
    fingerprint.update(fingerprinted(body, current().sent))
    return requested_with(key, fingerprint)


def requested_key() -> str | None:
    """The value of the Idempotency-Key header; None without it. Raises Problem 422."""
    key: str | None = current().environ.get("HTTP_IDEMPOTENCY_KEY")
    if key is not None and not KEY.fullmatch(key):
        detail = "must be 1 to 255 visible ASCII characters"
        raise invalid(detail, "idempotency_key", header="Idempotency-Key")
    return key


def requested_with(key: str, fingerprint: Fingerprint) -> Once:
    """The key for the current route, with the fingerprint of a body."""
    return Once(str(current().url_rule), key, fingerprint.digests())


def mark(response: Response, replayed: bool) -> Response:
    """Add Idempotency-Replayed to a response that repeats an earlier one."""
    if replayed:
        response.headers["Idempotency-Replayed"] = "true"
        tally.add(REPLAYS)
    return response


def fingerprinted(body: Body | Mapping[str, str], sent: Any) -> bytes:
    """The bytes to fingerprint: the body as release 1.0 read it, and later members as sent.

    All releases agree on them: an optional member that a later release added counts only if it was
    sent. Order of members, white space and escapes do not count. See decision 0043.
    """
    if isinstance(body, Body):
        body = _members(body) | _texts(sent)
    return orjson.dumps(body, _members, orjson.OPT_SORT_KEYS)


def _members(body: Body) -> dict[str, Any]:
    return {**body.absent, **body.given()}


def _texts(sent: Mapping[str, Any]) -> dict[str, str]:
    """Non-ASCII texts as sent, since releases store them in different normal forms."""
    texts = {name: text for name, text in sent.items() if isinstance(text, str)}
    return {
        name: text.strip() if name in TRIMMED else text
        for name, text in texts.items()
        if not text.isascii()
    }
