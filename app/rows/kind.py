"""A kind of versioned row, as batch, changes, trash, purge and the contract need to know it."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from sqlalchemy import Table

from app.rows.shape import Element
from app.rows.versioned import Representation, VersionedTable


class Kind(NamedTuple):
    """One kind of row that users own; all of them are listed in app/api/kinds.py.

    `name` is the `type` of an item. `model` is what clients see, `replace` and `patch` are the
    bodies of PUT and PATCH, and `columns` turns the values of a body into those of the table.
    `blank` is what erasing leaves of each field.
    """

    name: str
    writes: VersionedTable
    model: type[Any]
    replace: type[Any]
    patch: type[Any]
    blank: Mapping[str, Element]
    columns: Callable[[dict[str, Any]], dict[str, Any]] = dict

    @property
    def table(self) -> Table:
        """The table of its rows."""
        return self.writes.shape.table

    def represent(self, row: Any) -> Representation:
        """A row as clients see it."""
        return self.writes.represent(row)
