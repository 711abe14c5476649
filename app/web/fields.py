"""The types of values in bodies and queries: strict, and described in the contract as checked.

Every pattern here is what the OpenAPI document says, and a check as well where a text has a fixed
form; longer texts are checked by code that means the same. Length comes before all else: no text is
looked at that is too long.

Generated clients compile the patterns with the engine of their language. They use only what
ECMAScript, RE2, Go, Rust and Python read alike: no look-ahead, and no class such as `\\s`.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cache
from typing import Annotated, Any, ClassVar, Final
from zoneinfo import available_timezones

from annotated_types import Ge, GroupedMetadata, Le
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    GetJsonSchemaHandler,
    PlainValidator,
    Strict,
    WithJsonSchema,
)
from pydantic_core import CoreSchema, PydanticCustomError, PydanticKnownError

from app.core.texts import composed, is_visible, trimmed, visible

UUID_LENGTH: Final = 36
DATE_LENGTH: Final = 10
LONGEST_TIMESTAMP: Final = 64
"""More than any has; what digits it may have is for the pattern to say."""

LONGEST_EMAIL: Final = 254
"""RFC 5321, section 4.5.3.1.3, less the two brackets of a path."""

LONGEST_TIME_ZONE: Final = 64

UUID_PATTERN: Final = (
    "^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$"
)

DAY: Final = (
    "(000[1-9]|00[1-9][0-9]|0[1-9][0-9]{2}|[1-9][0-9]{3})"  # no year 0000
    "-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
)

TIMESTAMP_PATTERN: Final = (
    rf"^{DAY}[Tt]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]"
    r"(\.[0-9]{1,30})?([Zz]|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$"
)
"""RFC 3339, section 5.6; a leap second cannot be stored.

Digits beyond microseconds are cut off. The RFC sets no limit to them; .NET writes seven, Go nine.
"""

DATE_PATTERN: Final = f"^{DAY}$"

EMAIL_PATTERN: Final = (
    r"^[a-zA-Z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[a-zA-Z0-9!#$%&'*+/=?^_`{|}~-]+)*"
    r"@[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
    r"(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?)*$"
)
"""What a browser's form takes (WHATWG HTML, "Valid e-mail address"), less the dots that a mail
server refuses (RFC 5321, section 4.1.2)."""

LINE_PATTERN: Final = rf"^[^\x00]*{visible()}[^\x00]*$"
"""Text with something to see in it; PostgreSQL stores no U+0000.

JavaScript needs the flag `u` for it, as JSON Schema recommends (2020-12 Core, section 6.4).

For the document alone: Python takes quadratic time to see that a text does not match.
"""

TEXT_PATTERN: Final = r"^[^\x00]*$"


@dataclass(frozen=True)
class Matching(GroupedMetadata):
    """Text of at most `longest` characters that a regular expression matches whole.

    The contract shows the expression. A text that is too long is refused unread, with the same code
    and message.
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

    To measure it before the other checks of a field, put it last in the annotation.
    """

    length: int

    def __iter__(self) -> Iterator[object]:
        yield BeforeValidator(lambda value: _measured(value, self.length))


class Body(BaseModel):
    """The base of request bodies: no unknown fields, nothing coerced."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    absent: ClassVar[Mapping[str, Any]] = {}
    """What each optional member of release 1.0 counts as in an idempotency fingerprint where it is
    absent. A member that is added later does not belong here: it counts only if it was sent.
    """

    def given(self) -> dict[str, Any]:
        """The fields that the client sent, as in a merge patch (RFC 7396)."""
        return {name: value for name, value in self if name in self.model_fields_set}

    def all(self) -> dict[str, Any]:
        """Every field, defaults included."""
        return dict(self)


class Patch(Body):
    """The base of merge patches: a field that is absent has no value, whatever its default."""

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """The schema without defaults, as none of them is ever applied."""
        document = handler.resolve_ref_schema(handler(schema))
        for field in document["properties"].values():
            field.pop("default", None)
        return document


