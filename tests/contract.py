"""What the application says of its own routes, so that tests reach new ones by themselves."""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from apiflask import APIBlueprint
from pydantic import BaseModel

from app import create_app
from app.core.ids import new_id
from tests.conftest import settings_for

NOWHERE = "postgresql://somebody:hunter2secret@127.0.0.1:1/nowhere"
"""A database that is not there; port 1 is never listened on."""


LINES = "application/jsonl"


OF_ACCOUNT = ("/v1/me", "/v1/sessions", "/v1/tokens", "/v1/webhooks", "/v1/export", "/v1/import")
"""What routes begin with that want the scope `account`."""


class Route(NamedTuple):
    """One method of one path, with the models of its body and its query."""

    method: str
    rule: str
    endpoint: str
    body: type[BaseModel] | None
    query: type[BaseModel] | None

    @property
    def path(self) -> str:
        """The path, with ids that nobody has."""
        return re.sub("<[^>]+>", lambda _: new_id(), self.rule)

    @property
    def parameter(self) -> str:
        """The part of the path that is an id; empty if there is none."""
        start = self.rule.find("<")
        return self.rule[start : self.rule.find(">") + 1] if start >= 0 else ""

    @property
    def name(self) -> str:
        """How a test's name says it."""
        return self.endpoint.split(".")[1]

    @property
    def takes_lines(self) -> bool:
        """Whether its body is JSON lines."""
        return self.name == "import_account"

    @property
    def example(self) -> dict[str, Any]:
        """The body that the contract gives as an example."""
        assert self.body
        return schema(self.body)["examples"][0]


def schema(model: type[BaseModel]) -> dict[str, Any]:
    """What the contract says of a model, each name of a type replaced by what it stands for."""
    found = model.model_json_schema()
    return in_full(found, found.get("$defs", {}))


def in_full(value: Any, definitions: dict[str, Any]) -> Any:
    """A part of a schema without references."""
    if isinstance(value, list):
        return [in_full(each, definitions) for each in value]
    if not isinstance(value, dict):
        return value
    members = {key: in_full(each, definitions) for key, each in value.items()}
    if name := members.pop("$ref", ""):
        return in_full(definitions[name.split("/")[-1]], definitions) | members
    return members


def types(field: dict[str, Any]) -> set[str]:
    """The JSON types that a field's schema admits."""
    return {option["type"] for option in field.get("anyOf", [field])}


def keyword(field: dict[str, Any], name: str) -> Any:
    """The value of this keyword in a field's schema, null or not."""
    return next((option[name] for option in field.get("anyOf", [field]) if name in option), None)


def _routes() -> Iterator[Route]:
    application = create_app(settings_for(NOWHERE))
    documented = {name for name, b in application.blueprints.items() if isinstance(b, APIBlueprint)}
    for rule in application.url_map.iter_rules():
        if rule.endpoint.split(".")[0] in documented:
            view = application.view_functions[rule.endpoint]
            spec = getattr(view, "_spec", None)
            if spec is None:  # for Pushpin alone
                continue
            query = [model for model, location, *_ in spec.get("args", [])]
            body = spec.get("body")
            for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
                yield Route(method, rule.rule, rule.endpoint, body, query[0] if query else None)


ROUTES = sorted(_routes())
