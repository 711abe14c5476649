"""Queries of the tasks table; each function is one statement and one round trip."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, Final

from psycopg2.errors import LockNotAvailable, QueryCanceled
from sqlalchemy import ARRAY, Uuid, bindparam, case, cast, exists, func, select

from app.api.categories.models import Category
from app.api.labels.models import Label
from app.api.tasks import labelling, order, reminding, repeating, subtrees
from app.api.tasks.by_due import place_of, position_after
from app.api.tasks.days import UNKNOWN_ZONE
from app.api.tasks.filters import TaskFilters
from app.api.tasks.listings import listing
from app.api.tasks.models import Task
from app.api.tasks.schemas import (
    FIELDS,
    NEEDS_DUE,
    PRIORITIES,
    REMINDERS_NEED_DUE,
    represent,
)
from app.core import deadline
from app.core.places import SEARCHES, refusal
from app.core.problem_kinds import SEARCH_TOO_SLOW
from app.core.problems import Problem, invalid, not_found
from app.db.run import execute
from app.db.scope import reading, searching
from app.db.sending import Row
from app.db.statement import Statement
from app.rows import statements
from app.rows.idempotency import Once
from app.rows.listing import Position
from app.rows.shape import Derived, Preconditions, Shape, instants_of, is_own, read_instants
from app.rows.versioned import Builder, VersionedTable
from app.rows.write import Acting, send
from app.web.cursors import after
from app.web.errors import CONSTRAINTS, RAISED

CONSTRAINTS["ck_tasks_due"] = invalid(
    "due_date and due_at cannot both be set", "due_once", pointer="/due_at"
)

CONSTRAINTS["fk_tasks_parents"] = invalid(
    "does not name one of your resources", "unknown_reference", pointer="/parent_id"
)
CONSTRAINTS["ck_tasks_cycle"] = invalid("is below the task itself", "cycle", pointer="/parent_id")
CONSTRAINTS["ck_tasks_depth"] = invalid(
    "would make more than five levels", "too_deep", pointer="/parent_id"
)

CONSTRAINTS["ck_tasks_due_required"] = invalid(NEEDS_DUE, "due_required", pointer="/recurrence")
CONSTRAINTS["ck_tasks_recurrence_rule"] = invalid(
    "has no occurrence within a hundred years", "rule", pointer="/recurrence/rule"
)
CONSTRAINTS["ck_tasks_recurrence_age"] = invalid(
    "must be at most a hundred years before the task is due",
    "local_time",
    pointer="/recurrence/start",
)
CONSTRAINTS["ck_tasks_recurrence_start"] = invalid(
    "must be a day for a task with due_date, and a time for one with due_at",
    "local_time",
    pointer="/recurrence/start",
)

CONSTRAINTS["ck_tasks_reminders_due"] = invalid(
    REMINDERS_NEED_DUE, "due_required", pointer="/reminders"
)

RAISED[UNKNOWN_ZONE] = invalid("is not known to the database", "time_zone", parameter="time_zone")

PARENT: Final = Task.__table__.alias("parent")

INSTANTS: Final = instants_of({column.name: column.type for column in Task.__table__.c})

OWN_CATEGORY: Final = exists().where(
    is_own(Category.__table__, cast(bindparam("category_id"), Uuid(as_uuid=False)))
)

WANTED: Final = (
    select(func.unnest(cast(bindparam("label_ids"), ARRAY(Uuid(as_uuid=False)))).label("id"))
).subquery("wanted")
OWN_LABELS: Final = ~exists(
    select(WANTED.c.id).where(~exists().where(is_own(Label.__table__, WANTED.c.id)))
)

PARENTS_CATEGORY: Final = (
    select(PARENT.c.category_id)
    .where(is_own(PARENT, cast(bindparam("parent_id"), Uuid(as_uuid=False))))
    .scalar_subquery()
)


def changing(values: Mapping[str, Any]) -> list[Builder]:
    """What changes a task: of one that is completed first what does for most, which do not repeat,
    as the other takes longer to plan. A change of how it repeats does not let it go on.
    """
    if values.get("complete") is True and "recurrence" not in values:
        return [repeating.change_plainly, repeating.change]
    return [statements.change]


def list_occurrences(user_id: str, task_id: str, limit: int) -> list[dict[str, Any]]:
    """Return the next occurrences of a task, none if it does not repeat. Raises Problem 404."""
    rows = execute(reading(user_id), OCCURRENCES, user_id=user_id, id=task_id, many=limit)
    if not rows:
        raise not_found()
    return [row._asdict() for row in rows if row.occurrence is not None]


def complete_task(
    acting: Acting,
    user_id: str,
    task_id: str,
    conditions: Preconditions,
    once: Once | None,
    **parameters: object,
) -> tuple[dict[str, Any], bool]:
    """Complete a task or let it go on: the task and its completed copy, and whether that is an
    answer that was given before. Raises NoRoom, Problem 404, 409, 410, 412, 422.
    """
    write = TASKS.action(acting, user_id, task_id, conditions, keyed=once is not None, **parameters)

    def outcome(row: Row) -> tuple[dict[str, Any], bool]:
        task, replayed = write.outcome(row)
        if copied := row.copied:
            read_instants(copied, INSTANTS)
            copied = represent([copied[name] for name in FIELDS])
        return {"task": task, "completed": copied}, replayed

    return send(user_id, write._replace(outcome=outcome), once)


TASKS: Final = VersionedTable(
    Shape(
        Task.__table__,  # type: ignore[arg-type]
        answered=FIELDS,
        guards={"category_id": OWN_CATEGORY, "label_ids": OWN_LABELS},
        derived={
            "completed_at": Derived(
                "complete",
                lambda complete, previous, now: case((complete, func.coalesce(previous, now))),
            )
        },
        made={"position": order.at_end},
        inherited={"category_id": PARENTS_CATEGORY},
        own=("series_id",),
    ),
    represent,
    delete=subtrees.delete,
    restore=subtrees.restoring,
    changing=changing,
)

ADDING: Final = Acting.of(labelling.adding(TASKS.shape), labelling.require_label)
TAKING_AWAY: Final = Acting.of(labelling.taking_away(TASKS.shape))
OCCURRENCES: Final = Statement(repeating.occurrences())
GOING_ON: Final = Acting.of(repeating.going_on(TASKS.shape), repeating.require_asked)
SNOOZING: Final = Acting.of(reminding.snoozing(TASKS.shape))
MOVING: Final = Acting.of(order.moving(TASKS.shape), order.require_place)

NO_FILTERS: Final = frozenset({"limit", "cursor", "sort"})

SEARCHING: Final = "Another search of this user is still under way."

KEPT_LISTINGS: Final = 96
"""Cached statements of listings. Thousands of shapes are possible; clients use a few."""


def list_tasks(user_id: str, filters: TaskFilters, position: Position | None) -> Sequence[Row]:
    """Return a page of tasks, and one more row if another page follows."""
    values = filter_values(filters)
    names = frozenset(values)
    passed = False
    if position and filters.by_due:
        place = place_of(position, descending=filters.descending)
        passed = bool(place.no_due)
        values |= {f"after_{name}": value for name, value in place._asdict().items()}
    elif position:
        values |= {"after_key": position.key, "after_id": position.id}
    page = page_of(filters.sort, names, first_page=position is None, dues_passed=passed)
    values |= {"user_id": user_id, "rows": filters.limit + 1}
    if filters.q is None:
        return execute(reading(user_id), page, **values)
    return _search(user_id, page, values)


def _search(user_id: str, statement: Statement, values: dict[str, Any]) -> Sequence[Row]:
    """Run a search. Raises Problem 422 if it takes too long, 429 while another one runs."""
    try:
        with SEARCHES.turn(user_id, SEARCHING):
            return execute(searching(user_id), statement, **values)
    except LockNotAvailable:
        raise refusal(SEARCHING) from None
    except QueryCanceled:
        if deadline.left() <= 0:  # the request had too little time left for any search
            raise
        errors = [{"parameter": "q", "code": "too_slow", "detail": "takes too long to look for"}]
        raise Problem(SEARCH_TOO_SLOW, errors=errors) from None


def next_position(filters: TaskFilters, position: Position | None, rows: Sequence[Row]) -> Position:
    """Return where the next page begins, after these rows of the page at `position`."""
    if filters.by_due:
        return position_after(rows, place_of(position, descending=filters.descending))
    return after(rows)


@lru_cache(maxsize=KEPT_LISTINGS)
def page_of(sort: str, names: frozenset[str], *, first_page: bool, dues_passed: bool) -> Statement:
    """Return the statement for a page in this order with these filters."""
    return Statement(listing(sort, names, first_page=first_page, dues_passed=dues_passed))


def filter_values(filters: TaskFilters) -> dict[str, Any]:
    """Return the filters that are set, as the parameters of their conditions."""
    values = {k: v for k, v in filters if k not in NO_FILTERS and v is not None}
    if "priority" in values:
        values["priority"] = PRIORITIES.index(values["priority"])
    if values.get("category_id") == "none":
        values["uncategorised"] = values.pop("category_id")
    if values.get("parent_id") == "none":
        values["top_level"] = values.pop("parent_id")
    if values.get("label_id") == ["none"]:
        values["unlabelled"] = values.pop("label_id")
    for name in ("due_before", "due_after"):
        if name in values and not isinstance(values[name], datetime):
            values[f"{name}_day"] = values.pop(name)
    return values
