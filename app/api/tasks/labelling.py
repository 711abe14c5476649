"""Adding one label to a task and taking one away, whatever others do to its labels meanwhile."""

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import ARRAY, Uuid, any_, bindparam, cast, exists, func, or_, select

from app.api.labels.models import Label
from app.api.tasks.schemas import MOST_LABELS
from app.core.problems import invalid, not_found
from app.db.sending import Row
from app.rows.actions import Action
from app.rows.quotas import ELEMENT_SIZE, Growth, NoRoom
from app.rows.shape import Element, Shape, is_own
from app.rows.statements import whole

LABEL_ID: Final[Element] = cast(bindparam("label_id"), Uuid(as_uuid=False))


def adding(shape: Shape) -> Action:
    """Add a live label of the user's, unless the task has it."""
    before = whole(shape).cte("before")
    has = any_(before.c.label_ids) == LABEL_ID
    with_it = func.array_append(before.c.label_ids, LABEL_ID)
    each = select(func.unnest(with_it).label("id")).subquery()
    own = exists().where(is_own(Label.__table__, LABEL_ID))
    room = exists().where(or_(has, func.cardinality(before.c.label_ids) < MOST_LABELS))
    added = func.array(
        select(each.c.id).order_by(each.c.id).scalar_subquery(), type_=ARRAY(Uuid(as_uuid=False))
    )
    return Action(
        shape,
        before,
        differs=~has & own & (func.cardinality(before.c.label_ids) < MOST_LABELS),
        values=lambda _: {"label_ids": added},
        growth=Growth(None, ELEMENT_SIZE),
        guards=[("is_own", own), ("has_room", room)],
    )


def taking_away(shape: Shape) -> Action:
    """Take a label away, unless the task does not have it."""
    labels, before = shape.table.c.label_ids, whole(shape).cte("before")
    return Action(
        shape,
        before,
        differs=any_(before.c.label_ids) == LABEL_ID,
        values=lambda _: {"label_ids": func.array_remove(labels, LABEL_ID)},
        growth=Growth(None, -ELEMENT_SIZE),
    )


def require_label(row: Row, parameters: Mapping[str, Any]) -> None:
    """Raise Problem 404 for a label that is not there, 422 if the task has as many as it may.

    Raises NoRoom if the label could be added but for the user's quota.
    """
    if not row.is_own:
        raise not_found()
    if not row.has_room:
        raise invalid(f"would be more than {MOST_LABELS}", "too_long", parameter="label_id")
    if parameters["label_id"] not in row.label_ids:
        raise NoRoom(rows=0)
