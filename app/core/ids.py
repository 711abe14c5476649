"""Ids that the service generates."""

from uuid_utils import uuid7


def new_id() -> str:
    """A new UUIDv7 (RFC 9562, section 5.7), which sorts after the ids generated earlier."""
    return str(uuid7())
