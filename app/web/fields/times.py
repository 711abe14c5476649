"""Instants, days and durations."""

from datetime import UTC, date, datetime
from typing import Annotated, Final

from pydantic import BeforeValidator, PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from app.web.fields.strings import Matching

DATE_LENGTH: Final = 10
LONGEST_TIMESTAMP: Final = 64
"""Characters; the pattern allows fewer."""

DAY: Final = (
    "(000[1-9]|00[1-9][0-9]|0[1-9][0-9]{2}|[1-9][0-9]{3})"  # no year 0000
    "-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
)

TIME: Final = (
    r"[Tt]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]"
    r"(\.[0-9]{1,30})?([Zz]|[+-]([01][0-9]|2[0-3]):[0-5][0-9])"
)

TIMESTAMP_PATTERN: Final = f"^{DAY}{TIME}$"
"""RFC 3339, section 5.6, without leap seconds, which PostgreSQL cannot store.

Digits beyond microseconds are cut off. The RFC sets no limit to them; .NET writes seven, Go nine.
"""

DATE_PATTERN: Final = f"^{DAY}$"

LONGEST_DURATION: Final = 32
"""Characters; the pattern allows fewer."""

OF_A_DAY: Final = "T([0-9]{1,6}H([0-9]{1,6}M)?([0-9]{1,7}S)?|[0-9]{1,6}M([0-9]{1,7}S)?|[0-9]{1,7}S)"
DURATION_PATTERN: Final = f"^P([0-9]{{1,3}}W|[0-9]{{1,4}}D({OF_A_DAY})?|{OF_A_DAY})$"
"""ISO 8601-1, section 5.5.2, without years and months, which are of no certain length."""

DAY_OR_INSTANT_PATTERN: Final = f"^{DAY}({TIME})?$"


def _timestamp(value: str) -> datetime:
    """The instant in UTC; Python cuts digits beyond microseconds off and does not round."""
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
        DAY_OR_INSTANT_PATTERN,
        "timestamp",
        "must be an RFC 3339 date-time with an offset, or a date as YYYY-MM-DD",
        LONGEST_TIMESTAMP,
    ),
]
Duration = Annotated[
    str,
    Matching(
        DURATION_PATTERN,
        "duration",
        "must be a duration of ISO 8601, such as PT15M, P1DT12H or P2W",
        LONGEST_DURATION,
    ),
]
