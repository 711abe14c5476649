"""What is asked of the categories table; each function is one statement and one flight."""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Select, exists, func, null, select, update

from app.api.categories import schemas
from app.api.categories.models import Category
from app.api.categories.schemas import represent
from app.api.tasks.models import Task
from app.core.problem_kinds import CONFLICT
from app.core.problems import Problem, not_found
from app.db.run import execute, first
from app.db.scope import reading
from app.db.sending import Row
from app.db.statement import Statement
from app.rows import statements
from app.rows.idempotency import Once
from app.rows.listing import OldestFirst, Position
from app.rows.statements import ID, USER_ID, Shape
from app.rows.versioned import Preconditions, Representation, VersionedTable
from app.web.errors import CONSTRAINTS

CONSTRAINTS["uq_categories_name"] = Problem(
    CONFLICT, "Another of your categories has this name, perhaps in other letter case."
)


def delete_and_detach(shape: Shape) -> Select[Any]:
    """Make the category a tombstone and take its tasks out of it, each with its own version."""
    before = statements.live(shape)
    orphans = (
        select(Task.id, func.row_number().over(order_by=Task.id.desc()).label("place"))
        .where(Task.user_id == USER_ID, Task.category_id == ID)
        .cte("orphans")
    )
    count = select(func.count()).select_from(orphans).scalar_subquery()
    acceptable = exists().where(statements.is_expected(before)).select_from(before)
    bump = statements.count_change(acceptable, step=count + statements.ONE)
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
    Shape(
        Category.__table__,  # type: ignore[arg-type]
        answered=tuple(schemas.Category.model_fields),
        guards={},
        derived={},
    ),
    represent,
    delete=delete_and_detach,
)

LIVE: Final = select(Category).where(Category.user_id == USER_ID, Category.deleted_at.is_(None))
GET: Final = Statement(LIVE.where(Category.id == ID))
LISTING: Final = OldestFirst(LIVE, Category.created_at, Category.id)


def list_categories(user_id: str, limit: int, position: Position | None) -> Sequence[Row]:
    """A page of categories, oldest first, and one more row if another page follows."""
    return LISTING.page(user_id, limit, position)


def get_category(user_id: str, category_id: str) -> Representation:
    """One category. Raises Problem 404."""
    row = first(execute(reading(user_id), GET, user_id=user_id, id=category_id))
    if row is None:
        raise not_found()
    return represent(row)


def create_category(
    user_id: str, category_id: str, values: dict[str, Any], once: Once | None
) -> tuple[Representation, bool]:
    """A new category, or that of an earlier request with the same key; and whether it is that."""
    return CATEGORIES.create(user_id, category_id, values, once)


def replace_category(
    user_id: str, category_id: str, values: dict[str, Any], conditions: Preconditions
) -> tuple[Representation, bool]:
    """The category with all fields written, and whether it is new."""
    return CATEGORIES.replace(user_id, category_id, values, conditions)


def update_category(
    user_id: str, category_id: str, values: dict[str, Any], conditions: Preconditions
) -> Representation:
    """The category with the given fields changed."""
    return CATEGORIES.update(user_id, category_id, values, conditions)


def delete_category(user_id: str, category_id: str, conditions: Preconditions) -> None:
    """Leave a tombstone in the category's place, and its tasks uncategorised."""
    CATEGORIES.delete(user_id, category_id, conditions)


def restore_category(
    user_id: str, category_id: str, conditions: Preconditions, once: Once | None
) -> tuple[Representation, bool]:
    """The category, live again; and whether that was answered to an earlier request."""
    return CATEGORIES.restore(user_id, category_id, conditions, once)
