"""The contract as an OpenAPI 3.1 document: what APIFlask reads off the views, and our rules add."""

import re
from typing import Any

from apiflask import APIFlask

from app.core.principal import required
from app.web.openapi import files
from app.web.openapi.components import BEARER, HEADERS, PARAMETERS
from app.web.openapi.conventions import complete
from app.web.openapi.introduction import introduce
from app.web.openapi.problem_responses import SCHEMAS, STATUSES, problem_response
from app.web.openapi.samples import add_samples


def document(app: APIFlask) -> dict[str, Any]:
    """The whole document."""
    spec: dict[str, Any] = dict(app.spec)  # type: ignore[arg-type]
    introduce(spec)
    spec["components"] = _components(spec["components"]["schemas"])
    for rule in app.url_map.iter_rules():
        path = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule)
        for method, operation in spec["paths"].get(path, {}).items():
            if method.upper() in (rule.methods or ()):
                _add_files(operation, rule.endpoint)
                scope = _scope(app, method.upper(), rule.endpoint)
                complete(operation, path, method.upper(), rule.endpoint, scope=scope)
    add_samples(spec)
    return spec


def _components(schemas: dict[str, Any]) -> dict[str, Any]:
    """What operations refer to. References say `Task` where APIFlask says `TaskPage.Task`."""
    [task] = schemas["Task"]["examples"]
    return {
        "schemas": {name.split(".")[-1]: schema for name, schema in schemas.items()} | SCHEMAS,
        "headers": HEADERS,
        "responses": {
            f"Problem{status}": problem_response(status, task) for status in sorted(STATUSES)
        },
        "parameters": PARAMETERS,
        "securitySchemes": {"bearer": BEARER},
    }


def _add_files(operation: dict[str, Any], endpoint: str) -> None:
    """Describe the bodies that are files, and no JSON document."""
    if content := files.TAKEN.get(endpoint):
        operation["requestBody"] = {"content": content}
    if content := files.GIVEN.get(endpoint):
        operation["responses"]["200"]["content"] = content


def _scope(app: APIFlask, method: str, endpoint: str) -> str | None:
    """The scope that a token needs for the operation; None where no token is needed."""
    blueprint = endpoint.split(".")[0]
    if blueprint in app.config["ACCOUNT_BLUEPRINTS"]:
        return "account"
    return required(method) if blueprint in app.config["SECURED_BLUEPRINTS"] else None
