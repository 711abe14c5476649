"""The statements of an export, each with a stable order."""

from typing import Final

from sqlalchemy import and_, select

from app.api.categories.models import Category
from app.api.tasks.models import Task
from app.api.transfer.schemas import CATEGORY_FIELDS, TASK_FIELDS
from app.db.statement import Statement
from app.rows.owner import User
from app.rows.shape import USER_ID

ACCOUNT: Final = Statement(select(User.email, User.name, User.time_zone).where(User.id == USER_ID))

CATEGORIES: Final = Statement(
    select(*(Category.__table__.c[name] for name in CATEGORY_FIELDS))
    .where(Category.user_id == USER_ID, Category.deleted_at.is_(None))
    .order_by(Category.id)
)

TASKS_ALONE: Final = (
    select(*(Task.__table__.c[name] for name in TASK_FIELDS))
    .where(Task.user_id == USER_ID, Task.deleted_at.is_(None))
    .order_by(Task.id)
)
TASKS: Final = Statement(TASKS_ALONE)

NAMED_TASKS: Final = Statement(
    TASKS_ALONE.add_columns(Category.name.label("category")).outerjoin_from(
        Task, Category, and_(Category.user_id == USER_ID, Category.id == Task.category_id)
    )
)
"""Tasks with the names of their categories."""
