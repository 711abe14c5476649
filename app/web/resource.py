"""Responses that represent one resource: entity tag, 304, and Location of a new one."""

from collections.abc import Mapping
from typing import Any

from app.web.conditional import entity_tag, require_match, unchanged_since
from app.web.request import current
from app.web.response import Response, json_response


def resource(representation: Mapping[str, Any], status: int = 200) -> Response:
    """The resource with its ETag, or 304 if the client has this version.

    If-Match is evaluated before If-None-Match (RFC 9110, section 13.2.2). Raises Problem 412, 422.
    """
    version = representation["version"]
    incoming = current()
    response = None
    if incoming.method in {"GET", "HEAD"}:
        require_match(incoming, representation)
        if unchanged_since(incoming, version):
            response = Response(status=304)
    response = response or json_response(representation, status)
    response.headers["ETag"] = entity_tag(version)
    return response


def created(representation: Mapping[str, Any]) -> Response:
    """201 with a new member of the collection that the request was sent to."""
    return created_at(f"{current().path}/{representation['id']}", representation)


def created_at(location: str, representation: Mapping[str, Any]) -> Response:
    """201 with a new resource and its path as Location (RFC 9110, section 10.2.2)."""
    response = resource(representation, 201)
    response.headers["Location"] = location
    return response
