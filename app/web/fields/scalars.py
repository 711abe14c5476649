"""Whole numbers and booleans, which arrive as text in a query."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, GroupedMetadata, Le
from pydantic import BeforeValidator, Field, Strict, WithJsonSchema
from pydantic_core import PydanticCustomError


@dataclass(frozen=True)
class WholeNumber(GroupedMetadata):
    """An integer from `low` to `high`, as a JSON number or in decimal digits."""

    low: int
    high: int

    def __iter__(self) -> Iterator[object]:
        yield Ge(self.low)
        yield Le(self.high)
        yield BeforeValidator(_whole_number)
        yield WithJsonSchema({"type": "integer", "minimum": self.low, "maximum": self.high})


def _whole_number(value: object) -> object:
    if isinstance(value, str) and re.fullmatch("[0-9]{1,9}", value):
        return int(value)
    if isinstance(value, int):
        return value
    raise PydanticCustomError("int_type", "must be a whole number in decimal digits")


def _flag(value: object) -> object:
    return {"true": True, "false": False}.get(value, value) if isinstance(value, str) else value


Flag = Annotated[bool, Strict(), BeforeValidator(_flag)]
"""A boolean, as in JSON or as the text `true` or `false`."""

Int64 = Annotated[int, Field(json_schema_extra={"format": "int64"})]
"""An integer that 32 bits may not hold, which clients in typed languages use without the format."""
