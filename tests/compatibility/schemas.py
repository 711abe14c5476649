"""Whether whoever takes a value takes all that whoever gives it may give, by their schemas.

Of a request the client of the last release gives, and the service takes; of a response it is the
other way round.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

from app.fields import LINE_PATTERN

Schema = dict[str, Any]

LOWER: Final = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
UPPER: Final = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")
EXACT: Final = ("pattern", "multipleOf", "uniqueItems", "not")
"""Keywords that nobody can compare but by whether they are the same."""

REPLACED: Final = {r"^[^\x00]*[^\s\x00][^\x00]*$": LINE_PATTERN}
r"""Patterns of the last release whose successor takes less, and why that is right.

Titles and names have to show something. The earlier pattern says so and takes U+200B and the like
for something to see, and regular expressions do not agree on its `\s`. What is not taken any more
helped nobody: it cannot be told from an empty text. Whether that is all that the later pattern
leaves out is for `test_compatibility.py` to see.
"""


@dataclass(frozen=True)
class Exchange:
    """A value on its way from one side's document to the other's."""

    giver: Schema
    taker: Schema
    request: bool
    place: str = ""

    def at(self, name: str) -> "Exchange":
        """What is at this place within the value."""
        return replace(self, place=f"{self.place}/{name}")

    def told(self, text: str) -> str:
        """This said of the place."""
        return f"{self.place or '/'} {text}"


def resolved(document: Schema, value: Schema) -> Schema:
    """The value, or what its `$ref` leads to, with what stands beside it."""
    while "$ref" in value:
        found: Any = document
        for part in value["$ref"].split("/")[1:]:
            found = found[part.replace("~1", "/").replace("~0", "~")]
        value = {**found, **{name: value[name] for name in value.keys() - {"$ref"}}}
    return value


def alternatives(document: Schema, schema: Schema) -> list[Schema]:
    """What a value may be, each of one type, with the keywords that hold for all merged in."""
    schema = resolved(document, schema)
    for keyword in ("anyOf", "oneOf"):
        if keyword in schema:
            base = {name: schema[name] for name in schema.keys() - {keyword}}
            options = (_merged(base, resolved(document, option)) for option in schema[keyword])
            return [each for option in options for each in alternatives(document, option)]
    if isinstance(types := schema.get("type"), list):
        return [{**schema, "type": each} for each in types]
    return [schema]


def _merged(base: Schema, option: Schema) -> Schema:
    properties = {**base.get("properties", {}), **option.get("properties", {})}
    required = [*base.get("required", []), *option.get("required", [])]
    merged = {**base, **option}
    if properties:
        merged |= {"properties": properties, "required": required}
    return merged


def refused(exchange: Exchange, given: Schema, taken: Schema) -> Iterator[str]:
    """What may be given and is not taken, each as a sentence."""
    options = alternatives(exchange.taker, taken)
    for value in alternatives(exchange.giver, given):
        problems = [list(_refused(exchange, value, option)) for option in options]
        if [] not in problems:
            alike = [
                found
                for found, option in zip(problems, options, strict=True)
                if len(options) == 1 or value.get("type") == option.get("type")
            ]
            if len(alike) == 1:
                yield from alike[0]
            else:
                yield exchange.told(f"may be {_shown(value)}, which is not expected")


def _shown(schema: Schema) -> str:
    return str(_values(schema) or schema.get("type", "anything"))


def _refused(exchange: Exchange, given: Schema, taken: Schema) -> Iterator[str]:
    kinds = {given.get("type"), taken.get("type")}
    if taken.get("type") and len(kinds) > 1 and kinds != {"integer", "number"}:
        yield exchange.told(f"is {_shown(given)} instead of {_shown(taken)}")
        return
    if kinds == {"integer", "number"} and taken["type"] == "integer":
        yield exchange.told("may have a fraction")
    yield from _values_refused(exchange, given, taken)
    if given.get("format") != taken.get("format", given.get("format")):
        yield exchange.told(f"has the format {given.get('format')}, not {taken['format']}")
    if exchange.request and _values(given) is None:
        yield from _bounds_refused(exchange, given, taken)
    if "items" in given and "items" in taken:
        yield from refused(exchange.at("*"), given["items"], taken["items"])
    if given.get("type") == "object":
        yield from _members_refused(exchange, given, taken)


def _values(schema: Schema) -> list[Any] | None:
    return [schema["const"]] if "const" in schema else schema.get("enum")


def _values_refused(exchange: Exchange, given: Schema, taken: Schema) -> Iterator[str]:
    expected, possible = _values(taken), _values(given)
    if expected is None:
        return
    if possible is None:
        yield exchange.told(f"may be other than {expected}")
    elif other := [value for value in possible if value not in expected]:
        yield exchange.told(f"may be {other}, which is not expected")


def _bounds_refused(exchange: Exchange, given: Schema, taken: Schema) -> Iterator[str]:
    for name in LOWER:
        if taken.get(name, 0) and given.get(name, float("-inf")) < taken[name]:
            yield exchange.told(f"has the new {name} {taken[name]}")
    for name in UPPER:
        if name in taken and given.get(name, float("inf")) > taken[name]:
            yield exchange.told(f"has the new {name} {taken[name]}")
    for name in EXACT:
        if name in taken and not _agree(given.get(name), taken[name]):
            yield exchange.told(f"has the new {name} {taken[name]}")


def _agree(given: Any, taken: Any) -> bool:
    return given == taken or (isinstance(given, str) and REPLACED.get(given) == taken)


def _members_refused(exchange: Exchange, given: Schema, taken: Schema) -> Iterator[str]:
    known, sent = taken.get("properties", {}), given.get("properties", {})
    for name in sorted(set(taken.get("required", [])) - set(given.get("required", []))):
        if exchange.request or name in sent:
            yield exchange.at(name).told("may be absent, and is required")
    for name in sorted(known.keys() - sent.keys()):
        if not exchange.request:
            yield exchange.at(name).told("is gone")
    for name, schema in sent.items():
        if name in known:
            yield from refused(exchange.at(name), schema, known[name])
        elif taken.get("additionalProperties") is False:
            yield exchange.at(name).told("is not known any more")
