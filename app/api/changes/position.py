"""How far a client has read in the changes of its user, and the token that says so."""

import re
from typing import Final, NamedTuple

from app.core.problem_kinds import CHANGES_GONE
from app.core.problems import Problem, invalid
from app.web import cursors

CONTENT: Final = re.compile("(0|[1-9][0-9]{0,18})[.](0|[1-9][0-9]{0,18})")
"""The two numbers of a position, as PostgreSQL's bigint holds them."""


class Position(NamedTuple):
    """Every change up to `version` is known.

    While a first copy is read page by page, also every deletion up to `copied_to`, the version at
    which it began; 0 after that.
    """

    version: int
    copied_to: int


def encode(position: Position, user_id: str) -> str:
    """An opaque token, signed for this user."""
    return cursors.seal(f"{position.version}.{position.copied_to}", ["changes", user_id])


def decode(token: str | None, user_id: str, **where: str) -> Position | None:
    """The position that `encode` was given; None for the beginning.

    `where` says what a problem names, unless it is the parameter `since`. Raises Problem 410 for a
    token of another account or of keys that are no longer accepted, as the client has to start over
    then, and 422 for what is no token.
    """
    if token is None:
        return None
    sealed = cursors.Sealed.parse(token)
    position = CONTENT.fullmatch(sealed.text) if sealed else None
    if sealed is None or position is None:
        raise invalid("is not a token of this feed", "token", **(where or {"parameter": "since"}))
    if not sealed.is_for(["changes", user_id]):
        raise Problem(CHANGES_GONE)
    return Position(int(position[1]), int(position[2]))
