"""`make contract`: what the contract breaks of that of the last release, and the kept document.

Does whoever takes a value take all that whoever gives it may give? Of a request the client of the
last release gives and the service takes; of a response it is the other way round.
"""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from app import create_app
from app.web.fields.strings import LINE_PATTERN
from app.web.fields.times import DATE_PATTERN, DAY_OR_INSTANT_PATTERN, TIMESTAMP_PATTERN
from tests.conftest import ROOT, settings_for
from tests.contract import NOWHERE

Document = dict[str, Any]
Shapes = dict[str, Document]
"""Each place of a value with each type that it may have there, and the keywords of that."""

KEPT: Final = ROOT / "docs" / "contract" / "v1.json"
"""The document of the last release."""

METHODS: Final = ("get", "put", "post", "patch", "delete", "options", "head", "trace")
LOWER: Final = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
UPPER: Final = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")
EXACT: Final = ("multipleOf", "uniqueItems", "not")
"""Keywords that nobody can compare but by whether they are the same."""

REPLACED: Final = {
    "^(?!0000)[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])$": DATE_PATTERN,
    "^(?!0000)[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
    "[Tt]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]"
    r"(\.[0-9]{1,6})?([Zz]|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$": TIMESTAMP_PATTERN,
}
"""Patterns of the last release and wider ones in their place: nothing here could tell that."""

WIDER: Final = {DATE_PATTERN: DAY_OR_INSTANT_PATTERN}
"""A pattern that takes all that another one takes, and more, for each such other one."""

TIGHTENED: Final = {r"^[^\x00]*[^\s\x00][^\x00]*$": LINE_PATTERN}
"""A pattern whose successor takes less: what it refuses looks like an empty text."""


def breaks(old: Document, new: Document) -> list[str]:
    """Every change for which a client of the old document would have to change, as a sentence."""
    found = []
    for path, item in old["paths"].items():
        for method in item.keys() & METHODS:
            after = new["paths"].get(path, {}).get(method)
            changes = _changes(old, new, item[method], after) if after else ["is gone"]
            found += [f"{method.upper()} {path}: {change}" for change in changes]
    were, are = old["components"], new["components"]
    for name in were["responses"].keys() & are["responses"].keys():
        found += _response(old, new, name, were["responses"][name], are["responses"][name])
    gone = were["schemas"].keys() - are["schemas"].keys()
    return found + [f"the schema {name} is gone or called otherwise" for name in gone]


def major(document: Document) -> int:
    """The part of the document's version that says whether clients have to change."""
    return int(document["info"]["version"].split(".")[0])


def _changes(old: Document, new: Document, before: Document, after: Document) -> Iterator[str]:
    if before["operationId"] != after["operationId"]:
        yield f"is called {after['operationId']}, not {before['operationId']}"
    earlier, later = before.get("security", []), after.get("security", [])
    if later and not earlier:
        yield "needs authorization now"
    for requirement in earlier:
        for scheme, scopes in requirement.items():
            needed = {scope for each in later for scope in each.get(scheme, [])}
            if scopes and needed - set(scopes):
                yield f"needs the scope {', '.join(sorted(needed - set(scopes)))}"
    yield from _parameters(old, new, before, after)
    bodies = [resolved(old, before.get("requestBody", {})), after.get("requestBody", {})]
    if bodies[1].get("required") and not bodies[0].get("required"):
        yield "the body is required now"
    yield from _contents(old, new, "body", *bodies, request=True)
    were, are = before["responses"], after["responses"]
    yield from (f"{status} is new" for status in are.keys() - were.keys() if status < "400")
    yield from (f"{status} is gone" for status in were.keys() - are.keys())
    for status in were.keys() & are.keys():
        if "$ref" not in were[status] or were[status] != are[status]:  # those are compared once
            yield from _response(old, new, status, were[status], are[status])


def _parameters(old: Document, new: Document, before: Document, after: Document) -> Iterator[str]:
    def named(document: Document, operation: Document) -> dict[str, Document]:
        found = [resolved(document, each) for each in operation.get("parameters", [])]
        return {f"{each['in']} {each['name']}": each for each in found}

    were, are = named(old, before), named(new, after)
    yield from (f"{name} is not taken any more" for name in were.keys() - are.keys())
    for name, parameter in are.items():
        earlier = were.get(name, {})
        if parameter.get("required") and not earlier.get("required"):
            yield f"{name} is required now"
        if earlier:
            given = shapes(old, earlier["schema"], name)
            yield from refused(given, shapes(new, parameter["schema"], name), request=True)


def _response(
    old: Document, new: Document, place: str, before: Document, after: Document
) -> Iterator[str]:
    earlier, later = resolved(old, before), resolved(new, after)
    gone = earlier.get("headers", {}).keys() - later.get("headers", {}).keys()
    yield from (f"{place} has no {header} any more" for header in gone)
    yield from _contents(old, new, place, earlier, later, request=False)


def _contents(
    old: Document, new: Document, place: str, earlier: Document, later: Document, *, request: bool
) -> Iterator[str]:
    """Of each media type of the old document, whether it still holds what it did."""
    contents = later.get("content", {})
    for media_type, content in earlier.get("content", {}).items():
        if media_type not in contents:
            yield f"{place} is not {media_type} any more"
            continue
        before = resolved(old, content["schema"])
        if media_type == "application/problem+json":  # of any type, by RFC 9457, section 3.1.1
            before = {**before, "properties": before["properties"] | {"type": {"type": "string"}}}
        sides = shapes(old, before, place), shapes(new, contents[media_type]["schema"], place)
        yield from refused(*(sides if request else sides[::-1]), request=request)


