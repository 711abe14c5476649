"""The contract as an OpenAPI 3.1 document: what APIFlask reads off the views, and our rules add."""

import re
from collections.abc import Iterator
from typing import Any

import orjson
from apiflask import APIFlask

from app.api.transfer.contract import FILES_GIVEN, FILES_TAKEN
from app.core.permissions import required
from app.web.openapi.components import BEARER, HEADERS, PARAMETERS
from app.web.openapi.examples import arrange_examples
from app.web.openapi.introduction import introduce
from app.web.openapi.naming import with_names
from app.web.openapi.operations import complete
from app.web.openapi.problems import SCHEMAS, STATUSES, problem_response
from app.web.openapi.samples import add_samples


def document(app: APIFlask) -> dict[str, Any]:
    """The whole document."""
    spec = _with_short_names(dict(app.spec))  # type: ignore[arg-type]
    _describe_parameters(app, spec)
    spec = with_names(spec)
    introduce(spec)
    components = spec.setdefault("components", {})
    components["schemas"] |= SCHEMAS
    components["headers"] = HEADERS
    components["responses"] = {
        f"Problem{status}": problem_response(status) for status in sorted(STATUSES)
    }
    components["parameters"] = PARAMETERS
    components["securitySchemes"] = {"bearer": BEARER}
    for path, method, operation, endpoint in _operations(app, spec):
        _tell_of_files(operation, endpoint)
        complete(operation, path, method, endpoint, scope=_scope(app, method, endpoint))
    arrange_examples(spec)
    add_samples(spec)
    return spec


def _with_short_names(spec: dict[str, Any]) -> dict[str, Any]:
    """The document with `TaskPage.Task` called `Task`, as which it is there already."""
    schemas = spec["components"]["schemas"]
    text = orjson.dumps(spec).decode()
    for name in [name for name in schemas if "." in name]:
        text = text.replace(f'schemas/{name}"', f'schemas/{name.split(".")[-1]}"')
    short: dict[str, Any] = orjson.loads(text)
    short["components"]["schemas"] = {
        name.split(".")[-1]: schema for name, schema in short["components"]["schemas"].items()
    }
    return short


def _describe_parameters(app: APIFlask, spec: dict[str, Any]) -> None:
    """Move what describes a parameter from its schema to itself, where tools show it."""
    for _, _, operation, _ in _operations(app, spec):
        for parameter in operation.get("parameters", []):
            if description := parameter["schema"].pop("description", ""):
                parameter["description"] = " ".join(description.split())


def _operations(
    app: APIFlask, spec: dict[str, Any]
) -> Iterator[tuple[str, str, dict[str, Any], str]]:
    for rule in app.url_map.iter_rules():
        path = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule)
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
            if operation := spec["paths"].get(path, {}).get(method.lower()):
                yield path, method, operation, rule.endpoint


def _scope(app: APIFlask, method: str, endpoint: str) -> str | None:
    """The scope that a token needs for it; None where none is needed."""
    blueprint = endpoint.split(".")[0]
    if blueprint in app.config["ACCOUNT_BLUEPRINTS"]:
        return "account"
    return required(method) if blueprint in app.config["SECURED_BLUEPRINTS"] else None


def _tell_of_files(operation: dict[str, Any], endpoint: str) -> None:
    """Bodies that are not one JSON document."""
    if content := FILES_TAKEN.get(endpoint):
        operation["requestBody"] = {"content": content}
    if content := FILES_GIVEN.get(endpoint):
        operation["responses"]["200"]["content"] = content
