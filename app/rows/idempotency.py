"""Idempotency keys: the same request sent twice is done once, and answered alike.

Source: IETF draft "The Idempotency-Key HTTP Header Field". The key is claimed in the statement that
does the work, so that there is no moment at which one is done without the other.
"""

import hashlib
import hmac
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, NamedTuple

import orjson
from flask import Response
from sqlalchemy import (
    CTE,
    CheckConstraint,
    ColumnElement,
    ForeignKey,
    Index,
    LargeBinary,
    Text,
    Uuid,
    bindparam,
    func,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP, insert
from sqlalchemy.orm import Mapped, mapped_column

from app.core import secrets
from app.core.metrics import tally
from app.core.metrics.families import REPLAYS
from app.core.problems import IDEMPOTENCY_KEY_REUSED, Problem, invalid
from app.core.secrets import Keys
from app.db.base import Base
from app.web.exchange import current
from app.web.fields import Body

KEY: Final = re.compile(r"[\x21-\x7e]{1,255}")
LIFETIME: Final = text("interval '24 hours'")

TRIMMED: Final = {"title", "name"}
"""Texts of which release 1.0 took the outer white space off."""


class IdempotencyKey(Base):
    """A key that a user sent to a route, what came with it, and what was answered."""

    __tablename__ = "idempotency_keys"

    user_id: Mapped[str] = mapped_column(
        Uuid(as_uuid=False), ForeignKey("users.id", ondelete="CASCADE"), primary_key=True
    )
    route: Mapped[str] = mapped_column(Text, primary_key=True)
    key: Mapped[str] = mapped_column(Text, primary_key=True)
    fingerprint: Mapped[bytes] = mapped_column(LargeBinary)
    answer: Mapped[dict[str, Any]] = mapped_column(JSONB)
    created_at: Mapped[datetime] = mapped_column(TIMESTAMP(True))

    __table_args__ = (
        CheckConstraint("char_length(key) between 1 and 255", name="key"),
        CheckConstraint("octet_length(fingerprint) = 32", name="fingerprint"),
        Index("ix_idempotency_keys_created_at", created_at),
    )


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


class Once(NamedTuple):
    """A request that is to be done once; its body's fingerprints are as `digests` gives them."""

    route: str
    key: str
    fingerprints: tuple[bytes, ...]

    @property
    def parameters(self) -> dict[str, object]:
        """What `replayed` and `kept` are bound to."""
        return {"route": self.route, "key": self.key, "fingerprint": self.fingerprints[0]}

    def is_same(self, fingerprint: bytes | memoryview | None) -> bool:
        """Whether the key came with this body before, or never came."""
        return fingerprint is None or bytes(fingerprint) in self.fingerprints

    def require_same(self, fingerprint: bytes | memoryview | None) -> Keys:
        """The keys that the request was answered under, which are the present ones if it never was.

        Raises Problem 422 if the idempotency key came with another body before.
        """
        if fingerprint is None:
            return secrets.present()
        if not self.is_same(fingerprint):
            raise Problem(IDEMPOTENCY_KEY_REUSED)
        return secrets.accepted()[self.fingerprints.index(bytes(fingerprint))]


def requested(body: Body | Mapping[str, str]) -> Once | None:
    """The Idempotency-Key of this request with what its body says; None without the header.

    Raises Problem 422.
    """
    if (key := requested_key()) is None:
        return None
    fingerprint = Fingerprint()
    fingerprint.update(fingerprinted(body, current().sent))
    return requested_with(key, fingerprint)


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


def requested_key() -> str | None:
    """The Idempotency-Key of this request. Raises Problem 422."""
    key: str | None = current().environ.get("HTTP_IDEMPOTENCY_KEY")
    if key is not None and not KEY.fullmatch(key):
        detail = "must be 1 to 255 visible ASCII characters"
        raise invalid(detail, "idempotency_key", header="Idempotency-Key")
    return key


def requested_with(key: str, fingerprint: Fingerprint) -> Once:
    """The key, with the fingerprint of a body."""
    return Once(str(current().url_rule), key, fingerprint.digests())


def mark(response: Response, replayed: bool) -> Response:
    """Tell the client if it was answered before."""
    if replayed:
        response.headers["Idempotency-Replayed"] = "true"
        tally.add(REPLAYS)
    return response


def replayed() -> CTE:
    """The answer that the key was given before, if it was: columns fingerprint and answer."""
    return (
        select(IdempotencyKey.fingerprint, IdempotencyKey.answer)
        .where(
            IdempotencyKey.user_id == bindparam("user_id"),
            IdempotencyKey.route == bindparam("route"),
            IdempotencyKey.key == bindparam("key"),
            IdempotencyKey.created_at > func.now() - LIFETIME,
        )
        .cte("replayed")
    )


def kept(answer: ColumnElement[Any], source: CTE) -> CTE:
    """Keep the answer under the key; one that expired makes room."""
    columns = ["user_id", "route", "key", "fingerprint", "answer", "created_at"]
    row = select(
        bindparam("user_id"),
        bindparam("route"),
        bindparam("key"),
        bindparam("fingerprint"),
        answer,
        func.now(),
    ).select_from(source)
    insertion = insert(IdempotencyKey).from_select(columns, row)
    return (
        insertion.on_conflict_do_update(
            index_elements=["user_id", "route", "key"],
            set_={name: insertion.excluded[name] for name in columns[3:]},
        )
        .returning(IdempotencyKey.key)
        .cte("kept")
    )
