"""What is generated from the contract is called as it is called there: once, and readably."""

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from apiflask import APIFlask

from app.api.batch.schemas import BODIES


@pytest.fixture(scope="module")
def document(app: APIFlask) -> dict[str, Any]:
    return app.test_client().get("/openapi.json").json


def within(value: Any) -> Iterator[dict[str, Any]]:
    """Every object within the value, but for examples."""
    if isinstance(value, dict):
        yield value
        for name, member in value.items():
            if name not in {"example", "examples", "x-codeSamples"}:
                yield from within(member)
    elif isinstance(value, list):
        for member in value:
            yield from within(member)


def test_values_that_stand_in_several_places_have_a_name(document: dict[str, Any]) -> None:
    values = Counter(json.dumps(each["enum"]) for each in within(document) if "enum" in each)
    assert [listed for listed, count in values.items() if count > 1] == []


def test_a_schema_within_another_is_referred_to_by_its_name(document: dict[str, Any]) -> None:
    for name, schema in document["components"]["schemas"].items():
        assert schema.get("title", name) == name
        for member in within(schema.get("properties", {})):
            assert "additionalProperties" not in member or "properties" not in member, name


def test_every_form_of_an_operation_has_a_schema_of_its_own(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    forms = [schemas[each["$ref"].split("/")[-1]] for each in schemas["Operation"]["oneOf"]]
    taken = {
        (form["properties"]["op"]["const"], form["properties"]["type"].get("const")): form
        for form in forms
    }
    assert taken.keys() == {*BODIES, ("delete", None)}
    for kind, model in BODIES.items():
        body = taken[kind]["properties"]["body"]
        assert body == {"$ref": f"#/components/schemas/{model.__name__}"}
        assert set(taken[kind]["required"]) == {"op", "type", "id", "body"}
