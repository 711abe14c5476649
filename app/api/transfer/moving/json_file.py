"""JSON files of other apps, read whole and within bounds."""

import json
import re
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from math import inf
from typing import IO, Any, Final

from app.api.transfer.moving.refused import NotThisFormat

LARGEST: Final = 64 * 1024 * 1024
"""Bytes of a file."""

MOST_VALUES: Final = 3_000_000
"""Commas and opening brackets; parsed values take many times the memory of their text."""

DEEPEST_NESTING: Final = 50

LONGEST_NUMBER: Final = 20
"""Characters. Longer numbers mean nothing here, and converting them takes quadratic time."""

BRACKET: Final = re.compile(r'(?:[^"\[\]{}]++|"(?:[^"\\]++|\\.)*+"?)*+([\[\]{}]?)', re.DOTALL)
"""The next bracket outside of strings, or the end: it matches everywhere, in linear time."""

STEP: Final = {"[": 1, "{": 1, "]": -1, "}": -1, "": 0}


def load(file: IO[bytes]) -> Any:
    """Return the value of a JSON file. Of a member that an object has twice, the last one counts.

    Control characters in strings are accepted. A number too long to mean anything is infinite.

    Raises NotThisFormat if it is not JSON, or too large or too deeply nested.
    """
    text = _decoded(file.read(LARGEST + 1))
    if sum(map(text.count, ",[{")) > MOST_VALUES:
        raise NotThisFormat(f"The file has more than {MOST_VALUES:,} values.")
    if _is_deeper(text, DEEPEST_NESTING):
        raise NotThisFormat(f"The file is nested more than {DEEPEST_NESTING} levels deep.")
    try:
        return json.loads(text, strict=False, parse_int=_integer, parse_float=_number)
    except json.JSONDecodeError as error:
        detail = f"The file is not JSON: line {error.lineno}, column {error.colno}."
        raise NotThisFormat(detail) from None


def _decoded(data: bytes) -> str:
    """The text, of which PowerShell writes UTF-16 with a byte order mark."""
    if len(data) > LARGEST:
        raise NotThisFormat(f"The file is larger than {LARGEST // 1024**2} MB.")
    is_wide = data.startswith((BOM_UTF16_BE, BOM_UTF16_LE))
    try:
        return data.decode("utf-16" if is_wide else "utf-8-sig")
    except UnicodeDecodeError:
        raise NotThisFormat("The file is not UTF-8 text.") from None


def _is_deeper(text: str, most: int) -> bool:
    """Whether brackets are nested more than `most` levels deep, before any are parsed."""
    depth = 0
    for found in BRACKET.finditer(text):
        depth += STEP[found[1]]
        if depth > most:
            return True
    return False


def _integer(digits: str) -> float:
    return int(digits) if len(digits) <= LONGEST_NUMBER else inf


def _number(digits: str) -> float:
    return float(digits) if len(digits) <= LONGEST_NUMBER else inf
