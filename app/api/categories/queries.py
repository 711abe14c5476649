"""The statements of the table of categories; each is one round trip."""

from typing import Final

from sqlalchemy import null, select

from app.api.categories import schemas
from app.api.categories.models import Category
from app.api.tasks.detaching import detaching
from app.api.tasks.models import Task
from app.core.problem_kinds import CONFLICT
from app.core.problems import Problem
from app.rows.listing import OldestFirst
from app.rows.shape import ID, USER_ID, Shape
from app.rows.versioned import VersionedTable
from app.web.errors import CONSTRAINTS

CONSTRAINTS["uq_categories_name"] = Problem(
    CONFLICT, "Another of your categories has this name, perhaps in other letter case."
)


CATEGORIES: Final = VersionedTable(
    Shape(Category.__table__, answered=[*schemas.Category.model_fields]),  # type: ignore[arg-type]
    delete=detaching(Task.category_id == ID, {"category_id": null()}),
)

OWN: Final = (Category.user_id == USER_ID, Category.deleted_at.is_(None))
LIVE: Final = select(*CATEGORIES.shape.columns).where(*OWN)
LISTING: Final = OldestFirst(LIVE, Category.created_at, Category.id)
