"""The examples of schemas, their members in the order of the schema, which reads best."""

from typing import Any


def arrange_examples(spec: dict[str, Any]) -> None:
    """Put the members of every example in the order of its schema."""
    for schema in spec["components"]["schemas"].values():
        if "examples" in schema:
            schema["examples"] = [in_order(spec, item, schema) for item in schema["examples"]]


def in_order(spec: dict[str, Any], value: Any, schema: dict[str, Any]) -> Any:
    """The value with its members in the order of the schema."""
    schema = resolved(spec, schema)
    if isinstance(value, list):
        return [in_order(spec, item, schema.get("items", {})) for item in value]
    members = _members(spec, value, schema) if isinstance(value, dict) else {}
    if not members:
        return value
    return {n: in_order(spec, value[n], members[n]) for n in members if n in value}


def resolved(spec: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """The schema, or the one that it refers to."""
    name = schema.get("$ref", "").split("/")[-1]
    found: dict[str, Any] = spec["components"]["schemas"][name] if name else schema
    return found


def _members(
    spec: dict[str, Any], value: dict[str, Any], schema: dict[str, Any]
) -> dict[str, dict[str, Any]]:
    """The properties of the schema, or of the one of its choices that has all of the value's."""
    options = schema.get("anyOf", schema.get("oneOf", []))
    for choice in (schema, *(resolved(spec, option) for option in options)):
        properties: dict[str, dict[str, Any]] = choice.get("properties", {})
        if value.keys() <= properties.keys():
            return properties
    return {}
