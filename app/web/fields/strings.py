"""Texts: of a fixed form, of one line, and of several."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Final

from annotated_types import GroupedMetadata
from pydantic import AfterValidator, BeforeValidator, WithJsonSchema
from pydantic_core import PydanticCustomError, PydanticKnownError

from app.core.texts import composed, is_visible, trimmed, visible

LINE_PATTERN: Final = rf"^[^\x00]*{visible()}[^\x00]*$"
"""Text with at least one visible character; PostgreSQL stores no U+0000.

JavaScript needs the flag `u` for it, as JSON Schema recommends (2020-12 Core, section 6.4).
Only for the document: Python would take quadratic time to find that a text does not match.
"""

TEXT_PATTERN: Final = r"^[^\x00]*$"


@dataclass(frozen=True)
class Matching(GroupedMetadata):
    """Text of at most `longest` characters that matches `pattern`, which the contract shows.

    Longer text is refused with the same code and message, without being matched.
    """

    pattern: str
    code: str
    message: str
    longest: int

    def __iter__(self) -> Iterator[object]:
        # In Python, `$` also matches before a line feed at the end.
        compiled = re.compile(self.pattern.replace("$|", r"\Z|").removesuffix("$") + r"\Z")

        def check(value: object) -> str:
            text = _text(value)
            if len(text) > self.longest or not compiled.match(text):
                raise PydanticCustomError(self.code, self.message)
            return text

        yield BeforeValidator(check)
        yield WithJsonSchema({"type": "string", "pattern": self.pattern})


@dataclass(frozen=True)
class Longest(GroupedMetadata):
    """Text of at most `length` characters.

    Put it last in an annotation to check the length before everything else.
    """

    length: int

    def __iter__(self) -> Iterator[object]:
        yield BeforeValidator(self.accept)

    def accept(self, value: object) -> str:
        """Return the text as it is stored. Raises an error of pydantic's."""
        if len(text := _text(value)) > self.length:
            raise PydanticKnownError("string_too_long", {"max_length": self.length})
        return text


class PlainText(Longest):
    """Text of at most `length` characters, unchanged."""

    def __iter__(self) -> Iterator[object]:
        yield from super().__iter__()
        yield WithJsonSchema({"type": "string", "maxLength": self.length, "pattern": TEXT_PATTERN})

    def accept(self, value: object) -> str:
        """Return the text, which PostgreSQL can store."""
        if "\0" in (text := super().accept(value)):
            raise PydanticCustomError("string_null", "must not contain U+0000")
        return text


class LongText(PlainText):
    """Text of at most `length` characters, as sent and as stored, which is in NFC."""

    def accept(self, value: object) -> str:
        """Return the text in NFC."""
        return super().accept(composed(super().accept(value)))


class Line(Longest):
    """Visible text of 1 to `length` characters, stored trimmed and in NFC.

    The length is checked twice: of the text as sent, before anything else, and as stored.
    """

    def __iter__(self) -> Iterator[object]:
        yield from super().__iter__()
        yield WithJsonSchema(
            {"type": "string", "minLength": 1, "maxLength": self.length, "pattern": LINE_PATTERN}
        )

    def accept(self, value: object) -> str:
        """Return the text trimmed and in NFC."""
        text = super().accept(value)
        if not is_visible(text) or "\0" in text:
            raise PydanticCustomError("string_blank", "must not be blank or contain U+0000")
        return super().accept(composed(trimmed(text)))


@dataclass(frozen=True)
class KeptLine(GroupedMetadata):
    """A line in a response. Rows that release 1.0 wrote may have nothing visible in it."""

    length: int

    def __iter__(self) -> Iterator[object]:
        yield WithJsonSchema({"type": "string", "minLength": 1, "maxLength": self.length})


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise PydanticCustomError("string_type", "must be a string")
    return value


Name = Annotated[str, Line(100)]
"""What users call something."""

Color = Annotated[
    str,
    AfterValidator(str.lower),
    Matching("^#[0-9a-fA-F]{6}$", "color", "must be #rrggbb", 7),
]
