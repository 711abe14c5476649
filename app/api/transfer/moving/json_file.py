"""JSON files of other apps, read whole and within bounds."""

import json
import re
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from math import inf
from typing import IO, Any, Final

from app.api.transfer.encodings import UTF_16, encoding_of
from app.api.transfer.moving.plain_text import not_utf_8
from app.api.transfer.moving.refused import NotThisFormat

LARGEST: Final = 64 * 1024 * 1024
"""Bytes of a file."""

MOST_VALUES: Final = 1_000_000
"""Commas and opening brackets; parsed values take many times the memory of their text.

Parsing stops every other thread of the process, for almost a second at so many.
"""

DEEPEST_NESTING: Final = 50

LONGEST_NUMBER: Final = 20
"""Characters. Longer numbers mean nothing here, and converting them takes quadratic time."""

BRACKET: Final = re.compile(
    r'(?:[^"\[\]{}]++|"(?:[^"\\]++|\\.)*+"?){0,1000}+([\[\]{}]?)', re.DOTALL
)
"""The next bracket outside of strings, if there is one soon: it matches everywhere.

It takes linear time, and lets other threads go on after so many strings.
"""

STEP: Final = {"[": 1, "{": 1, "]": -1, "}": -1, "": 0}


def load(file: IO[bytes]) -> Any:
    """Return the value of a JSON file. Of a member that an object has twice, the last one counts.

    Control characters in strings are accepted. A number too long to mean anything is infinite.

    Raises NotThisFormat if it is not JSON, or too large or too deeply nested.
    """
    text = _decoded(file)
    if sum(map(text.count, ",[{")) > MOST_VALUES:
        raise NotThisFormat(f"The file has more than {MOST_VALUES:,} values.")
    if _is_deeper(text, DEEPEST_NESTING):
        raise NotThisFormat(f"The file is nested more than {DEEPEST_NESTING} levels deep.")
    try:
        return json.loads(text, strict=False, parse_int=_integer, parse_float=_number)
    except json.JSONDecodeError as error:
        detail = f"The file is not JSON: line {error.lineno}, column {error.colno}."
        raise NotThisFormat(detail) from None


def _decoded(file: IO[bytes]) -> str:
    """The text, of which PowerShell writes UTF-16 with a byte order mark."""
    encoding = encoding_of(file)
    data = file.read(LARGEST + 1)
    if len(data) > LARGEST:
        raise NotThisFormat(f"The file is larger than {LARGEST // 1024**2} MB.")
    is_wide = encoding == UTF_16 and data.startswith((BOM_UTF16_BE, BOM_UTF16_LE))
    if encoding and not is_wide:
        raise not_utf_8(encoding)
    try:
        return data.decode("utf-16" if is_wide else "utf-8-sig")
    except UnicodeDecodeError:
        raise NotThisFormat("The file is not UTF-8 text.") from None


def _is_deeper(text: str, most: int) -> bool:
    """Whether brackets are nested more than `most` levels deep, before any are parsed.

    Those behind one that closes nothing do not count, as the file is no JSON then.
    """
    depth = 0
    for found in BRACKET.finditer(text):
        depth += STEP[found[1]]
        if not 0 <= depth <= most:
            return depth > most
    return False


def _integer(digits: str) -> float:
    return int(digits) if len(digits) <= LONGEST_NUMBER else inf


def _number(digits: str) -> float:
    return float(digits) if len(digits) <= LONGEST_NUMBER else inf
