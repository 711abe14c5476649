"""Reading the lines of an import: each one parsed and validated, or the reasons why it is not."""

from collections.abc import Iterator
from typing import IO, Any, Final

from pydantic import ValidationError

from app.api.transfer.encoding import begin
from app.api.transfer.schemas import LINE, AnyLine, CategoryLine
from app.core.problems import Problem
from app.web.strict_json import parse_json
from app.web.validation import details, json_pointer

LONGEST_LINE: Final = 128 * 1024
"""Bytes: twice the largest task with every character escaped."""

MOST_DEFECTS: Final = 10
"""Defects of a line to report."""

LONGEST_POINTER: Final = 200

CATEGORY_MARKS: Final = (b'"category"', b"\\u")
"""Every category line has one of them: its type, as it is or with escaped characters."""

OWN_WORDS: Final = {
    "union_tag_invalid": ("type", "must be account, category, task or end"),
    "union_tag_not_found": ("type", "must be account, category, task or end"),
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


def categories(file: IO[bytes]) -> Iterator[tuple[int, CategoryLine]]:
    """Yield the category lines of the whole file with their numbers; keep the file's position."""
    place = file.tell()
    for number, line in numbered(file):
        # Most lines are tasks, which need no parsing here.
        if line and any(mark in line for mark in CATEGORY_MARKS):
            line_read = parsed(line)
            if isinstance(line_read, CategoryLine):
                yield number, line_read
    file.seek(place)


def numbered(file: IO[bytes]) -> Iterator[tuple[int, bytes | None]]:
    """Yield each line of the file with its number; None for one that is too long.

    Starts at the beginning, after a byte order mark.
    """
    begin(file)
    number = 0
    while line := file.readline(LONGEST_LINE + 1):
        number += 1
        if len(line) > LONGEST_LINE:
            skip_rest(file, line)
            yield number, None
        else:
            yield number, line


def skip_rest(file: IO[bytes], line: bytes) -> None:
    """Seek to the beginning of the next line."""
    while line and not line.endswith(b"\n"):
        line = file.readline(LONGEST_LINE)


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
