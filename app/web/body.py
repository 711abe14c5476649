"""Request bodies and queries: their framing, size, media type and JSON, and validated models."""

from collections.abc import Container
from typing import Any, Final
from urllib.parse import parse_qsl

import flask
from apiflask.schema_adapters.pydantic import PydanticAdapter
from flask import current_app
from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema

from app.core.problem_kinds import (
    BAD_REQUEST,
    CONTENT_TOO_LARGE,
    LENGTH_REQUIRED,
    UNSUPPORTED_MEDIA_TYPE,
)
from app.core.problems import Problem, invalid
from app.web.request import Request, current
from app.web.request_limits import count_length
from app.web.response import JSON
from app.web.strict_json import parse_json
from app.web.validation import in_query, validated

MERGE_PATCH: Final = "application/merge-patch+json"
"""RFC 7396."""

LONGEST: Final = 255
"""Characters of a Content-Type header that is parsed."""


class ContractSchema(GenerateJsonSchema):
    """Generates the JSON schemas of the OpenAPI document."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        """Omit titles of fields: client generators take them for names of types."""
        return False

    def sort(self, value: dict[str, Any], parent_key: str | None = None) -> dict[str, Any]:
        """Keep the order of members, so that examples list fields as the model does."""
        return value


class StrictAdapter(PydanticAdapter):
    """Validates bodies and queries by this service's rules; see decision 0007."""

    def get_openapi_schema(self, **kwargs: Any) -> dict[str, Any]:
        """The model's JSON schema, with references to other models by name."""
        return self.model_class.model_json_schema(
            ref_template="#/components/schemas/{model}", schema_generator=ContractSchema
        )

    def validate_input(self, request: flask.Request, location: str, **kwargs: Any) -> BaseModel:
        """The body or query as a model. Raises Problem 400, 411, 413, 415, 422, 429."""
        incoming = current()
        if location == "query":
            values = read_query(incoming, getattr(self.model_class, "repeatable", ()))
            return validated(self.model_class, values, in_query)
        patches = incoming.method == "PATCH"
        if incoming.method == "DELETE" and not is_sent(incoming):
            return validated(self.model_class, {})
        require_media_type(incoming, (JSON, MERGE_PATCH) if patches else (JSON,))
        incoming.sent = parse_json(read_body(incoming))
        return validated(self.model_class, incoming.sent)


def is_sent(incoming: Request) -> bool:
    """Whether a request has a body, or says of what kind its body is."""
    framed = bool(incoming.content_length) or "HTTP_TRANSFER_ENCODING" in incoming.environ
    return framed or bool(incoming.environ.get("CONTENT_TYPE"))


def read_query(incoming: Request, repeatable: Container[str] = ()) -> dict[str, str | list[str]]:
    """The query parameters, percent-decoded; lists of those that may be repeated.

    Raises Problem 422 for any other one that is repeated.
    """
    values: dict[str, Any] = {}
    for name, value in parse_qsl(incoming.query_string.decode("ascii"), keep_blank_values=True):
        if name in repeatable:
            values.setdefault(name, []).append(value)
        elif name in values:
            raise invalid("must be given once", "repeated", parameter=name)
        else:
            values[name] = value
    return values


def require_media_type(
    incoming: Request, allowed: Container[str], detail: str | None = None
) -> None:
    """Raise Problem 415 unless the body has one of these types, is in UTF-8 and uncompressed."""
    if (
        len(incoming.environ.get("CONTENT_TYPE", "")) > LONGEST
        or incoming.mimetype not in allowed
        or incoming.mimetype_params.get("charset", "utf-8").lower() not in {"utf-8", "utf8"}
    ):
        raise Problem(UNSUPPORTED_MEDIA_TYPE, detail)
    if incoming.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise Problem(UNSUPPORTED_MEDIA_TYPE, "The body must not be compressed.")


def read_body(incoming: Request) -> bytes:
    """The whole body, at most MAX_BODY_BYTES long. Raises Problem 400, 411, 413, 429."""
    limit: int = current_app.config["MAX_BODY_BYTES"]
    length = declared_length(incoming, limit)
    # One byte more than a chunked body may have shows that it is too long.
    body = read_piece(incoming, limit + 1 if length is None else length)
    if len(body) > limit:
        raise too_large(limit)
    require_whole(len(body), length)
    if length is None:
        count_length(len(body))
    return body


def declared_length(incoming: Request, limit: int) -> int | None:
    """The Content-Length in bytes; None for a chunked body.

    Raises Problem 411 for a body that is framed by neither, 413 for more bytes than `limit`.
    """
    length = incoming.content_length
    if length is None and not incoming.environ.get("wsgi.input_terminated"):
        raise Problem(LENGTH_REQUIRED)
    if (length or 0) > limit:
        raise too_large(limit)
    return length


def read_piece(incoming: Request, size: int) -> bytes:
    """The next `size` bytes of the body, or fewer at its end. Raises Problem 400."""
    try:
        piece: bytes = incoming.environ["wsgi.input"].read(size)
    except Exception as error:
        # Malformed chunks raise an exception of the server's own, which differs between servers.
        raise Problem(BAD_REQUEST, "The body is not framed as its headers say.") from error
    return piece


def require_whole(taken: int, length: int | None) -> None:
    """Raise Problem 400 if fewer bytes could be read than Content-Length says."""
    if taken < (length or 0):
        raise Problem(BAD_REQUEST, "The body is shorter than its Content-Length.")


def too_large(limit: int) -> Problem:
    """413, with the limit in bytes."""
    return Problem(CONTENT_TOO_LARGE, f"The body may be at most {limit} bytes long.")
