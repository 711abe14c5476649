"""A statement, compiled once to the text that every request sends."""

from collections.abc import Mapping
from typing import Any, Final

import psycopg2
import psycopg2.extensions
from psycopg2.extras import Json
from sqlalchemy import ClauseElement, Dialect
from sqlalchemy.dialects.postgresql.psycopg2 import dialect as psycopg2_dialect

from app.db.nodes import Nodes

# Objects are sent as JSON; lists are arrays.
psycopg2.extensions.register_adapter(dict, Json)

DIALECT: Final[Dialect] = psycopg2_dialect(paramstyle="pyformat", dbapi=psycopg2)  # type: ignore[no-untyped-call]


class Statement:
    """The SQL text of a Core statement with named parameters, and the values of its literals.

    SQLAlchemy would otherwise build and look up the statement at each request, which takes longer
    than running it. Only the text is kept: the objects take ten times as much memory.
    """

    def __init__(self, statement: ClauseElement) -> None:
        compiled = statement.compile(dialect=DIALECT)
        self.sql: Final[str] = compiled.string
        self._constants: Final = {k: v for k, v in compiled.params.items() if v is not None}
        self._written: tuple[Nodes, str] | None = None

    def text(self, nodes: Nodes) -> str:
        """The SQL text as such a database takes it, kept as long as the statement."""
        kept = self._written
        if kept is None or kept[0] is not nodes:
            kept = self._written = (nodes, nodes.written(self.sql))
        return kept[1]

    def bind(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """The parameters to send: these, and the values of the statement's literals."""
        return {**self._constants, **parameters}
