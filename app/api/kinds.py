"""Tasks and categories side by side: rows of both, each with the columns of either."""

from collections.abc import Callable
from operator import itemgetter
from typing import Annotated, Any, Final, Literal

from pydantic import Field
from sqlalchemy import ColumnElement, Table, cast, literal, null
from typing_extensions import TypeAliasType

from app.api.categories import schemas as categories
from app.api.categories.models import Category
from app.api.tasks import schemas as tasks
from app.api.tasks.models import Task

Kind = TypeAliasType(
    "Kind",
    Annotated[Literal["task", "category"], Field(title="Kind", description="What an item is.")],
)

TABLES: Final[dict[str, Table]] = {
    "task": Task.__table__,  # type: ignore[dict-item]
    "category": Category.__table__,  # type: ignore[dict-item]
}
TYPES: Final = {column.name: column.type for table in TABLES.values() for column in table.c}
NAMES: Final = (*tasks.FIELDS, "name", "color")

CATEGORY: Final = itemgetter(*map(NAMES.index, categories.FIELDS))
"""The fields of a category among the columns of either kind."""

REPRESENT: Final[dict[str, Callable[[Any], dict[str, Any]]]] = {
    "task": tasks.represent,
    "category": lambda row: categories.represent(CATEGORY(row)),
}
"""What clients see of a row whose `type` this is."""


def columns_of(kind: str) -> list[ColumnElement[Any]]:
    """The columns of a row of this kind and its `type`; null where only the other has one."""
    table = TABLES[kind]
    own = [
        table.c[name] if name in table.c else cast(null(), TYPES[name]).label(name)
        for name in NAMES
    ]
    return [*own, literal(kind).label("type")]
