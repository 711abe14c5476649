"""A kind of versioned row, as all that deals with every kind needs to know it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Table
from sqlalchemy.types import TypeEngine

from app.rows.shape import Element
from app.rows.versioned import VersionedTable
from app.rows.write import Acting, Representation


class KindAction(NamedTuple):
    """An action as a batch has it: its body, and the types of the parameters made of that."""

    acting: Acting
    body: type[Any]
    parameters: Callable[[Any], Mapping[str, Any]]
    types: Mapping[str, TypeEngine[Any]]


class Kind(NamedTuple):
    """One kind of row that users own; all of them are listed in app/api/kinds.py.

    `name` is the `type` of an item. `model` is what clients see, `replace` and `patch` are the
    bodies of PUT and PATCH, and `columns` turns the values of a body into those of the table.
    `blank` is what erasing leaves of each field. `references` are the fields that hold the id of
    another row, with the name of its kind. `unique` is the field, if any, that has no value twice
    among a user's live rows, whatever the letter case; its index is `uq_<table>_<field>`.
    `imported` are the fields, with their types in pydantic, that an import sets beside those of
    PUT. `actions` are what a POST to a row does, by the `op` of a batch. `deferred` are the
    constraints that a batch checks at its end, in this order; their errors have the id of the row
    as their detail.
    """

    name: str
    writes: VersionedTable
    model: type[Any]
    replace: type[Any]
    patch: type[Any]
    blank: Mapping[str, Element]
    columns: Callable[[dict[str, Any]], dict[str, Any]] = dict
    references: Mapping[str, str] = {}
    unique: str | None = None
    imported: Mapping[str, Any] = {}
    actions: Mapping[str, KindAction] = {}
    deferred: Sequence[str] = ()

    @property
    def table(self) -> Table:
        """The table of its rows."""
        return self.writes.shape.table

    @property
    def plural(self) -> str:
        """Its name where several rows are meant, which is that of the table."""
        return str(self.table.name)

    @property
    def exported(self) -> list[str]:
        """The fields in an export: all but the owner, the version, which an import counts, and
        what the database makes of the others.
        """
        left_out = {"user_id", "version"}
        return [
            name
            for name in self.writes.shape.answered
            if name not in left_out and self.table.c[name].server_onupdate is None
        ]

    @property
    def example(self) -> dict[str, Any]:
        """A row as the contract shows it."""
        example: dict[str, Any] = self.model.model_config["json_schema_extra"]["examples"][0]
        return example

    def represent(self, row: Any) -> Representation:
        """A row as clients see it."""
        return self.writes.represent(row)
