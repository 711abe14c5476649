"""Two documents of the contract side by side: what the later one breaks of the earlier one."""

from collections.abc import Iterator
from typing import Any

from tests.compatibility.schemas import Exchange, refused, resolved

Document = dict[str, Any]
Operation = dict[str, Any]

METHODS = ("get", "put", "post", "patch", "delete", "options", "head", "trace")


def breaks(old: Document, new: Document) -> list[str]:
    """Every change for which a client of the old document would have to change, as a sentence."""
    found = []
    for path, method, before in _operations(old):
        after = new["paths"].get(path, {}).get(method)
        name = f"{method.upper()} {path}"
        changes = _changes(old, new, before, after) if after else ["is gone"]
        found += [f"{name}: {change}" for change in changes]
    found += _shared_responses(old, new)
    schemas = [document["components"]["schemas"].keys() for document in (old, new)]
    found += [f"the schema {name} is gone or called otherwise" for name in schemas[0] - schemas[1]]
    return found


def major(document: Document) -> int:
    """The part of the document's version that says whether clients have to change."""
    return int(document["info"]["version"].split(".")[0])


def _operations(document: Document) -> Iterator[tuple[str, str, Operation]]:
    for path, item in document["paths"].items():
        for method in METHODS:
            if method in item:
                yield path, method, item[method]


def _changes(old: Document, new: Document, before: Operation, after: Operation) -> Iterator[str]:
    if before["operationId"] != after["operationId"]:
        yield f"is called {after['operationId']}, not {before['operationId']}"
    yield from _security(before, after)
    yield from _parameters(old, new, before, after)
    yield from _bodies(old, new, before, after)
    yield from _responses(old, new, before, after)


def _security(before: Operation, after: Operation) -> Iterator[str]:
    """Where no scope was asked for there were only tokens that may do everything."""
    earlier, later = before.get("security", []), after.get("security", [])
    if later and not earlier:
        yield "needs authorization now"
    for requirement in earlier:
        for scheme, scopes in requirement.items():
            needed = {scope for each in later for scope in each.get(scheme, [])}
            if scopes and needed - set(scopes):
                yield f"needs the scope {', '.join(sorted(needed - set(scopes)))}"


def _parameters(old: Document, new: Document, before: Operation, after: Operation) -> Iterator[str]:
    def named(document: Document, operation: Operation) -> dict[tuple[str, str], Any]:
        found = [resolved(document, each) for each in operation.get("parameters", [])]
        return {(each["in"], each["name"]): each for each in found}

    were, are = named(old, before), named(new, after)
    for place, name in were.keys() - are.keys():
        yield f"{place} {name} is not taken any more"
    for (place, name), parameter in are.items():
        earlier = were.get((place, name), {})
        if parameter.get("required") and not earlier.get("required"):
            yield f"{place} {name} is required now"
        if earlier:
            exchange = Exchange(old, new, request=True, place=f"{place} {name}")
            yield from refused(exchange, earlier["schema"], parameter["schema"])


def _bodies(old: Document, new: Document, before: Operation, after: Operation) -> Iterator[str]:
    earlier = resolved(old, before.get("requestBody", {}))
    later = resolved(new, after.get("requestBody", {}))
    if later.get("required") and not earlier.get("required"):
        yield "the body is required now"
    yield from _contents(Exchange(old, new, request=True, place="body"), earlier, later)


def _contents(exchange: Exchange, earlier: Document, later: Document) -> Iterator[str]:
    """Of each media type of the old document, whether it still holds what it did."""
    contents = later.get("content", {})
    for media_type, content in earlier.get("content", {}).items():
        if media_type not in contents:
            yield exchange.told(f"is not {media_type} any more")
            continue
        before, after = content["schema"], contents[media_type]["schema"]
        if media_type == "application/problem+json":
            before = _of_any_kind(resolved(exchange.taker, before))
        given, taken = (before, after) if exchange.request else (after, before)
        yield from refused(exchange, given, taken)


def _shared_responses(old: Document, new: Document) -> Iterator[str]:
    were, are = (document["components"]["responses"] for document in (old, new))
    for name in were.keys() & are.keys():
        yield from _response(old, new, name, were[name], are[name])


def _of_any_kind(problem: Document) -> Document:
    """Problems as clients have to take them: of a kind that is new as well (RFC 9457, 3.1.1)."""
    return {**problem, "properties": {**problem["properties"], "type": {"type": "string"}}}


def _responses(old: Document, new: Document, before: Operation, after: Operation) -> Iterator[str]:
    were, are = before["responses"], after["responses"]
    for status in sorted(are.keys() - were.keys()):
        if status < "400":
            yield f"{status} is new"
    for status in were.keys() - are.keys():
        yield f"{status} is gone"
    for status in were.keys() & are.keys():
        shared = "$ref" in were[status] and were[status] == are[status]  # is looked at once for all
        if not shared:
            yield from _response(old, new, status, were[status], are[status])


def _response(
    old: Document, new: Document, place: str, before: Document, after: Document
) -> Iterator[str]:
    earlier, later = resolved(old, before), resolved(new, after)
    for header in sorted(earlier.get("headers", {}).keys() - later.get("headers", {}).keys()):
        yield f"{place} has no {header} any more"
    yield from _contents(Exchange(new, old, request=False, place=place), earlier, later)