class Query(BaseModel):
    """The base of query strings: every value arrives as text, unknown ones are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise PydanticCustomError("string_type", "must be a string")
    return value


def _measured(value: object, longest: int) -> str:
    if len(text := _text(value)) > longest:
        raise PydanticKnownError("string_too_long", {"max_length": longest})
    return text


def _without_null(value: object, longest: int) -> str:
    if "\0" in (text := _measured(value, longest)):
        raise PydanticCustomError("string_null", "must not contain U+0000")
    return text


def _timestamp(value: str) -> datetime:
    """The instant in UTC; Python cuts digits beyond microseconds off, and never rounds up."""
    try:
        return datetime.fromisoformat(value.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        raise PydanticCustomError(
            "timestamp", "must be an instant of the years 0001 to 9999 in UTC"
        ) from None


def _date(value: str) -> date:
    try:
        return date.fromisoformat(value)
    except ValueError:
        raise PydanticCustomError("date", "must be a day of the calendar") from None


def _day_or_instant(value: str) -> date | datetime:
    return _date(value) if len(value) == DATE_LENGTH else _timestamp(value)


@cache
def _time_zones() -> frozenset[str]:
    # Two of the database's files name no zone: one is this host's, the other a placeholder.
    return frozenset(available_timezones() - {"localtime", "Factory"})


def _time_zone(value: str) -> str:
    if value not in _time_zones():
        raise PydanticCustomError("time_zone", "must be an IANA time zone name")
    return value


def _mailbox(value: str) -> str:
    if len(value.partition("@")[0]) > 64:  # RFC 5321, section 4.5.3.1.1
        raise PydanticCustomError("email", "must be an e-mail address")
    return value


def _flag(value: object) -> object:
    return {"true": True, "false": False}.get(value, value) if isinstance(value, str) else value


def _whole_number(value: object) -> object:
    if isinstance(value, str) and re.fullmatch("[0-9]{1,9}", value):
        return int(value)
    if isinstance(value, int):
        return value
    raise PydanticCustomError("int_type", "must be a whole number in decimal digits")


Id = Annotated[
    str,
    AfterValidator(str.lower),
    Matching(UUID_PATTERN, "uuid", "must be a UUID with hyphens", UUID_LENGTH),
    WithJsonSchema({"type": "string", "format": "uuid", "pattern": UUID_PATTERN}),
]
Timestamp = Annotated[
    datetime,
    BeforeValidator(_timestamp),
    Matching(
        TIMESTAMP_PATTERN,
        "timestamp",
        "must be an RFC 3339 date-time with an offset",
        LONGEST_TIMESTAMP,
    ),
    WithJsonSchema({"type": "string", "format": "date-time", "pattern": TIMESTAMP_PATTERN}),
]
Date = Annotated[
    date,
    BeforeValidator(_date),
    Matching(DATE_PATTERN, "date", "must be a date as YYYY-MM-DD", DATE_LENGTH),
    WithJsonSchema({"type": "string", "format": "date", "pattern": DATE_PATTERN}),
]
DayOrInstant = Annotated[
    date | datetime,
    PlainValidator(_day_or_instant),
    Matching(
        f"{DATE_PATTERN}|{TIMESTAMP_PATTERN}",
        "timestamp",
        "must be an RFC 3339 date-time with an offset, or a date as YYYY-MM-DD",
        LONGEST_TIMESTAMP,
    ),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "format": "date-time", "pattern": TIMESTAMP_PATTERN},
                {"type": "string", "format": "date", "pattern": DATE_PATTERN},
            ]
        }
    ),
]
Email = Annotated[
    str,
    AfterValidator(_mailbox),
    Matching(EMAIL_PATTERN, "email", "must be an e-mail address", LONGEST_EMAIL),
    Longest(LONGEST_EMAIL),
    WithJsonSchema(
        {"type": "string", "format": "email", "pattern": EMAIL_PATTERN, "maxLength": LONGEST_EMAIL}
    ),
]
TimeZone = Annotated[
    str,
    AfterValidator(_time_zone),
    Longest(LONGEST_TIME_ZONE),
    WithJsonSchema(
        {
            "type": "string",
            "format": "iana-time-zone",
            "minLength": 1,
            "maxLength": LONGEST_TIME_ZONE,
        }
    ),
]
Flag = Annotated[bool, Strict(), BeforeValidator(_flag)]


@dataclass(frozen=True)
class WholeNumber(GroupedMetadata):
    """A number in decimal digits from `low` to `high`."""

    low: int
    high: int

    def __iter__(self) -> Iterator[object]:
        yield Ge(self.low)
        yield Le(self.high)
        yield BeforeValidator(_whole_number)
        yield WithJsonSchema({"type": "integer", "minimum": self.low, "maximum": self.high})


@dataclass(frozen=True)
class Line(GroupedMetadata):
    """Text of one to `length` characters with something to see in it; trimmed, and in NFC.

    Its length is measured as it was sent, before anything else, and as it is kept.
    """

    length: int

    def __iter__(self) -> Iterator[object]:
        def kept(value: object) -> str:
            text = _measured(value, self.length)
            if not is_visible(text) or "\0" in text:
                raise PydanticCustomError("string_blank", "must not be blank or contain U+0000")
            return _measured(composed(trimmed(text)), self.length)

        yield BeforeValidator(kept)
        yield WithJsonSchema(
            {"type": "string", "minLength": 1, "maxLength": self.length, "pattern": LINE_PATTERN}
        )


@dataclass(frozen=True)
class KeptLine(GroupedMetadata):
    """A line as it is answered. Rows that release 1.0 wrote may hold nothing to see."""

    length: int

    def __iter__(self) -> Iterator[object]:
        yield WithJsonSchema({"type": "string", "minLength": 1, "maxLength": self.length})


@dataclass(frozen=True)
class PlainText(GroupedMetadata):
    """Text of at most `length` characters, kept as it is."""

    length: int

    def __iter__(self) -> Iterator[object]:
        yield BeforeValidator(lambda value: _without_null(value, self.length))
        yield WithJsonSchema({"type": "string", "maxLength": self.length, "pattern": TEXT_PATTERN})


@dataclass(frozen=True)
class LongText(GroupedMetadata):
    """Text of at most `length` characters, kept in NFC; measured twice, as a line is."""

    length: int

    def __iter__(self) -> Iterator[object]:
        def kept(value: object) -> str:
            return _measured(composed(_without_null(value, self.length)), self.length)

        yield BeforeValidator(kept)
        yield WithJsonSchema({"type": "string", "maxLength": self.length, "pattern": TEXT_PATTERN})
