"""What a token may be used for; the contract calls it scope, as RFC 6750 does."""

from collections.abc import Iterable
from typing import Final, Literal, get_args

Permission = Literal["tasks:read", "tasks:write", "account"]

PERMISSIONS: Final[tuple[Permission, ...]] = get_args(Permission)

SAFE: Final = frozenset({"GET", "HEAD"})


def required(method: str) -> Permission:
    """What a method takes where tasks are concerned."""
    return "tasks:read" if method in SAFE else "tasks:write"


def granted(scopes: Iterable[str]) -> frozenset[str]:
    """All that these scopes allow: whoever may write is answered what was written, and so reads."""
    given = frozenset(scopes)
    return given | {"tasks:read"} if "tasks:write" in given else given
