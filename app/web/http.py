"""HTTP as this service speaks it: strict bodies and queries, responses, the edge."""

from collections.abc import Callable, Container, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import parse_qsl

import flask
import orjson
from apiflask.schema_adapters import registry
from apiflask.schema_adapters.pydantic import PydanticAdapter
from flask import Flask, Request, current_app
from pydantic import BaseModel, ValidationError
from pydantic.json_schema import GenerateJsonSchema
from werkzeug.routing import UUIDConverter

from app.core.hosts import host_of, is_trusted
from app.core.problem_kinds import (
    BAD_REQUEST,
    CONTENT_TOO_LARGE,
    HEADERS_TOO_LARGE,
    LENGTH_REQUIRED,
    UNSUPPORTED_MEDIA_TYPE,
    URI_TOO_LONG,
    VALIDATION_FAILED,
)
from app.core.problems import Problem, invalid
from app.web.conditional import entity_tag, require_match, unchanged_since
from app.web.exchange import JSON, STORE_NOTHING, Document, Response, current
from app.web.limits import count_length
from app.web.strict_json import json_pointer, parse_json

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

MERGE_PATCH: Final = "application/merge-patch+json"
JSON_TYPES: Final = frozenset({JSON})
PATCH_TYPES: Final = frozenset({JSON, MERGE_PATCH})
"""The media types that JSON bodies may have; those of PATCH are merge patches (RFC 7396)."""

MOST_ERRORS: Final = 100
"""Of one request, that are told of."""

MOST_PARAMETERS: Final = 100
"""Of one query, which no route has a quarter of."""

LONGEST_QUERY: Final = 8190
"""Bytes, as gunicorn takes of the whole first line."""

LONGEST_HEADER: Final = 8190
"""Bytes, as gunicorn takes of a header."""

CREDENTIALS: Final = "HTTP_AUTHORIZATION"
HAS_LONG_HEADERS: Final = "tasks.has_long_headers"

LONGEST_MEDIA_TYPE: Final = 255

WATCHED_PATHS: Final = {"/health", "/health/db", "/metrics"}

Model = TypeVar("Model", bound=BaseModel)


class IdConverter(UUIDConverter):
    """A UUID in a path, as the lower-case text that ids are everywhere else."""

    def to_python(self, value: str) -> str:  # type: ignore[override]
        return value.lower()

    def to_url(self, value: str) -> str:  # type: ignore[override]
        return value


# Bodies


def read_body(incoming: Request) -> bytes:
    """The body, at most MAX_BODY_BYTES long, however it is framed.

    Raises Problem 411, 413.
    """
    limit: int = current_app.config["MAX_BODY_BYTES"]
    length = incoming.content_length
    if length is None and not incoming.environ.get("wsgi.input_terminated"):
        raise Problem(LENGTH_REQUIRED)
    if (length or 0) > limit:
        raise too_large(limit)
    # A chunked body has no length to look at beforehand.
    body = read_piece(incoming, limit + 1 if length is None else length)
    if len(body) > limit:
        raise too_large(limit)
    if length is None:
        count_length(len(body))
    if len(body) < (length or 0):
        raise Problem(BAD_REQUEST, "The body is shorter than its Content-Length.")
    return body


def too_large(limit: int) -> Problem:
    """413, with the limit."""
    return Problem(CONTENT_TOO_LARGE, detail=f"The body may be at most {limit} bytes long.")


def read_piece(incoming: Request, size: int) -> bytes:
    """So many bytes of the body, or less at its end. Raises Problem 400."""
    try:
        body: bytes = incoming.environ["wsgi.input"].read(size)
    except Exception as error:
        # Each server has exceptions of its own for chunks that are none; all mean the same.
        raise Problem(BAD_REQUEST, "The body is not framed as its headers say.") from error
    return body


def _require_json(incoming: Request) -> None:
    allowed = PATCH_TYPES if incoming.method == "PATCH" else JSON_TYPES
    environ = incoming.environ
    if environ.get("CONTENT_TYPE") not in allowed or "HTTP_CONTENT_ENCODING" in environ:
        require_media_type(incoming, allowed)


def require_media_type(
    incoming: Request, allowed: Container[str], detail: str | None = None
) -> None:
    """Raise Problem 415 unless the body is of one of these types, in UTF-8 and not compressed."""
    named = len(incoming.environ.get("CONTENT_TYPE", "")) <= LONGEST_MEDIA_TYPE
    if not named or incoming.mimetype not in allowed or not _is_utf8(incoming):
        raise Problem(UNSUPPORTED_MEDIA_TYPE, detail)
    if incoming.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise Problem(UNSUPPORTED_MEDIA_TYPE, detail="The body must not be compressed.")


def _is_utf8(incoming: Request) -> bool:
    return incoming.mimetype_params.get("charset", "utf-8").lower() in {"utf-8", "utf8"}


def _query(incoming: Request) -> dict[str, str]:
    pairs = parse_qsl(incoming.query_string.decode("ascii"), keep_blank_values=True)
    values = dict(pairs)
    if len(values) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise invalid("must be given once", "repeated", parameter=twice)
    return values


