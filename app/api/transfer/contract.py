"""The bodies of export and import in the OpenAPI document, which no model describes."""

from typing import Any, Final

from app.api.transfer.formats import MEDIA_TYPE
from app.api.transfer.schemas import EXAMPLE
from app.api.transfer.upload import MEDIA_TYPES
from app.web.openapi import files

TABLE: Final = (
    '\ufeff"id","title","description","complete","completed_at","priority","due_date","due_at",'
    '"category","created_at","updated_at"\r\n'
)
CALENDAR: Final = "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//Tasks API//EN\r\nEND:VCALENDAR\r\n"


def file(description: str, example: str) -> dict[str, Any]:
    """Describe a body that is a text file."""
    schema = {"type": "string", "format": "binary", "description": description}
    return {"schema": {**schema, "examples": [example]}}


LINES: Final = file(
    "JSON lines: account, categories, tasks, and the end with their counts.", EXAMPLE
)

files.TAKEN["transfer.import_account"] = dict.fromkeys(MEDIA_TYPES, LINES)

files.GIVEN["transfer.export_account"] = {
    MEDIA_TYPE: LINES,
    "text/csv": file("Tasks as comma-separated values (RFC 4180).", TABLE),
    "text/calendar": file("Tasks as VTODOs (RFC 5545).", CALENDAR),
}
