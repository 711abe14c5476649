"""Reading the lines of an import: each one parsed and validated, or the reasons why it is not."""

import codecs
from collections.abc import Iterable, Iterator
from typing import IO, Any, Final

from pydantic import ValidationError

from app.api.kinds import IN_ORDER
from app.api.transfer.schemas import LINE, AnyLine, RowLine
from app.core.problems import Problem
from app.web.strict_json import parse_json
from app.web.validation import details, json_pointer

LONGEST_LINE: Final = 128 * 1024
"""Bytes: twice the largest task with every character escaped."""

MOST_DEFECTS: Final = 10
"""Defects of a line to report."""

LONGEST_POINTER: Final = 200

ONE_OF: Final = f"must be account, {', '.join(kind.name for kind in IN_ORDER)} or end"

OWN_WORDS: Final = {
    "union_tag_invalid": ("type", ONE_OF),
    "union_tag_not_found": ("type", ONE_OF),
    "model_attributes_type": ("object", "must be a JSON object"),
}
"""Codes and details in place of pydantic's, which speak of Python and may repeat the input."""

Defects = list[dict[str, str]]


def lines(file: IO[bytes]) -> Iterator[tuple[int, AnyLine | Defects | None]]:
    """Yield each line with its number, None for a blank one; holds one line at a time."""
    for number, line in numbered(file):
        if line is None:
            yield number, defect("line_too_long", f"must be at most {LONGEST_LINE} bytes long")
        else:
            yield number, None if line.isspace() else parsed(line)


def lines_of(kind: str, file: IO[bytes]) -> Iterator[tuple[int, RowLine]]:
    """Yield the lines of a kind in the whole file with their numbers; keep the file's position."""
    place = file.tell()
    marks = (f'"{kind}"'.encode(), b"\\u")
    for number, line in numbered(file):
        # Most lines are of other kinds and need no parsing here: they have neither this kind's
        # name nor escaped characters, which may be it.
        if line and any(mark in line for mark in marks):
            line_read = parsed(line)
            if isinstance(line_read, RowLine) and line_read.type == kind:
                yield number, line_read
    file.seek(place)


def lines_at(places: Iterable[int], file: IO[bytes]) -> Iterator[tuple[int, RowLine]]:
    """Yield the rows of these lines, whose numbers ascend."""
    wanted = iter(places)
    next_one = next(wanted, 0)
    for number, line in numbered(file):
        if number == next_one and line:
            line_read = parsed(line)
            if isinstance(line_read, RowLine):
                yield number, line_read
            next_one = next(wanted, 0)


def numbered(file: IO[bytes]) -> Iterator[tuple[int, bytes | None]]:
    """Yield each line of the file with its number; None for one that is too long.

    Starts at the beginning, after a byte order mark.
    """
    file.seek(0)
    if file.read(len(codecs.BOM_UTF8)) != codecs.BOM_UTF8:
        file.seek(0)
    longest = LONGEST_LINE + 1
    for number, line in enumerate(iter(lambda: file.readline(longest), b""), 1):
        yield number, line if len(line) <= LONGEST_LINE else None
        while len(line) > LONGEST_LINE and not line.endswith(b"\n"):
            line = file.readline(longest)


def parsed(line: bytes) -> AnyLine | Defects:
    """Parse and validate a line by the rules for request bodies."""
    try:
        return LINE.validate_python(parse_json(line))
    except Problem as problem:
        return problem.members.get("errors") or defect(
            problem.kind.slug.replace("-", "_"), "must be one JSON object in UTF-8"
        )
    except ValidationError as error:
        return [located(item) for item in details(error)[:MOST_DEFECTS]]


def located(item: Any) -> dict[str, str]:
    """Return a defect of pydantic's; the first part of its location is the line's type."""
    pointer = json_pointer(item["loc"][1:])
    if len(pointer) > LONGEST_POINTER or "\0" in pointer:  # an unknown member
        pointer = ""
    code, detail = OWN_WORDS.get(item["type"], (item["type"], item["msg"]))
    return {"pointer": pointer, "code": code, "detail": detail}


def defect(code: str, detail: str, pointer: str = "") -> Defects:
    """Return the only defect of a line."""
    return [{"pointer": pointer, "code": code, "detail": detail}]
