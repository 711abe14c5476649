"""How far a client has read in the changes of its user, and the token that says so."""

from typing import NamedTuple

from app import pagination
from app.problems import invalid


class Position(NamedTuple):
    """Every change up to `version` is known.

    While a first copy is read page by page, also every deletion up to `copied_to`, the version at
    which it began; 0 after that.
    """

    version: int
    copied_to: int


def encode(position: Position, user_id: str) -> str:
    """An opaque token, signed for this user."""
    return pagination.seal(f"{position.version}.{position.copied_to}", ["changes", user_id])


def decode(token: str | None, user_id: str) -> Position | None:
    """The position that `encode` was given; None for the beginning. Raises Problem 422."""
    if token is None:
        return None
    content = pagination.unseal(token, ["changes", user_id])
    if content is None:
        raise invalid("is not a token of this account", "token", parameter="since")
    version, _, copied_to = content.partition(".")
    return Position(int(version), int(copied_to))
