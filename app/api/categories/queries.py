"""Queries of the categories table; each function is one statement and one round trip."""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Select, exists, func, null, select, update

from app.api.categories.models import Category
from app.api.categories.schemas import FIELDS, represent
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
from app.rows.preconditions import Preconditions
from app.rows.shape import ID, ONE, USER_ID, Shape
from app.rows.versioned import Representation, VersionedTable
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
    Shape(
        Category.__table__,  # type: ignore[arg-type]
        answered=FIELDS,
        guards={},
        derived={},
    ),
    represent,
    delete=delete_and_detach,
)

PUBLIC: Final = [Category.__table__.c[name] for name in FIELDS]
LIVE: Final = select(*PUBLIC).where(Category.user_id == USER_ID, Category.deleted_at.is_(None))
GET: Final = Statement(LIVE.where(Category.id == ID))
LISTING: Final = OldestFirst(LIVE, Category.created_at, Category.id)


def list_categories(user_id: str, limit: int, position: Position | None) -> Sequence[Row]:
    """Return a page of categories, oldest first, and one more row if another page follows."""
    return LISTING.page(user_id, limit, position)


def get_category(user_id: str, category_id: str) -> Representation:
    """Return one category. Raises Problem 404."""
    row = first(execute(reading(user_id), GET, user_id=user_id, id=category_id))
    if row is None:
        raise not_found()
    return represent(row)


def create_category(
    user_id: str, category_id: str, values: dict[str, Any], once: Once | None
) -> tuple[Representation, bool]:
    """Create a category; return it, or an earlier one of the same key, and whether it is that."""
    return CATEGORIES.create(user_id, category_id, values, once)


def replace_category(
    user_id: str, category_id: str, values: dict[str, Any], conditions: Preconditions
) -> tuple[Representation, bool]:
    """Write all fields; return the category and whether it is new."""
    return CATEGORIES.replace(user_id, category_id, values, conditions)


def update_category(
    user_id: str, category_id: str, values: dict[str, Any], conditions: Preconditions
) -> Representation:
    """Change the given fields and return the category."""
    return CATEGORIES.update(user_id, category_id, values, conditions)


def delete_category(user_id: str, category_id: str, conditions: Preconditions) -> None:
    """Make the category a tombstone, and its tasks uncategorised."""
    CATEGORIES.delete(user_id, category_id, conditions)


def restore_category(
    user_id: str, category_id: str, conditions: Preconditions, once: Once | None
) -> tuple[Representation, bool]:
    """Restore the category; return it and whether it is an earlier answer of the same key."""
    return CATEGORIES.restore(user_id, category_id, conditions, once)
