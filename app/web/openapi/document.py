"""The contract as an OpenAPI 3.1 document: what APIFlask reads off the views, and our rules add."""

import re
from pathlib import Path
from typing import Any, Final

from apiflask import APIFlask

from app.core.permissions import required
from app.web.openapi.components import BEARER, HEADERS, PARAMETERS
from app.web.openapi.conventions import complete
from app.web.openapi.problem_responses import SCHEMAS, STATUSES, problem_response
from app.web.openapi.samples import add_samples

TITLE: Final = "Tasks API"

CHAPTERS: Final = (
    "introduction",
    "authentication",
    "errors",
    "pagination",
    "idempotency",
    "conditional-requests",
    "sync",
    "limits",
)

DESCRIPTION: Final = "\n".join(
    (Path(__file__).parent / "chapters" / f"{name}.md").read_text("utf-8") for name in CHAPTERS
)

GROUPS: Final = {
    "Getting in": {
        "Authentication": "Accounts, and sessions of people who sign in with a password.",
        "Account": "The user who calls: name, time zone, and the end of it all.",
        "Personal access tokens": "For scripts, each with the scopes that it needs.",
    },
    "Tasks": {
        "Tasks": "What is to be done.",
        "Categories": "What tasks are sorted into; a task is in one or in none.",
        "Trash": "What was deleted within the last 30 days, to restore or to erase.",
    },
    "Copies and files": {
        "Changes": "All that happened since a token, in order: what a copy is kept with.",
        "Batch": "Up to a hundred writes at once, all of them or none.",
        "Export and import": "An account leaves as a file and comes back whole.",
    },
    "Operations": {
        "Health": "For balancers and monitors; no token is needed.",
    },
}
"""The tags and their descriptions by group, in the order in which a newcomer needs them."""

Content = dict[str, dict[str, Any]]
"""A media type's object of OpenAPI, for each media type."""

FILES_TAKEN: Final[dict[str, Content]] = {}
"""What an operation takes that is a file and no JSON document, by its endpoint; features add it."""

FILES_GIVEN: Final[dict[str, Content]] = {}
"""What an operation answers that is a file, by its endpoint."""


def document(app: APIFlask) -> dict[str, Any]:
    """The whole document."""
    spec: dict[str, Any] = dict(app.spec)  # type: ignore[arg-type]
    spec |= introduction()
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
    if content := FILES_TAKEN.get(endpoint):
        operation["requestBody"] = {"content": content}
    if content := FILES_GIVEN.get(endpoint):
        operation["responses"]["200"]["content"] = content


def _scope(app: APIFlask, method: str, endpoint: str) -> str | None:
    """The scope that a token needs for the operation; None where no token is needed."""
    blueprint = endpoint.split(".")[0]
    if blueprint in app.config["ACCOUNT_BLUEPRINTS"]:
        return "account"
    return required(method) if blueprint in app.config["SECURED_BLUEPRINTS"] else None


def introduction() -> dict[str, Any]:
    """Descriptions of the tags, and their groups as Redoc and Scalar read them."""
    return {
        "tags": [
            {"name": name, "description": text}
            for tags in GROUPS.values()
            for name, text in tags.items()
        ],
        "x-tagGroups": [{"name": group, "tags": list(tags)} for group, tags in GROUPS.items()],
    }
