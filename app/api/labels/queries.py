"""The statements of the table of labels; each is one round trip."""

from typing import Final

from sqlalchemy import func, select

from app.api.labels import schemas
from app.api.labels.models import Label
from app.api.tasks.detaching import detaching
from app.api.tasks.models import Task, TaskLabel
from app.core.problem_kinds import CONFLICT
from app.core.problems import Problem
from app.rows.listing import OldestFirst
from app.rows.shape import ID, USER_ID, Shape
from app.rows.versioned import VersionedTable
from app.web.errors import CONSTRAINTS

CONSTRAINTS["uq_labels_name"] = Problem(
    CONFLICT, "Another of your labels has this name, perhaps in other letter case."
)


LABELLED: Final = select(TaskLabel.task_id).where(
    TaskLabel.user_id == USER_ID, TaskLabel.label_id == ID
)

LABELS: Final = VersionedTable(
    Shape(Label.__table__, answered=[*schemas.Label.model_fields]),  # type: ignore[arg-type]
    delete=detaching(Task.id.in_(LABELLED), {"label_ids": func.array_remove(Task.label_ids, ID)}),
)

OWN: Final = (Label.user_id == USER_ID, Label.deleted_at.is_(None))
LIVE: Final = select(*LABELS.shape.columns).where(*OWN)
LISTING: Final = OldestFirst(LIVE, Label.created_at, Label.id)
