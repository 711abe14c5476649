"""One resource and its versions: conditional requests, and responses with an entity tag.

Source: RFC 9110, section 13, for ETag, If-Match and If-None-Match.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from app.core.problems import invalid, precondition_failed
from app.rows.shape import Preconditions
from app.web.request import Request, current
from app.web.response import Response, json_response

ENTITY_TAG: Final = re.compile(r'(W/)?"([\x21\x23-\x7e\x80-\xff]*)"')
ENTITY_TAGS: Final = re.compile(rf"[ \t,]*({ENTITY_TAG.pattern}[ \t]*(,[ \t,]*|\Z))+")
"""A list of entity tags; empty elements are ignored (RFC 9110, section 5.6.1.2)."""

LONGEST: Final = 8190
"""Characters of a list of entity tags; gunicorn's limit for a header field."""

VERSION: Final = re.compile(r"0|[1-9][0-9]{0,17}")


def entity_tag(version: int) -> str:
    """The strong entity tag of a version."""
    return f'"{version}"'


def preconditions() -> Preconditions:
    """The preconditions of a write, from its If-Match and If-None-Match. Raises Problem 422.

    If-Match compares strongly and If-None-Match weakly; foreign tags match nothing. Resources have
    no Last-Modified, so If-Unmodified-Since is ignored (RFC 9110, section 13.1.4).
    """
    incoming = current()
    match, none_match = _entity_tags(incoming, "If-Match"), _entity_tags(incoming, "If-None-Match")
    versions = None
    if none_match == "*" and incoming.method != "PUT":
        versions = []  # a resource that must not exist cannot be changed or deleted
    elif isinstance(match, list):
        versions = _versions((weak, tag) for weak, tag in match if not weak)
    other_than = _versions(none_match) if isinstance(none_match, list) else None
    return Preconditions(versions, match is not None, none_match == "*", other_than)


def is_unchanged(representation: Mapping[str, Any]) -> bool:
    """Whether 304 answers this read, as If-None-Match names the version. Raises Problem 412, 422.

    If-Match is evaluated before If-None-Match (RFC 9110, section 13.2.2). Resources have no
    Last-Modified, so If-Modified-Since is ignored (section 13.1.3).
    """
    version = str(representation["version"])
    tags = _entity_tags(current(), "If-Match")
    if isinstance(tags, list) and ("", version) not in tags:
        raise precondition_failed(representation)
    tags = _entity_tags(current(), "If-None-Match")
    return tags == "*" or (isinstance(tags, list) and version in {tag for _, tag in tags})


def resource(representation: Mapping[str, Any], status: int = 200) -> Response:
    """The resource with its ETag, or 304 if the client has this version. Raises as `is_unchanged`.

    Only reads are compared with what the client has; writes have checked their preconditions.
    """
    if current().method in {"GET", "HEAD"} and is_unchanged(representation):
        response = Response(status=304)
    else:
        response = json_response(representation, status)
    response.headers["ETag"] = entity_tag(representation["version"])
    return response


def created(representation: Mapping[str, Any]) -> Response:
    """201 with a new member of the collection that the request was sent to."""
    return created_at(f"{current().path}/{representation['id']}", representation)


def created_at(location: str, representation: Mapping[str, Any]) -> Response:
    """201 with a new resource and its path as Location (RFC 9110, section 10.2.2)."""
    response = resource(representation, 201)
    response.headers["Location"] = location
    return response


def _versions(tags: Iterable[tuple[str, str]]) -> list[int]:
    """The versions that the tags name; other tags match nothing."""
    return [int(tag) for _, tag in tags if VERSION.fullmatch(tag)]


def _entity_tags(incoming: Request, header: str) -> list[tuple[str, str]] | str | None:
    text: str | None = incoming.environ.get(f"HTTP_{header.upper().replace('-', '_')}")
    if text is None or text.strip() == "*":
        return text and "*"
    if len(text) > LONGEST or not ENTITY_TAGS.fullmatch(text):
        raise invalid('must be * or entity tags such as "7"', "entity_tag", header=header)
    return ENTITY_TAG.findall(text)
