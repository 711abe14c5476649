"""Tasks with the names of what they refer to, as exports of tasks alone have them."""

from typing import Final

from sqlalchemy import ARRAY, Text, and_, any_, func, select

from app.api.categories.models import Category
from app.api.labels.models import Label
from app.api.tasks.kind import TASK
from app.api.transfer.formats import rows_of
from app.db.sending import Row
from app.db.statement import Statement
from app.rows.owner import User
from app.rows.shape import USER_ID

LABELS: Final = func.array(
    select(Label.name)
    .where(Label.user_id == USER_ID, Label.id == any_(TASK.table.c.label_ids))
    .scalar_subquery(),
    type_=ARRAY(Text),
).label("labels")

above: Final = TASK.table.alias("above")
PARENT: Final = (
    select(above.c.title)
    .where(above.c.user_id == USER_ID, above.c.id == TASK.table.c.parent_id)
    .scalar_subquery()
    .label("parent")
)
ZONE: Final = select(User.time_zone).where(User.id == USER_ID).scalar_subquery().label("time_zone")

NAMED_TASKS: Final = Statement(
    rows_of(TASK)
    .add_columns(Category.name.label("category"), LABELS, PARENT, ZONE)
    .outerjoin_from(
        TASK.table,
        Category,
        and_(Category.user_id == USER_ID, Category.id == TASK.table.c.category_id),
    )
)
"""Tasks with the names of categories and labels, the titles of parents, and the account's zone."""


def names(row: Row) -> list[str]:
    """Return the names of a task's labels, in the order of their letters."""
    return sorted(row.labels, key=str.lower)
