"""The formats of other apps: what each is sent as, and who reads it."""

from typing import Final, NamedTuple

from app.api.transfer.moving import google
from app.api.transfer.moving.as_sent import as_sent
from app.api.transfer.moving.calendar import reader as calendar_tasks
from app.api.transfer.moving.found import Reader
from app.api.transfer.moving.microsoft import reader as microsoft
from app.api.transfer.moving.ticktick import reader as ticktick
from app.api.transfer.moving.todoist import reader as todoist
from app.api.transfer.moving.zipped import also_zipped

CSV: Final = "text/csv"
JSON: Final = "application/json"
CALENDAR: Final = "text/calendar"
ZIP: Final = "application/zip"

ALIASES: Final = {ZIP: "application/x-zip-compressed", CSV: "application/vnd.ms-excel"}
"""What browsers on Windows send in place of a usual media type."""


class MovedForm(NamedTuple):
    """A format: the usual media types of its files, and their reader."""

    media_types: tuple[str, ...]
    read: Reader
    description: str

    @property
    def accepted(self) -> tuple[str, ...]:
        """The media types that are taken, with those that are not usual."""
        return (*self.media_types, *(ALIASES[each] for each in self.media_types if each in ALIASES))


FORMS: Final[dict[str, MovedForm]] = {
    "todoist": MovedForm(
        (CSV, ZIP),
        as_sent(todoist.read, ".csv"),
        "Todoist: a CSV of a project, or a zip of them.",
    ),
    "ticktick": MovedForm(
        (CSV, ZIP),
        as_sent(also_zipped(ticktick.read, ".csv"), ".csv"),
        "TickTick: its backup as CSV.",
    ),
    "google": MovedForm(
        (JSON, ZIP),
        as_sent(also_zipped(google.read, ".json"), ".json"),
        "Google Tasks: the zip of Takeout, or `Tasks.json` of it.",
    ),
    "microsoft": MovedForm(
        (JSON, ZIP),
        as_sent(also_zipped(microsoft.read, ".json"), ".json"),
        "Microsoft To Do: lists and tasks of Graph.",
    ),
    "ics": MovedForm(
        (CALENDAR, ZIP),
        as_sent(also_zipped(calendar_tasks.read, ".ics"), ".ics"),
        "iCalendar: each VTODO is a task.",
    ),
}
"""By the name in the query. Each may also come in a zip."""

MEDIA_TYPES: Final = tuple(dict.fromkeys(t for form in FORMS.values() for t in form.media_types))
