"""The Idempotency-Key header: a retried request is processed once and answered alike.

Source: IETF draft "The Idempotency-Key HTTP Header Field".
"""

import re
from collections.abc import Mapping
from typing import Final

from flask import Response

from app.core.metrics import tally
from app.core.metrics.families import REPLAYS
from app.core.problems import invalid
from app.rows.idempotency import Once
from app.web.fields.inputs import Body
from app.web.fingerprint import Fingerprint, fingerprinted
from app.web.request import current

KEY: Final = re.compile(r"[\x21-\x7e]{1,255}")


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
