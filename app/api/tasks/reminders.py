"""Reminders as clients see them and send them: an instant, or a time before a task is due."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final, Self

from pydantic import AfterValidator, Field, TypeAdapter, model_validator
from pydantic_core import PydanticCustomError

from app.web.fields.inputs import Patch, examples
from app.web.fields.strings import Matching
from app.web.fields.times import Duration, Timestamp

MOST_REMINDERS: Final = 10
MOST_DAYS: Final = 28
LONGEST: Final = timedelta(days=MOST_DAYS)
DURATION: Final[TypeAdapter[timedelta]] = TypeAdapter(timedelta)

EXAMPLE: Final[list[dict[str, Any]]] = [{"days_before": 1, "time": "18:00"}, {"before": "PT15M"}]

ALONE: Final = {"at": {"type": "string"}, "before": {"type": "string"}}
FORMS: Final = ({"at"}, {"before"}, {"days_before", "time"})

TIME_PATTERN: Final = "^([01][0-9]|2[0-3]):[0-5][0-9]$"

BEFORE: Final = f"""
How long before `due_at`: a duration of ISO 8601, in weeks or in days, hours, minutes and seconds,
of at most {MOST_DAYS} days. A day has 24 hours.
"""
DAYS_BEFORE: Final = "On the day that is so many days before the one on which the task is due."
TIME: Final = """
The local time of that day, in the time zone of the recurrence, or else in the account's. A time
that a change of clocks leaves out is later by as much; of one that comes twice it is the first.
"""


def canonical(before: str) -> str:
    """The duration, of at most LONGEST, in days and less."""
    length = DURATION.validate_python(before)
    if length > LONGEST:
        raise PydanticCustomError("duration", f"must be at most {MOST_DAYS} days")
    text: str = DURATION.dump_python(length, mode="json")
    return text


class Reminder(Patch):
    """When a task reminds: `at` an instant, or `before` it is due, or at a local `time`."""

    model_config = examples(
        *EXAMPLE,
        {"at": "2027-01-31T08:00:00Z"},
        minProperties=1,
        maxProperties=2,
        dependentRequired={"days_before": ["time"], "time": ["days_before"]},
        **{"not": {"properties": ALONE, "required": [*ALONE]}},
    )

    at: Annotated[Timestamp, Field(description="At this instant.")] = datetime.min
    before: Annotated[Duration, AfterValidator(canonical), Field(description=BEFORE)] = ""
    days_before: Annotated[int, Field(ge=0, le=MOST_DAYS, description=DAYS_BEFORE)] = 0
    time: Annotated[
        str, Matching(TIME_PATTERN, "time", "must be HH:MM", 5), Field(description=TIME)
    ] = ""

    @model_validator(mode="after")
    def one_form(self) -> Self:
        """Accept exactly one of the forms."""
        if self.model_fields_set not in FORMS:
            detail = "must have exactly one of at, before, or days_before with time"
            raise PydanticCustomError("reminder", detail)
        return self

    def stored(self) -> dict[str, Any]:
        """As the database has it and clients see it."""
        stored: dict[str, Any] = self.model_dump(mode="json", exclude_unset=True)
        return stored


def each_once(reminders: list[Reminder]) -> list[Reminder]:
    """Accept no reminder twice."""
    for place, reminder in enumerate(reminders):
        if reminder in reminders[:place]:
            raise PydanticCustomError("duplicate", "must not have a reminder twice")
    return reminders


Reminders = Annotated[
    list[Reminder],
    Field(
        max_length=MOST_REMINDERS,
        description="When the task reminds its user, as long as it is open; each once.",
        json_schema_extra={"uniqueItems": True},
    ),
    AfterValidator(each_once),
]


def needs_due_at(reminder: Reminder) -> bool:
    """Whether a task with this reminder has to be due at a time."""
    return "before" in reminder.model_fields_set


def needs_due(reminder: Reminder) -> bool:
    """Whether a task with this reminder has to be due."""
    return "at" not in reminder.model_fields_set


def next_of(instants: list[datetime] | None) -> datetime | None:
    """The first of these instants, in ascending order, that is still to come."""
    now = datetime.now(UTC)
    return next((instant for instant in instants or () if instant > now), None)
