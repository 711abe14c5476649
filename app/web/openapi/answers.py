"""Schemas of what the service answers: their values have formats, but no patterns.

A generated client in Go checks patterns where an answer is one of several schemas. It cannot do so
if a pattern contains a comma or belongs to a date or to a value that may be null, and refuses the
answer.
"""

import re
from collections.abc import Iterator
from typing import Any


def without_patterns(schemas: dict[str, Any], requests: Any) -> dict[str, Any]:
    """The schemas, of which those that no request refers to have no patterns."""
    taken = set(_referred(schemas, requests))
    return {
        name: schema if name in taken else _stripped(schema) for name, schema in schemas.items()
    }


def _referred(schemas: dict[str, Any], value: Any) -> Iterator[str]:
    """The names of the schemas that the value leads to."""
    for name in set(re.findall(r"#/components/schemas/(\w+)", str(value))):
        yield name
        yield from _referred(schemas, schemas[name])


def _stripped(value: Any) -> Any:
    if isinstance(value, list):
        return [_stripped(each) for each in value]
    if not isinstance(value, dict):
        return value
    return {
        name: _stripped(each)
        for name, each in value.items()
        if name != "pattern" or not isinstance(each, str)
    }
