"""Categories as a kind of row."""

from typing import Final

from sqlalchemy import literal, null

from app.api.categories.queries import CATEGORIES
from app.api.categories.schemas import Category, CategoryPatch, CategoryReplace
from app.rows.kind import Kind

CATEGORY: Final = Kind(
    name="category",
    writes=CATEGORIES,
    model=Category,
    replace=CategoryReplace,
    patch=CategoryPatch,
    blank={"name": literal("-"), "color": null()},
    unique="name",
)
