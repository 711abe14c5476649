"""Fingerprints of request bodies, by which a reused Idempotency-Key is detected."""

import hashlib
import hmac
from collections.abc import Mapping
from typing import Any, Final

import orjson

from app.core import secrets
from app.web.fields.inputs import Body

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
