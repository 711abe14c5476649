"""A strict JSON parser (RFC 8259, RFC 7493) that checks size and shape before building objects.

The limits are far above what the contract needs, and low enough that refusing a body never costs
more than reading a long string of the same length (decision 0034). Python's own limits differ
between releases.
"""

import json
import re
from typing import Any, Final, NoReturn

from app.core.problem_kinds import MALFORMED_JSON
from app.core.problems import Problem, invalid
from app.web.validation import json_pointer

DEEPEST: Final = 32
"""Levels of nested objects and arrays; a batch has five."""

MOST_MEMBERS: Final = 64
"""Members of one object; the widest of the contract has a quarter of that."""

MOST_VALUES: Final = 10_000
"""Values in one document; a full batch has a fifth of that."""

MOST_QUOTES: Final = 4 * MOST_VALUES
"""Quotation marks around as many names and string values."""

LONGEST_NUMBER: Final = 500
"""Characters; Python converts long integers in quadratic time."""

SURROGATE: Final = re.compile(rb"\\u[dD][89abAB-Fa-f]")

AS_ARRAYS: Final = bytes.maketrans(b"{}", b"[]")
NO_BRACKETS: Final = bytes(set(range(256)) - set(b"[]{}"))
TOO_DEEP: Final = b"[" * (DEEPEST + 1)


def parse_json(body: bytes) -> Any:
    """Parse one JSON document in UTF-8 with unique member names and finite numbers.

    Raises Problem 400 for malformed or too deeply nested JSON, 422 for too many values or members,
    or a lone surrogate, which is not Unicode text.
    """
    # Most bodies have too few brackets and commas to exceed a limit, even inside strings.
    if body.count(b"[") + body.count(b"{") > DEEPEST or body.count(b",") >= MOST_VALUES:
        _measure(body)
    try:
        value = DECODER.decode(body.decode())
    except ValueError:
        raise Problem(MALFORMED_JSON) from None
    if SURROGATE.search(body) and not _is_unicode(value):
        detail = "must not contain lone surrogates"
        raise invalid(detail, "unicode", pointer=_not_unicode(value))
    return value


def _measure(body: bytes) -> None:
    """Raise Problem 400 for too deep nesting, 422 for too many values."""
    outside, whole = _outside_strings(body)
    if _is_deep(outside):
        detail = f"The body has objects or arrays more than {DEEPEST} levels deep."
        raise Problem(MALFORMED_JSON, detail)
    if not whole or outside.count(b",") >= MOST_VALUES:
        detail = f"must not consist of more than {MOST_VALUES} values"
        raise invalid(detail, "too_many_values", pointer="")


def _outside_strings(body: bytes) -> tuple[bytes, bool]:
    """The document without its strings, and whether all of it was scanned.

    Scanning ends after MOST_QUOTES quotation marks. The result is exact up to the first syntax
    error, where the decoder stops.
    """
    if b"\\" in body:
        body = body.replace(rb"\\", b"").replace(rb"\"", b"")
    pieces = body.split(b'"', MOST_QUOTES)
    return b"".join(pieces[:MOST_QUOTES:2]), len(pieces) <= MOST_QUOTES


def _is_deep(outside: bytes) -> bool:
    """Whether more than DEEPEST brackets are open at once; each pass removes innermost pairs."""
    brackets = outside.translate(AS_ARRAYS, NO_BRACKETS)
    for _ in range(DEEPEST):
        if TOO_DEEP in brackets:
            return True
        brackets = brackets.replace(b"[]", b"")
    return len(brackets) > DEEPEST


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(pairs) > MOST_MEMBERS:
        detail = f"must not have an object of more than {MOST_MEMBERS} members"
        raise invalid(detail, "too_many_members", pointer="")
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("duplicate member name")
    return members


def _integer(text: str) -> int:
    return int(_measured(text))


def _finite(text: str) -> float:
    number = float(_measured(text))
    if number in {float("inf"), float("-inf")}:
        raise ValueError("number out of range")
    return number


def _measured(text: str) -> str:
    if len(text) > LONGEST_NUMBER:
        raise ValueError("number too long")
    return text


def _refuse_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is not JSON")


DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_object,
    parse_int=_integer,
    parse_float=_finite,
    parse_constant=_refuse_number,
)


def _not_unicode(value: Any) -> str:
    """The pointer to the first member with a lone surrogate; empty if its name has one."""
    for name, member in value.items() if isinstance(value, dict) else ():
        if not _is_unicode([name, member]):
            return json_pointer((name,)) if _is_unicode(name) else ""
    return ""


def _is_unicode(value: Any) -> bool:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True
