"""The statements of the table of categories; each is one round trip."""

from typing import Any, Final

from sqlalchemy import Select, exists, func, null, select, update

from app.api.categories import schemas
from app.api.categories.models import Category
from app.api.tasks.models import Task
from app.core.problem_kinds import CONFLICT
from app.core.problems import Problem
from app.rows import statements
from app.rows.listing import OldestFirst
from app.rows.shape import ID, ONE, USER_ID, Shape
from app.rows.versioned import VersionedTable
from app.web.errors import CONSTRAINTS

CONSTRAINTS["uq_categories_name"] = Problem(
    CONFLICT, "Another of your categories has this name, perhaps in other letter case."
)


def delete_and_detach(shape: Shape) -> Select[Any]:
    """Make the category a tombstone and take its tasks out of it, each with its own version."""
    before = statements.live(shape).cte("before")
    orphans = (
        select(Task.id, func.row_number().over(order_by=Task.id.desc()).label("place"))
        .where(Task.user_id == USER_ID, Task.category_id == ID)
        .cte("orphans")
    )
    count = select(func.count()).select_from(orphans).scalar_subquery()
    acceptable = exists().where(statements.is_expected(before)).select_from(before)
    bump = statements.count_change(acceptable, step=count + ONE)
    after = statements.changed_row(shape, bump, {"deleted_at": bump.c.at})
    detached = (
        update(Task)
        .where(Task.user_id == USER_ID, Task.id == orphans.c.id)
        .values(category_id=null(), version=bump.c.version - orphans.c.place, updated_at=bump.c.at)
        .returning(Task.id)
        .cte("detached")
    )
    return statements.answer([], after, shape.answered, otherwise=before).add_cte(detached)


CATEGORIES: Final = VersionedTable(
    Shape(Category.__table__, answered=[*schemas.Category.model_fields]),  # type: ignore[arg-type]
    delete=delete_and_detach,
)

OWN: Final = (Category.user_id == USER_ID, Category.deleted_at.is_(None))
LIVE: Final = select(*CATEGORIES.shape.columns).where(*OWN)
LISTING: Final = OldestFirst(LIVE, Category.created_at, Category.id)
