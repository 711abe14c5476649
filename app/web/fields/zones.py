"""Time zones by their IANA names."""

from functools import cache
from typing import Annotated, Final
from zoneinfo import available_timezones

from pydantic import AfterValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from app.web.fields.strings import Longest

LONGEST_TIME_ZONE: Final = 64


@cache
def _time_zones() -> frozenset[str]:
    # These files name no zone: one is this host's, the other a placeholder.
    return frozenset(available_timezones() - {"localtime", "Factory"})


def is_time_zone(name: str) -> bool:
    """Whether this is the IANA name of a time zone."""
    return name in _time_zones()


def _time_zone(value: str) -> str:
    if not is_time_zone(value):
        raise PydanticCustomError("time_zone", "must be an IANA time zone name")
    return value


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
