"""The contract as an OpenAPI 3.1 document: what APIFlask reads off the views, and our rules add."""

import re
from pathlib import Path
from typing import Any, Final

from apiflask import APIFlask

from app.core.principal import required
from app.web.openapi.answers import without_patterns
from app.web.openapi.components import BEARER, HEADERS, PARAMETERS
from app.web.openapi.conventions import complete
from app.web.openapi.problem_responses import SCHEMAS, STATUSES, problem_response
from app.web.openapi.samples import add_samples

TITLE: Final = "Tasks API"

CHAPTERS: Final = (
    "introduction",
    "getting-started",
    "sessions",
    "mails-and-links",
    "errors",
    "pagination",
    "order",
    "subtasks-and-labels",
    "repetition",
    "reminders",
    "idempotency",
    "conditional-requests",
    "sync",
    "limits",
    "text",
)

DESCRIPTION: Final = "\n".join(
    (Path(__file__).parent / "chapters" / f"{name}.md").read_text("utf-8") for name in CHAPTERS
)

GROUPS: Final = {
    "Users": {
        "Authentication": "Create an account, sign in, refresh the tokens, sign out.",
        "Account": "Read, change and erase the account of the current user.",
        "Sessions": "Where the user is signed in; end sessions.",
        "Personal access tokens": "Tokens with limited scopes, for scripts.",
    },
    "Tasks": {
        "Tasks": "The tasks of the user.",
        "Categories": "Groups of tasks; a task has one category or none.",
        "Labels": "Names that tasks have; a task has any number of them.",
        "Reminders": "When tasks remind the user.",
        "Trash": "What was deleted within the last 30 days; restore or erase it.",
    },
    "Sync and files": {
        "Changes": "Everything that changed since a token, in order.",
        "Batch": "Up to a hundred writes in one request, all or none.",
        "Export and import": "The whole account as a file.",
    },
    "Operations": {
        "Health": "For load balancers and monitoring; no token is needed.",
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
    # Descriptions of the tags, and their groups as Redoc and Scalar read them.
    spec["tags"] = [
        {"name": name, "description": text}
        for tags in GROUPS.values()
        for name, text in tags.items()
    ]
    spec["x-tagGroups"] = [{"name": name, "tags": [*tags]} for name, tags in GROUPS.items()]
    spec["components"] = _components(spec["components"]["schemas"])
    described, spec["paths"] = spec["paths"], {}
    places = list(app.view_functions)  # paths have the order in which their views are written
    for rule in sorted(app.url_map.iter_rules(), key=lambda rule: places.index(rule.endpoint)):
        path = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule)
        for method, operation in described.get(path, {}).items():
            if method.upper() in (rule.methods or ()):
                _add_files(operation, rule.endpoint)
                scope = _scope(app, method.upper(), rule.endpoint)
                complete(operation, path, method.upper(), rule.endpoint, scope=scope)
                spec["paths"][path] = described[path]
    requests = [
        [operation.get("parameters"), operation.get("requestBody")]
        for item in spec["paths"].values()
        for operation in item.values()
    ]
    schemas = spec["components"]["schemas"]
    spec["components"]["schemas"] = without_patterns(schemas, requests)
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
