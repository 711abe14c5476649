"""What a label looks like to clients, and what they may send."""

from typing import Annotated, Any, ClassVar, Final

from pydantic import BaseModel, Field

from app.web.fields.identifiers import Id
from app.web.fields.inputs import Body, Patch, examples
from app.web.fields.scalars import Int64
from app.web.fields.strings import Color, KeptLine, Name
from app.web.fields.times import Timestamp

EXAMPLE: Final[dict[str, Any]] = {
    "id": "01981d2c-7f3a-7d40-8a3e-2f6b9c1d0e52",
    "user_id": "01981d2c-7f3a-7d40-8a3e-2f6b9c1d0e4f",
    "name": "Urgent",
    "color": "#c62828",
    "version": 3,
    "created_at": "2026-11-21T09:30:00.123456Z",
    "updated_at": "2026-11-21T09:30:00.123456Z",
}
COLORLESS: Final = {
    **EXAMPLE,
    "color": None,
    "version": 9,
    "updated_at": "2026-11-22T17:05:00.654321Z",
}
"""The label of EXAMPLE after the change that LabelPatch shows."""


class Label(BaseModel):
    """A label as it is answered: every field is always present."""

    model_config = examples(EXAMPLE)

    id: Id
    user_id: Id
    name: Annotated[str, KeptLine(100)]
    color: Color | None
    version: Int64 = Field(ge=1)
    created_at: Timestamp
    updated_at: Timestamp


class LabelPage(BaseModel):
    """One page of the labels, oldest first; `next_cursor` is null on the last."""

    model_config = examples({"items": [EXAMPLE], "next_cursor": None})

    items: list[Label]
    next_cursor: str | None


class LabelCreate(Body):
    """A new label."""

    model_config = examples({"name": "Urgent", "color": "#c62828"})

    absent: ClassVar = {"color": None}

    name: Name
    color: Color | None = None


class LabelReplace(LabelCreate):
    """A whole label; a field that is left out gets its default."""


class LabelPatch(Patch, LabelCreate):
    """A JSON merge patch (RFC 7396): what is absent stays, null clears."""

    model_config = examples({"color": None})

    name: Name = ""
