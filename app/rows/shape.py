"""The shape of a table of versioned rows: what its statements are built of and bound to."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    FromClause,
    Table,
    and_,
    bindparam,
    cast,
    func,
    literal_column,
)
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP
from sqlalchemy.types import TypeEngine

Element = ColumnElement[Any]

USER_ID: Element = bindparam("user_id")
ID: Element = bindparam("id")
VERSIONS: Element = bindparam("versions")
OTHER_THAN: Element = bindparam("other_than")
ONE: Element = literal_column("1", BigInteger)


def instants_of(types: Mapping[str, TypeEngine[Any]]) -> frozenset[str]:
    """The names of those columns that are times, or arrays of times."""
    return frozenset(
        name
        for name, type_ in types.items()
        if isinstance(type_.item_type if isinstance(type_, ARRAY) else type_, TIMESTAMP)
    )


def read_instants(row: dict[str, Any], names: frozenset[str]) -> None:
    """Make times of their texts, in a row as PostgreSQL writes it in JSON."""
    for name in names & row.keys():
        value = row[name]
        if isinstance(value, list):
            row[name] = [datetime.fromisoformat(each) for each in value]
        elif value is not None:
            row[name] = datetime.fromisoformat(value)


def is_own(table: FromClause, row_id: Element) -> Element:
    """Whether a row is the user's live one of this id."""
    return and_(table.c.user_id == USER_ID, table.c.id == row_id, table.c.deleted_at.is_(None))


class Preconditions(NamedTuple):
    """What a client asks of a resource before it is written (RFC 9110, section 13.1).

    `versions` are those that If-Match admits, None for any; `other_than` are those that
    If-None-Match excludes. The fields are what `statements.is_expected` is bound to.
    """

    versions: list[int] | None = None
    must_exist: bool = False
    must_be_new: bool = False
    other_than: list[int] | None = None

    def admit(self, version: int) -> bool:
        """Whether a resource that stands at this version may be written."""
        expected = self.versions is None or version in self.versions
        return expected and version not in (self.other_than or ())


class Derived(NamedTuple):
    """A column that is computed from a field: `value(field, previous value, now)`."""

    field: str
    value: Callable[[Element, Element, Element], Element]


class Shape(NamedTuple):
    """What the statements of one table have in common.

    `answered` are the columns that clients see. A guard is a condition on a field's new
    value, unless that is null, without which nothing is written. `made` are fields that are never
    null: where a client gives none, a row keeps its own, and new rows get the elements of
    `made(now, number of rows)`, an array. `inherited` are the values of fields that are left out
    of a row that is written whole. `own` are fields that clients do not write and a new row does
    not have, also one under the id of a tombstone.
    """

    table: Table
    answered: Sequence[str]
    guards: Mapping[str, Element] = {}
    derived: Mapping[str, Derived] = {}
    made: Mapping[str, Callable[[Element, Element], Element]] = {}
    inherited: Mapping[str, Element] = {}
    own: Sequence[str] = ()

    def given(self, name: str) -> Element:
        """The value that a client gives for a field; an array, which may be empty, as its type."""
        column = self.table.c[name]
        bound: Element = bindparam(name)
        return cast(bound, column.type) if isinstance(column.type, ARRAY | JSONB) else bound

    def settled(self, name: str, given: Element, before: Element) -> Element:
        """What a field becomes that is given so: what is left out of an object stays as it is, and
        so does a field that is never null.
        """
        if isinstance(self.table.c[name].type, JSONB):
            return func.coalesce(before.op("||")(func.jsonb_strip_nulls(given)), given)
        return func.coalesce(given, before) if name in self.made else given

    @property
    def columns(self) -> list[Element]:
        """The columns that clients see."""
        return [self.table.c[name] for name in self.answered]

    def represent(self, row: Sequence[Any]) -> dict[str, Any]:
        """A row as clients see it, where they see its columns as they are stored."""
        return dict(zip(self.answered, row, strict=False))

    def guards_of(self, fields: Sequence[str]) -> list[tuple[str, Element]]:
        """The guards of the fields that are written."""
        return [(f"{name}_allowed", self.guards[name]) for name in fields if name in self.guards]

    def make(self, name: str, given: Element, now: Element) -> Element:
        """The value of a field in one new row: what is given, or is made where nothing is."""
        if name in self.made:
            return func.coalesce(given, self.made[name](now, ONE)[ONE])
        return given

    def derive(
        self, fields: Sequence[str], value: Callable[[str], Element], previous: Any, now: Element
    ) -> dict[str, Element]:
        """The values of columns that are computed from these fields."""
        return {
            name: rule.value(value(rule.field), previous(name), now)
            for name, rule in self.derived.items()
            if rule.field in fields
        }
