"""The names in generated clients: each set of values and each form of an operation has one."""

from collections.abc import Iterator, Mapping
from typing import Any, Final, get_args

import orjson

from app.api.kinds import TABLES
from app.api.tasks.schemas import Priority, SortKey
from app.core.permissions import Permission

Schema = dict[str, Any]

PREFIX: Final = "#/components/schemas/"
VALUES: Final[Mapping[tuple[str, ...], tuple[str, str]]] = {
    get_args(Priority): ("Priority", "How much a task matters."),
    get_args(SortKey): ("TaskOrder", "What tasks are sorted by; with `-` from the greatest on."),
    get_args(Permission): ("Scope", "What a personal access token may be used for."),
    tuple(TABLES): ("Kind", "What an item is."),
    ("jsonl", "csv", "ics"): ("ExportFormat", "In which form an account is exported."),
}
"""Values that stand in several places, or would be called after the one where they stand."""

LONGER: Final = {
    "Result": "BatchResult",
    "Results": "BatchResults",
    "Report": "ImportReport",
    "Refusal": "ImportRefusal",
    "Defect": "ImportDefect",
}
"""Names that say little outside of their package."""

OPAQUE: Final = {"const", "default", "enum", "example", "examples", "required"}
"""Members that hold values, and no schemas."""


def with_names(spec: Schema) -> Schema:
    """The document, in which whatever is generated from it has a name that reads well."""
    spec = _with_longer_names(spec)
    schemas = spec["components"]["schemas"]
    schemas |= dict(_values(orjson.dumps(spec)))
    schemas |= dict(_forms(schemas["Operation"]))
    spec["paths"] = _named(spec["paths"], schemas)
    for name, schema in schemas.items():
        members = {key: _member(key, value, schemas) for key, value in schema.items()}
        schemas[name] = members | {"title": name}
    return spec


def _with_longer_names(spec: Schema) -> Schema:
    text = orjson.dumps(spec).decode()
    for short, long in LONGER.items():
        text = text.replace(f'"{PREFIX}{short}"', f'"{PREFIX}{long}"')
    longer: Schema = orjson.loads(text)
    schemas = longer["components"]["schemas"]
    longer["components"]["schemas"] = {LONGER.get(n, n): schema for n, schema in schemas.items()}
    return longer


def _values(text: bytes) -> Iterator[tuple[str, Schema]]:
    for values, (name, description) in VALUES.items():
        if orjson.dumps(values) in text:
            yield name, {"type": "string", "enum": list(values), "description": description}


def _forms(operation: Schema) -> Iterator[tuple[str, Schema]]:
    """The operations of a batch, each form of them whole, and the choice between them."""
    names = []
    for form in operation["oneOf"]:
        op, kind = (form["properties"].get(name, {}).get("const", "") for name in ("op", "type"))
        names.append(f"{op.title()}{kind.title()}Operation")
        yield (
            names[-1],
            {
                "type": "object",
                "description": f"{op.title()} a {kind or 'task or category'}.",
                "additionalProperties": False,
                "properties": form["properties"],
                "required": [*operation["required"], *form.get("required", [])],
            },
        )
    choice = [{"$ref": f"{PREFIX}{name}"} for name in names]
    yield "Operation", {"description": operation["description"], "oneOf": choice}


def _named(value: Any, schemas: Schema) -> Any:
    """The value with a reference wherever it holds what has a name, and without other titles."""
    if isinstance(value, list):
        return [_named(each, schemas) for each in value]
    if not isinstance(value, dict):
        return value
    if name := _name(value, schemas):
        default = {"default": value["default"]} if "default" in value else {}
        return {"$ref": f"{PREFIX}{name}", **default}
    return {
        key: _member(key, member, schemas)
        for key, member in value.items()
        if not (key == "title" and isinstance(member, str))
    }


def _member(key: str, value: Any, schemas: Schema) -> Any:
    return value if key in OPAQUE else _named(value, schemas)


def _name(schema: Schema, schemas: Schema) -> str | None:
    if isinstance(values := schema.get("enum"), list) and tuple(values) in VALUES:
        return VALUES[tuple(values)][0]
    title = schema.get("title")
    return title if isinstance(title, str) and "properties" in schema and title in schemas else None
