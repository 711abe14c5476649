"""Flask, as a service needs it whose functions are synchronous and which keeps no sessions."""

from collections.abc import Callable
from typing import Any

import flask
from apiflask import APIFlask
from flask.sessions import NullSession, SessionInterface
from werkzeug.routing import MapAdapter

from app.web.exchange import Request, Response


class NoSessions(SessionInterface):
    """No cookie is read or set."""

    nothing = NullSession()

    def open_session(self, app: flask.Flask, request: flask.Request) -> NullSession:
        """The same nothing for every request."""
        return self.nothing


class Application(APIFlask):
    """APIFlask without what each request would otherwise ask again, and answer with no."""

    request_class = Request
    response_class = Response
    session_interface = NoSessions()

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """The function as it is: there are no coroutines here."""
        return func

    def create_url_adapter(self, request: flask.Request | None) -> MapAdapter | None:
        """Routing by method and path alone; http.py looks at the host."""
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
