"""Permissions of access tokens; the API calls them scopes, as RFC 6750 does."""

from collections.abc import Iterable
from typing import Final, Literal, get_args

Permission = Literal["tasks:read", "tasks:write", "account"]

PERMISSIONS: Final[tuple[Permission, ...]] = get_args(Permission)

SAFE: Final = frozenset({"GET", "HEAD"})


def required(method: str) -> Permission:
    """Return the permission that a method needs for tasks and categories."""
    return "tasks:read" if method in SAFE else "tasks:write"


def granted(scopes: Iterable[str]) -> frozenset[str]:
    """Return the permissions of these scopes; writing includes reading, as responses show rows."""
    given = frozenset(scopes)
    return given | {"tasks:read"} if "tasks:write" in given else given
