"""The lines of an import, each as what it means or why it means nothing."""

from collections.abc import Iterator
from typing import IO, Any, Final

from pydantic import ValidationError

from app.api.transfer.encoding import begin
from app.api.transfer.schemas import LINE, AnyLine, CategoryLine
from app.core.problems import Problem
from app.web.pointers import json_pointer
from app.web.strict_json import parse_json
from app.web.validation import details

LONGEST_LINE: Final = 128 * 1024
"""Bytes: the largest task, with each character escaped, takes half of this."""

MOST_DEFECTS: Final = 10
"""Of a line, that are told of."""

LONGEST_POINTER: Final = 200

CATEGORY_MARKS: Final = (b'"category"', b"\\u")
"""One of them is in each line of a category: its type, as it is or with characters escaped."""

OWN_WORDS: Final = {
    "union_tag_invalid": ("type", "must be account, category, task or end"),
    "union_tag_not_found": ("type", "must be account, category, task or end"),
    "model_attributes_type": ("object", "must be a JSON object"),
}
"""Codes and details of what pydantic tells in terms of Python, perhaps with all that was sent."""

Defects = list[dict[str, str]]


def lines(file: IO[bytes]) -> Iterator[tuple[int, AnyLine | Defects | None]]:
    """Each line with its number, None for a blank one; no more than one is held."""
    for number, line in numbered(file):
        if line is None:
            yield number, defect("line_too_long", f"must be at most {LONGEST_LINE} bytes long")
        else:
            yield number, None if line.isspace() else understood(line)


def categories(file: IO[bytes]) -> Iterator[tuple[int, CategoryLine]]:
    """Each line of the whole file that is a category, with its number.

    Where the file has been read to is where it is read on afterwards.
    """
    place = file.tell()
    for number, line in numbered(file):
        # Most lines are tasks, and need not be understood.
        if line and any(mark in line for mark in CATEGORY_MARKS):
            meant = understood(line)
            if isinstance(meant, CategoryLine):
                yield number, meant
    file.seek(place)


def numbered(file: IO[bytes]) -> Iterator[tuple[int, bytes | None]]:
    """Each line of the file, from its beginning, with its number; None for one that is too long.

    A byte order mark before the first line is no part of it.
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
    """Read on to where the next line begins."""
    while line and not line.endswith(b"\n"):
        line = file.readline(LONGEST_LINE)


def understood(line: bytes) -> AnyLine | Defects:
    """What a line says, by the rules of a request's body."""
    try:
        return LINE.validate_python(parse_json(line))
    except Problem as problem:
        return problem.members.get("errors") or defect(
            problem.kind.slug.replace("-", "_"), "must be one JSON object in UTF-8"
        )
    except ValidationError as error:
        return [located(item) for item in details(error)[:MOST_DEFECTS]]


def located(item: Any) -> dict[str, str]:
    """One defect with a pointer into the line; the first part of a place is the line's type."""
    pointer = json_pointer(item["loc"][1:])
    if len(pointer) > LONGEST_POINTER or "\0" in pointer:  # a name that is none of ours
        pointer = ""
    code, detail = OWN_WORDS.get(item["type"], (item["type"], item["msg"]))
    return {"pointer": pointer, "code": code, "detail": detail}


def defect(code: str, detail: str, pointer: str = "") -> Defects:
    """The one thing that is wrong with a line, or with the whole of it."""
    return [{"pointer": pointer, "code": code, "detail": detail}]
