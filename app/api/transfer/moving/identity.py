"""The ids of what is moved in, made of what identifies it in the other app (RFC 9562, UUIDv5)."""

from typing import Final
from uuid import UUID, uuid5

NAMESPACE: Final = UUID("5f3a1c7e-9b24-5d86-8e07-2c4b6a9d1f35")


def id_of(form: str, kind: str, source: str) -> str:
    """Return the id that a row has in each file of this format."""
    return str(uuid5(NAMESPACE, f"{form}\n{kind}\n{source}"))
