"""Fingerprints of request bodies, by which a reused Idempotency-Key is detected."""

import hashlib
import hmac
from collections.abc import Mapping
from typing import Any, Final

import orjson

from app.core import secrets
from app.web.fields.inputs import Body

TRIMMED: Final = {"title", "name"}
"""Texts of which release 1.0 took the outer white space off."""


class Fingerprint:
    """What is updated with a body; keyed, as that may hold a password.

    It is made under all keys that are accepted, so that a retry is known for one after the secret
    was changed.
    """

    def __init__(self) -> None:
        self.made = [hmac.new(k.fingerprint, digestmod=hashlib.sha256) for k in secrets.accepted()]

    def update(self, piece: bytes) -> None:
        """Take the next piece of the body."""
        for digest in self.made:
            digest.update(piece)

    def digests(self) -> tuple[bytes, ...]:
        """The body's fingerprint under each of the keys, the present ones first."""
        return tuple(digest.digest() for digest in self.made)


def fingerprinted(body: Body | Mapping[str, str], sent: Any) -> bytes:
    """What a fingerprint is made of: the body as release 1.0 read it, and what else was sent.

    Releases that run beside each other, or follow each other, agree on it: an optional member that
    one of them added is not in it where it was not sent. The order of members, white space and
    escapes do not count. See decision 0043.
    """
    if isinstance(body, Body):
        body = _members(body) | _texts(sent)
    return orjson.dumps(body, _members, orjson.OPT_SORT_KEYS)


def _members(body: Body) -> dict[str, Any]:
    return {**body.absent, **body.given()}


def _texts(sent: Mapping[str, Any]) -> dict[str, str]:
    """The texts beyond ASCII as they were sent, whichever normal form they are stored in."""
    texts = {name: text for name, text in sent.items() if isinstance(text, str)}
    return {
        name: text.strip() if name in TRIMMED else text
        for name, text in texts.items()
        if not text.isascii()
    }
