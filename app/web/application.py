"""The Flask application class, without per-request work that this service never needs.

See decision 0020 for what each override saves.
"""

from collections.abc import Callable
from typing import Any

import flask
from apiflask import APIFlask
from werkzeug.routing import MapAdapter, UUIDConverter

from app.web.request import Request
from app.web.response import Response


class IdConverter(UUIDConverter):
    """A UUID in a path, as the lower-case string that ids are everywhere else."""

    def to_python(self, value: str) -> str:  # type: ignore[override]
        return value.lower()


class Application(APIFlask):
    """APIFlask with synchronous views, and routes that do not depend on the host."""

    request_class = Request
    response_class = Response

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.url_map.converters["id"] = IdConverter
        self.url_map.merge_slashes = False

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """The function as it is: no view is a coroutine."""
        return func

    def create_url_adapter(self, request: flask.Request | None) -> MapAdapter | None:
        """Match by method and path alone; `edge` checks the host."""
        if request is None:
            return None
        return MapAdapter(
            self.url_map,
            server_name="localhost",
            script_name=f"{request.root_path}/",
            subdomain="",
            url_scheme=request.scheme,
            path_info=request.path,
            default_method=request.method,
        )
