"""When tasks remind their users: a snooze, and a change of the account's time zone.

The trigger `settle_reminders` (migration 0015) computes the instants of each task that is written.
"""

from typing import Any, Final

from sqlalchemy import CTE, Select, bindparam, cast, exists, func, select, union_all, update
from sqlalchemy.dialects.postgresql import TIMESTAMP

from app.api.tasks.models import Task
from app.rows import statements
from app.rows.actions import Action
from app.rows.owner import User
from app.rows.shape import USER_ID, Element, Shape

CHUNK: Final = 1000
"""How many tasks one statement brings to another time zone: other writes of the user wait for as
long."""

UNTIL: Final[Element] = cast(bindparam("snoozed_until"), TIMESTAMP(timezone=True))


def snoozing(shape: Shape) -> Action:
    """Let an open task remind its user at an instant, and not before."""
    before = statements.whole(shape).cte("before")
    return Action(
        shape,
        before,
        differs=~before.c.complete & before.c.snoozed_until.is_distinct_from(UNTIL),
        values=lambda _: {"snoozed_until": UNTIL},
    )


def behind(zone: Element) -> CTE:
    """Some of the user's tasks whose local reminders are in another zone than the account's, each
    with its `place`."""
    others = (Task.reminders_zone < zone, Task.reminders_zone > zone)
    both = (select(Task.id).where(Task.user_id == USER_ID, each).limit(CHUNK) for each in others)
    found = union_all(*(each.subquery().select() for each in both)).limit(CHUNK).subquery()
    place = func.row_number().over(order_by=found.c.id).label("place")
    return select(found.c.id, place).cte("behind")


def size_of(tasks: CTE) -> Element:
    """How many they are."""
    return select(func.count()).select_from(tasks).scalar_subquery()


def moved(tasks: CTE, version: Element, at: Element) -> CTE:
    """Write these tasks, so that their instants are computed anew, with versions behind this one.

    The trigger reads the zone in the owner's row, as the statement has written it before.
    """
    return (
        update(Task)
        .where(Task.user_id == USER_ID, Task.id == tasks.c.id)
        .values(reminders=Task.reminders, version=version + tasks.c.place, updated_at=at)
        .returning(Task.id)
        .cte("moved")
    )


def following() -> Select[Any]:
    """Bring tasks to the account's time zone; answers how many they were, and the zone."""
    zone = select(User.time_zone).where(User.id == USER_ID).scalar_subquery()
    tasks = behind(zone)
    count = size_of(tasks)
    bump = statements.count_change(exists().select_from(tasks), step=count)
    return select(count.label("behind"), zone.label("time_zone")).add_cte(
        moved(tasks, bump.c.version - count, bump.c.at)
    )
