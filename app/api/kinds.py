"""The registry of kinds: one that is added to KINDS takes part in batch, changes, trash, purge,
export, import, quotas and the contract."""

from graphlib import TopologicalSorter
from operator import itemgetter
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Union

from pydantic import Field
from sqlalchemy import ColumnElement, cast, literal, null
from typing_extensions import TypeAliasType

from app.api.categories.kind import CATEGORY
from app.api.labels.kind import LABEL
from app.api.tasks.kind import TASK
from app.rows.kind import Kind
from app.rows.write import Representation

KINDS: Final[dict[str, Kind]] = {kind.name: kind for kind in (TASK, CATEGORY, LABEL)}
"""By the `type` of their items."""

IN_ORDER: Final = [
    KINDS[name]
    for name in TopologicalSorter(
        # Lists, as the order of a set differs between processes.
        {
            kind.name: [name for name in kind.references.values() if name != kind.name]
            for kind in KINDS.values()
        }
    ).static_order()
]
"""Kinds that others refer to first, as an export has them and an import writes them."""

TYPES: Final = {c.name: c.type for kind in KINDS.values() for c in kind.table.c}
"""The types of all columns of all kinds."""

ANSWERED: Final = dict.fromkeys(
    name for kind in KINDS.values() for name in kind.writes.shape.answered
)
"""The columns of all kinds that clients see."""

TEXTS: Final = dict.fromkeys(name for kind in KINDS.values() for name in kind.writes.texts)
"""Those of them that are texts, whose length is up to the users."""

COLUMNS: Final = {
    kind.name: itemgetter(*(list(ANSWERED).index(name) for name in kind.writes.shape.answered))
    for kind in KINDS.values()
}
"""Picks the values of one kind's columns from those of ANSWERED."""

ACTIONS: Final = {
    (op, kind.name): action for kind in KINDS.values() for op, action in kind.actions.items()
}
"""What a POST to a row does, by the operation of a batch and the kind."""


MODELS: Final[dict[frozenset[str], type[Any]]] = {}
"""What clients see of items, one model for all kinds that have the same fields."""
for each in KINDS.values():
    MODELS.setdefault(frozenset(each.model.model_fields), each.model)


def _exactly_one(schema: dict[str, Any]) -> None:
    """Say that no item is of two kinds; of `anyOf`, generators make one type with all members."""
    schema["oneOf"] = schema.pop("anyOf")


if TYPE_CHECKING:
    KindName = str
    Item = Any
else:
    KindName = TypeAliasType(
        "Kind",
        Annotated[Literal[tuple(KINDS)], Field(title="Kind", description="What an item is.")],
    )
    Item = TypeAliasType(
        "Item",
        Annotated[
            Union[tuple(MODELS.values())],  # noqa: UP007
            Field(
                title="Item",
                description="An item as it is answered; a label has the form of a category.",
                json_schema_extra=_exactly_one,
            ),
        ],
    )
"""The `type` of an item to be written, and what clients see of it, as types of pydantic models."""

AnsweredKind = Annotated[
    str, Field(description="What an item is; others may come.", examples=[*KINDS])
]
"""The `type` of an item in an answer, which is open: a release may add kinds."""


def columns_of(kind: Kind) -> list[ColumnElement[Any]]:
    """The columns of a row of this kind and its `type`; null where only another kind has one."""
    columns = kind.table.c
    own = [
        columns[name] if name in columns else cast(null(), TYPES[name]).label(name)
        for name in ANSWERED
    ]
    return [*own, literal(kind.name).label("type")]


def represent(row: Any) -> Representation:
    """A row that `columns_of` selected, as clients see it."""
    return KINDS[row.type].represent(COLUMNS[row.type](row))
