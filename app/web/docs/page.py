"""The pages for people: the contract at /docs, the problems at /problems."""

import gzip
import hashlib
from functools import cache
from importlib.resources import files
from typing import Any, Final

import orjson
from apiflask import APIFlask
from flask import Blueprint, current_app, redirect, render_template
from werkzeug.wrappers import Response as BaseResponse

from app.core.problem_kinds import KINDS, PRECONDITION_FAILED
from app.core.problems import Problem, not_found
from app.web.openapi.document import TITLE, document
from app.web.request import Request, current
from app.web.response import JSON, Response

ASSETS: Final = {
    "swagger-ui.css": "text/css; charset=utf-8",
    "swagger-ui-bundle.js": "text/javascript; charset=utf-8",
    "favicon-32x32.png": "image/png",
}
"""The files of Swagger UI that the page loads, and their types."""

# Swagger UI draws icons from data URLs.
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)


class Asset:
    """A content that stays the same while the process runs, in both forms in which it is sent."""

    def __init__(self, content: bytes, media_type: str) -> None:
        """Compress the content, which takes half a second for the largest there is."""
        self.media_type = media_type
        self.plain = content
        self.compressed = gzip.compress(content, 6, mtime=0)
        self.digest = hashlib.sha256(content).hexdigest()[:32]

    def respond(self, incoming: Request, max_age: int = 0) -> Response:
        """The form that the client takes, or 304 if it has it already. Raises Problem 412.

        Each form has a tag of its own, as strong tags must (RFC 9110, section 8.8.3.3).
        """
        compressed = incoming.accept_encodings["gzip"] > 0
        response = Response(self.compressed if compressed else self.plain)
        response.content_type = self.media_type
        response.vary.add("Accept-Encoding")
        if compressed:
            response.content_encoding = "gzip"
        response.set_etag(f"{self.digest}-gzip" if compressed else self.digest)
        if max_age:
            response.cache_control.public = True
            response.cache_control.max_age = max_age
        response.make_conditional(incoming)
        if response.status_code == 412:
            raise Problem(PRECONDITION_FAILED)
        response.headers.pop("Date", None)  # the server's to tell
        return response


blueprint: Final = Blueprint(
    "docs", __name__, static_folder="static", static_url_path="/static", template_folder="templates"
)


@blueprint.get("/")
def start() -> BaseResponse:
    """Lead a visitor to the docs page."""
    return redirect("/docs", 303)


@blueprint.get("/openapi.json")
def openapi() -> Response:
    """The contract as an OpenAPI document."""
    app: Any = current_app
    if "openapi" not in app.extensions:
        app.extensions["openapi"] = Asset(orjson.dumps(document(app)), JSON)
    contract: Asset = app.extensions["openapi"]
    return contract.respond(current())


@blueprint.get("/docs")
def docs() -> Response:
    """The contract as a page that sends requests."""
    return _page("docs.html", title=TITLE, issues=current_app.config["ISSUES_TOKENS"])


@blueprint.get("/docs/<path:name>")
def asset(name: str) -> Response:
    """A file of Swagger UI, from the installed package."""
    if name not in ASSETS:
        raise not_found()
    return installed(name).respond(current(), max_age=86_400)


@cache
def installed(name: str) -> Asset:
    """A file of the package flask-swagger-ui, read once."""
    content = files("flask_swagger_ui").joinpath("dist", name).read_bytes()
    return Asset(content, ASSETS[name])


@blueprint.get("/problems")
def problems() -> Response:
    """Every kind of problem."""
    return _page("problems.html", title="Problems", kinds=list(KINDS.values()))


@blueprint.get("/problems/<slug>")
def problem(slug: str) -> Response:
    """What one kind of problem means and what to do about it."""
    if slug not in KINDS:
        raise not_found()
    return _page("problems.html", title=KINDS[slug].title, kinds=[KINDS[slug]])


def _page(template: str, **context: object) -> Response:
    response = Response(render_template(template, **context), mimetype="text/html")
    response.headers["Content-Security-Policy"] = POLICY
    return response


def init_app(app: APIFlask, *, issues: bool) -> None:
    """Add the pages, which are not part of the contract.

    `issues` says whether this service issues access tokens, so that one can sign in on the page.
    """
    app.config["ISSUES_TOKENS"] = issues
    app.register_blueprint(blueprint)