class ContractSchema(GenerateJsonSchema):
    """How pydantic writes the JSON schemas of the contract."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        """Never, as generators of clients take titles of fields for names of types."""
        return False

    def sort(self, value: dict[str, Any], parent_key: str | None = None) -> dict[str, Any]:
        """The schema as it is, which leaves the members of examples in the order of the model."""
        return value


class StrictAdapter(PydanticAdapter):
    """How APIFlask reads a request into a model: by this module's rules, errors with pointers."""

    def get_openapi_schema(self, **kwargs: Any) -> dict[str, Any]:
        """The model's JSON schema, which refers to other models and types by their own names."""
        return self.model_class.model_json_schema(
            ref_template="#/components/schemas/{model}", schema_generator=ContractSchema
        )

    def validate_input(self, request: Request, location: str, **kwargs: Any) -> BaseModel:
        """The validated model. Raises Problem 400, 411, 413, 415, 422."""
        incoming = current()  # not the proxy, which looks for it at each use
        if location == "query":
            model = self.model_class
            return validated(model, _query(incoming), lambda loc: {"parameter": str(loc[0])})
        _require_json(incoming)
        incoming.sent = parse_json(read_body(incoming))
        return validated(self.model_class, incoming.sent)


Where = Callable[[tuple[int | str, ...]], dict[str, str]]


def validated(model: type[Model], value: Any, where: Where | None = None) -> Model:
    """The value as the model has it; `where` says where a part of it stands, by its location.

    Raises Problem 422.
    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        details = error.errors(include_url=False, include_context=False, include_input=False)
        place = where or pointer
        errors = [
            {**place(item["loc"]), "code": item["type"], "detail": item["msg"]}
            for item in details[:MOST_ERRORS]
        ]
        raise Problem(VALIDATION_FAILED, errors=errors) from None


# Routes are bound to their adapter when they are defined, which is when this module is imported.
registry.register("pydantic", StrictAdapter)


def pointer(location: tuple[int | str, ...]) -> dict[str, str]:
    """Where a part of a body is, as an error says it."""
    return {"pointer": json_pointer(location)}


# Responses


def json_response(value: Any, status: int = 200) -> Response:
    """Any value as JSON; instants end in Z."""
    return Document(orjson.dumps(value, option=orjson.OPT_UTC_Z), status)


def resource(representation: Mapping[str, Any], status: int = 200) -> Response:
    """One resource with its entity tag, or 304 to a client that has it already.

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
    """A new resource of this collection."""
    return created_at(f"{current().path}/{representation['id']}", representation)


def created_at(location: str, representation: Mapping[str, Any]) -> Response:
    """A new resource and where it is, relative to this server (RFC 9110, section 10.2.2)."""
    response = resource(representation, 201)
    response.headers["Location"] = location
    return response


def store_nothing(response: flask.Response) -> flask.Response:
    """The answer, which no cache may keep, not even the browser's own."""
    name, value = STORE_NOTHING
    response.headers[name] = value
    return response


def no_content() -> Response:
    """Done, and nothing to say."""
    response = Response(status=204)
    del response.headers["Content-Type"]
    return response


# The application's edge


class ShortHeaders:
    """WSGI middleware that takes headers out which are too long, before anything parses them.

    gunicorn refuses such a request by itself (`limit_request_field_size`); other servers may not.
    A token is left alone: one that is too long is refused like any that is not valid.
    """

    def __init__(self, application: "WSGIApplication") -> None:
        self.application = application

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        """The application's answer; it refuses a request that has lost a header."""
        long = [
            name
            for name, value in environ.items()
            if name[:5] == "HTTP_" and len(value) > LONGEST_HEADER and name != CREDENTIALS
        ]
        for name in long:
            del environ[name]
        environ[HAS_LONG_HEADERS] = bool(long)
        return self.application(environ, start_response)


def refuse_strange_requests() -> None:
    """Raise Problem 400, 414 or 431 for what no route needs to look at."""
    incoming = current()
    # Longer than gunicorn would take (RFC 6585, section 5).
    if incoming.environ.get(HAS_LONG_HEADERS):
        raise Problem(HEADERS_TOO_LARGE)
    _refuse_strange_host(incoming)
    _refuse_strange_target(incoming)


def _refuse_strange_target(incoming: Request) -> None:
    """414 for a query that is too long, 400 for one of very many parameters, and for a path or
    query that is not UTF-8, which Flask would pass on with marks in its place.
    """
    if (query := incoming.query_string) and len(query) > LONGEST_QUERY:
        raise Problem(URI_TOO_LONG)
    if query.count(b"&") >= MOST_PARAMETERS:
        raise Problem(BAD_REQUEST, f"The query has more than {MOST_PARAMETERS} parameters.")
    try:
        if not (path := incoming.environ["PATH_INFO"]).isascii():
            path.encode("latin-1").decode()
        if b"%" in query or not query.isascii():
            parse_qsl(query.decode("ascii"), errors="strict")
    except ValueError:
        raise Problem(BAD_REQUEST) from None


def _refuse_strange_host(incoming: Request) -> None:
    """400 for a Host that is not valid or, with TRUSTED_HOSTS, names another host (RFC 9112, 3.2).

    Balancers and monitors may ask for the state of the service by any name. HTTP/1.0 has no Host:
    there the host is where the request arrived.
    """
    environ, trusted = incoming.environ, current_app.config["HOSTS"]
    header: str | None = environ.get("HTTP_HOST")
    if header is None and environ["SERVER_PROTOCOL"] == "HTTP/1.0":
        name = environ["SERVER_NAME"]
        header = f"[{name}]" if ":" in name else name
    host = host_of(header) if header else None
    if host is None:
        raise Problem(BAD_REQUEST, "The Host header is not valid.")
    if trusted and not is_trusted(host, trusted) and incoming.path not in WATCHED_PATHS:
        raise Problem(BAD_REQUEST, "The Host header names another host.")


def init_app(app: Flask) -> None:
    """Make these rules the application's."""
    app.url_map.converters["id"] = IdConverter
    app.url_map.merge_slashes = False
    app.before_request(refuse_strange_requests)