def resolved(document: Document, value: Document) -> Document:
    """The value, or what its `$ref` leads to, with what stands beside it."""
    while "$ref" in value:
        found: Any = document
        for part in value["$ref"].split("/")[1:]:
            found = found[part.replace("~1", "/").replace("~0", "~")]
        value = {**found, **{name: value[name] for name in value.keys() - {"$ref"}}}
    return value


def alternatives(document: Document, schema: Document) -> list[Document]:
    """What a value may be, each of one type, with the keywords that hold for all merged in."""
    schema = resolved(document, schema)
    for keyword in schema.keys() & {"anyOf", "oneOf"}:
        base = {name: schema[name] for name in schema.keys() - {keyword}}
        options = (_merged(base, resolved(document, option)) for option in schema[keyword])
        return [each for option in options for each in alternatives(document, option)]
    types = schema.get("type")
    return [{**schema, "type": each} for each in types] if isinstance(types, list) else [schema]


def _merged(base: Document, option: Document) -> Document:
    properties = {**base.get("properties", {}), **option.get("properties", {})}
    required = [*base.get("required", []), *option.get("required", [])]
    objects = {"properties": properties, "required": required} if properties else {}
    return {**base, **option, **objects}


def shapes(document: Document, schema: Document, place: str) -> Shapes:
    """The place and all within it. An object is called by the constants among its members, as in
    `body:object/operations:array/*:update task/id:string`; those without any count as one.
    """
    found: Shapes = {}
    for option in alternatives(document, schema):
        members = option.get("properties", {})
        constants = [str(member["const"]) for member in members.values() if "const" in member]
        here = f"{place}:{' '.join(constants) or option.get('type', 'anything')}"
        always = set(option.get("required", [])) & set(found.get(here, option).get("required", []))
        found[here] = {**option, "required": always}
        for name, member in members.items():
            found |= shapes(document, member, f"{here}/{name}")
        if "items" in option:
            found |= shapes(document, option["items"], f"{here}/*")
    return found


def refused(giver: Shapes, taker: Shapes, *, request: bool) -> Iterator[str]:
    """What may be given and is not taken, each as a sentence."""
    known = {place.rpartition(":")[0] for place in taker}
    for place, given in giver.items():
        bare, _, kind = place.rpartition(":")
        told = re.sub(":[^/]*", "", place)
        if place in taker:
            yield from (f"{told}{said}" for said in _differences(given, taker[place], request))
        elif bare in known:
            yield f"{told} may be {kind}, which is not expected"
        elif request and bare.rpartition("/")[0] in taker:
            yield f"{told} is not known any more"
    gone = {} if request else known - {place.rpartition(":")[0] for place in giver}
    for bare in gone:
        if bare.rpartition("/")[0] in giver:
            yield f"{re.sub(':[^/]*', '', bare)} is gone"


def _differences(given: Document, taken: Document, request: bool) -> Iterator[str]:
    expected, possible = (
        [each["const"]] if "const" in each else each.get("enum") for each in (taken, given)
    )
    if expected is not None and (other := [v for v in possible or ["other"] if v not in expected]):
        yield f" may be {other}, which is not expected"
    if given.get("format") != taken.get("format", given.get("format")):
        yield f" has the format {given.get('format')}, not {taken['format']}"
    if request and possible is None:
        yield from (f" has the new {name} {taken[name]}" for name in _tighter(given, taken))
    for name in sorted(taken["required"] - given["required"]):
        if request or name in given["properties"]:
            yield f"/{name} may be absent, and is required"


def _tighter(given: Document, taken: Document) -> Iterator[str]:
    """The keywords by which less is taken than may be given."""
    for name in taken.keys() & {*LOWER, *UPPER, *EXACT, "pattern"}:
        before, after = given.get(name), taken[name]
        if name in LOWER:
            tighter = after > 0 and (before is None or before < after)
        elif name in UPPER:
            tighter = before is None or before > after
        else:
            replaced = (REPLACED | TIGHTENED).get(str(before), before)
            tighter = after not in (before, replaced, WIDER.get(str(replaced)))
        if tighter:
            yield name


def released() -> Document:
    """The document that clients were written for."""
    document: Document = json.loads(KEPT.read_text())
    return document


def current() -> Document:
    """The document as the application has it now, without the samples that follow from it."""
    answer = create_app(settings_for(NOWHERE, LOG_LEVEL="ERROR")).test_client().get("/openapi.json")
    document: Document = answer.json
    for item in document["paths"].values():
        for operation in item.values():
            operation.pop("x-codeSamples", None)
    return document


def main(kept: Path = KEPT) -> int:
    """Write the document, unless it breaks clients without a new major version."""
    old, new = json.loads(kept.read_text()), current()
    found = breaks(old, new)
    for sentence in found:
        print(sentence, file=sys.stderr)
    if found and major(new) <= major(old):
        print("Clients would break: nothing was written.", file=sys.stderr)
        return 1
    kept.write_text(json.dumps(new, indent=1, ensure_ascii=False) + "\n")
    print(f"{kept.name} holds the contract of {new['info']['version']}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
