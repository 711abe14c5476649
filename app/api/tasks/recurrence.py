"""Repetition as clients see it and send it: a rule, and from where and how it is counted."""

from datetime import datetime
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, Field, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

from app.api.tasks.rules import after_completion, canonical
from app.web.fields.inputs import Body, examples
from app.web.fields.strings import Matching
from app.web.fields.times import DAY
from app.web.fields.zones import TimeZone

LONGEST_RULE: Final = 500
LOCAL_PATTERN: Final = f"^{DAY}(T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9])?$"
LONGEST_LOCAL: Final = 19

EXAMPLE: Final[dict[str, Any]] = {
    "rule": "FREQ=MONTHLY;BYMONTHDAY=31",
    "start": "2027-01-31",
    "time_zone": "Europe/Oslo",
    "overflow": "backward",
    "after": "schedule",
}


def _local(value: str) -> str:
    try:
        datetime.fromisoformat(value)
    except ValueError:
        raise PydanticCustomError("local_time", "must be a day of the calendar") from None
    return value


Local = Annotated[
    str,
    AfterValidator(_local),
    Matching(
        LOCAL_PATTERN, "local_time", "must be YYYY-MM-DD or YYYY-MM-DDTHH:MM:SS", LONGEST_LOCAL
    ),
]
"""A local day or time, without an offset."""

Rule = Annotated[
    str,
    AfterValidator(canonical),
    WithJsonSchema({"type": "string", "minLength": 1, "maxLength": LONGEST_RULE}),
]

RULE: Final = """
A recurrence rule (RFC 5545, section 3.3.10) with FREQ of DAILY, WEEKLY, MONTHLY or YEARLY, and
INTERVAL, COUNT or UNTIL, BYMONTH, BYMONTHDAY, BYDAY, BYSETPOS and WKST.
"""
START: Final = """
The local day or time from which occurrences are computed; by default the present due time. It is a
day for a task with `due_date`, a time for one with `due_at`.
"""
ZONE: Final = "The IANA name of the time zone of `start`; by default that of the account."
OVERFLOW: Final = """
What becomes of a day that a month lacks: it is left out, or it is the last day of that month, or
the first of the next.
"""
AFTER: Final = """
`schedule`: occurrences are those of the rule; `completion`: the next one is counted from the day on
which the task is completed, by a rule with FREQ and INTERVAL alone.
"""


class Recurrence(Body):
    """How a task repeats."""

    model_config = examples(EXAMPLE)

    rule: Annotated[Rule, Field(description=RULE)]
    start: Annotated[Local | None, Field(description=START)] = None
    time_zone: Annotated[TimeZone | None, Field(description=ZONE)] = None
    overflow: Annotated[Literal["skip", "backward", "forward"], Field(description=OVERFLOW)] = (
        "skip"
    )
    after: Annotated[Literal["schedule", "completion"], Field(description=AFTER)] = "schedule"

    @model_validator(mode="after")
    def counts_from_completion(self) -> "Recurrence":
        """Accept a count from completion only by a rule of FREQ and INTERVAL."""
        if self.after == "completion" and not after_completion(self.rule):
            detail = "must be schedule for a rule with more than FREQ and INTERVAL"
            raise PydanticCustomError("after_completion", detail)
        return self


def local_text(occurrence: datetime, start: str) -> str:
    """An occurrence as clients see it, of the same form as the start."""
    return occurrence.isoformat(timespec="seconds")[: len(start)]
