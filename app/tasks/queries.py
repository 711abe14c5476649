"""What is asked of the tasks table; each function is one statement and one flight."""

from collections.abc import Callable, Sequence
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Select,
    Text,
    Uuid,
    bindparam,
    case,
    cast,
    exists,
    func,
    literal_column,
    or_,
    select,
    tuple_,
)
from sqlalchemy.dialects.postgresql import TIMESTAMP

from app.categories.models import Category
from app.errors import CONSTRAINTS
from app.execution import Row, Statement, execute, first
from app.idempotency import Once
from app.pagination import Position
from app.problems import invalid, not_found
from app.scope import reading
from app.statements import USER_ID, Derived, Shape
from app.tasks import schemas
from app.tasks.models import DUE_OR_FIRST, DUE_OR_LAST, Task
from app.tasks.schemas import PRIORITIES, TaskFilters, columns, represent
from app.versioned import Preconditions, Representation, VersionedTable

CONSTRAINTS["ck_tasks_due"] = invalid(
    "due_date and due_at cannot both be set", "due_once", pointer="/due_at"
)

OWN_CATEGORY: Final = exists().where(
    Category.user_id == USER_ID,
    Category.id == cast(bindparam("category_id"), Uuid(as_uuid=False)),
    Category.deleted_at.is_(None),
)

TASKS: Final = VersionedTable(
    Shape(
        Task.__table__,  # type: ignore[arg-type]
        answered=tuple(schemas.Task.model_fields),
        guards={"category_id": OWN_CATEGORY},
        derived={
            "completed_at": Derived(
                "complete",
                lambda complete, previous, now: case((complete, func.coalesce(previous, now))),
            )
        },
    ),
    represent,
)

INSTANT: Final = TIMESTAMP(timezone=True)
ASCENDING: Final[dict[str, ColumnElement[Any]]] = {
    "created_at": Task.created_at.expression,
    "updated_at": Task.updated_at.expression,
    "due": literal_column(DUE_OR_LAST, INSTANT),
    "priority": Task.priority.expression,
    "title": Task.title_key.expression,
}
DESCENDING: Final = ASCENDING | {"due": literal_column(DUE_OR_FIRST, INSTANT)}

FILTERS: Final[dict[str, Callable[[ColumnElement[Any]], ColumnElement[bool]]]] = {
    "complete": lambda value: Task.complete.is_(value),
    "priority": lambda value: Task.priority == value,
    "category_id": lambda value: Task.category_id == value,
    "uncategorised": lambda _: Task.category_id.is_(None),
    "due_before": lambda value: ASCENDING["due"] < value,
    "due_after": lambda value: DESCENDING["due"] > value,
    "updated_after": lambda value: Task.updated_at > value,
    "q": lambda value: or_(Task.title.ilike(value), Task.description.ilike(value)),
}

PUBLIC: Final = [Task.__table__.c[name] for name in schemas.Task.model_fields]
LIVE: Final = select(*PUBLIC).where(Task.user_id == USER_ID, Task.deleted_at.is_(None))
GET: Final = Statement(LIVE.where(Task.id == bindparam("id")))

listings: Final[dict[object, Statement]] = {}


def list_tasks(user_id: str, filters: TaskFilters, position: Position | None) -> Sequence[Row]:
    """A page of tasks and one more row if another page follows."""
    values = filter_values(filters)
    key = (filters.sort, frozenset(values), position is None)
    if key not in listings:
        listings[key] = Statement(_listing(*key))
    after = {"after_key": position.key, "after_id": position.id} if position else {}
    return execute(
        reading(user_id), listings[key], user_id=user_id, rows=filters.limit + 1, **values, **after
    )


def get_task(user_id: str, task_id: str) -> Representation:
    """One task. Raises Problem 404."""
    row = first(execute(reading(user_id), GET, user_id=user_id, id=task_id))
    if row is None:
        raise not_found()
    return represent(row)


def create_task(
    user_id: str, task_id: str, values: dict[str, Any], once: Once | None
) -> tuple[Representation, bool]:
    """A new task, or that of an earlier request with the same key; and whether it is that."""
    return TASKS.create(user_id, task_id, columns(values), once)


def replace_task(
    user_id: str, task_id: str, values: dict[str, Any], conditions: Preconditions
) -> tuple[Representation, bool]:
    """The task with all fields written, and whether it is new."""
    return TASKS.replace(user_id, task_id, columns(values), conditions)


def update_task(
    user_id: str, task_id: str, values: dict[str, Any], conditions: Preconditions
) -> Representation:
    """The task with the given fields changed."""
    return TASKS.update(user_id, task_id, columns(values), conditions)


def delete_task(user_id: str, task_id: str, conditions: Preconditions) -> None:
    """Leave a tombstone in the task's place."""
    TASKS.delete(user_id, task_id, conditions)


def filter_values(filters: TaskFilters) -> dict[str, Any]:
    """The filters that are set, as their conditions are bound to them."""
    values = filters.model_dump(exclude={"limit", "cursor", "sort"}, exclude_none=True)
    if "priority" in values:
        values["priority"] = PRIORITIES.index(values["priority"])
    if values.get("category_id") == "none":
        values["uncategorised"] = values.pop("category_id")
    if "q" in values:
        escaped = values["q"].replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_")
        values["q"] = f"%{escaped}%"
    return values


def _listing(sort: str, names: frozenset[str], first_page: bool) -> Select[Any]:
    descending = sort.startswith("-")
    name = sort.removeprefix("-")
    key = (DESCENDING if descending else ASCENDING)[name]
    statement = LIVE.add_columns(cast(key, Text).label("sort_key")).where(
        *(FILTERS[name](bindparam(name)) for name in sorted(names))
    )
    if not first_page:
        place = tuple_(key, Task.id)
        after = tuple_(
            cast(bindparam("after_key"), key.type), cast(bindparam("after_id"), Uuid(as_uuid=False))
        )
        statement = statement.where(place < after if descending else place > after)
    order = (key.desc(), Task.id.desc()) if descending else (key, Task.id)
    return statement.order_by(*order).limit(bindparam("rows"))
