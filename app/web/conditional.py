"""Conditional requests: entity tags made of versions, If-Match and If-None-Match (RFC 9110, 13)."""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from app.core.problem_kinds import PRECONDITION_FAILED
from app.core.problems import Problem, invalid
from app.rows.versioned import Preconditions
from app.web.exchange import Request, current

ENTITY_TAG: Final = re.compile(r'(W/)?"([\x21\x23-\x7e\x80-\xff]*)"')
ENTITY_TAGS: Final = re.compile(rf"[ \t,]*({ENTITY_TAG.pattern}[ \t]*(,[ \t,]*|\Z))+")
"""A list of them; empty elements are passed over (RFC 9110, section 5.6.1.2)."""

LONGEST: Final = 8190
"""Characters of a list of entity tags: what gunicorn takes of a header."""

VERSION: Final = re.compile(r"0|[1-9][0-9]{0,17}")


def entity_tag(version: int) -> str:
    """The strong entity tag of a version."""
    return f'"{version}"'


def preconditions() -> Preconditions:
    """What the request's If-Match and If-None-Match ask of the resource it writes.

    If-Match compares strongly and If-None-Match weakly; foreign tags match nothing. There is no
    Last-Modified here, so If-Unmodified-Since is ignored (RFC 9110, section 13.1.4). Raises Problem
    422.
    """
    incoming = current()
    match, none_match = _entity_tags(incoming, "If-Match"), _entity_tags(incoming, "If-None-Match")
    versions = None
    if none_match == "*" and incoming.method != "PUT":
        versions = []  # there is nothing to change or delete in what must not exist
    elif isinstance(match, list):
        versions = _versions((weak, tag) for weak, tag in match if not weak)
    other_than = _versions(none_match) if isinstance(none_match, list) else None
    return Preconditions(versions, match is not None, none_match == "*", other_than)


def require_match(incoming: Request, representation: Mapping[str, Any]) -> None:
    """Raises Problem 412 if the If-Match of a read names other versions, 422 if it is malformed."""
    tags = _entity_tags(incoming, "If-Match")
    if isinstance(tags, list) and ("", str(representation["version"])) not in tags:
        raise Problem(PRECONDITION_FAILED, current=representation)


def unchanged_since(incoming: Request, version: int) -> bool:
    """Whether the client's If-None-Match names this version, so that 304 will do.

    There is no Last-Modified here, so If-Modified-Since is ignored (RFC 9110, section 13.1.3).
    """
    tags = _entity_tags(incoming, "If-None-Match")
    return tags == "*" or (isinstance(tags, list) and str(version) in {tag for _, tag in tags})


def _versions(tags: Iterable[tuple[str, str]]) -> list[int]:
    """The versions that these entity tags are of."""
    return [int(tag) for _, tag in tags if VERSION.fullmatch(tag)]


def _entity_tags(incoming: Request, header: str) -> list[tuple[str, str]] | str | None:
    text: str | None = incoming.environ.get(f"HTTP_{header.upper().replace('-', '_')}")
    if text is None or text.strip() == "*":
        return text and "*"
    if len(text) > LONGEST or not ENTITY_TAGS.fullmatch(text):
        raise invalid('must be * or entity tags such as "7"', "entity_tag", header=header)
    return ENTITY_TAG.findall(text)
