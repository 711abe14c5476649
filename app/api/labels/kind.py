"""Labels as a kind of row."""

from typing import Final

from sqlalchemy import literal, null

from app.api.labels.queries import LABELS
from app.api.labels.schemas import Label, LabelPatch, LabelReplace
from app.rows.kind import Kind

LABEL: Final = Kind(
    name="label",
    writes=LABELS,
    model=Label,
    replace=LabelReplace,
    patch=LabelPatch,
    blank={"name": literal("-"), "color": null()},
    unique="name",
)
