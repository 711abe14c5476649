"""Statements whose parts run one by one, each seeing what those before it have written.

A sharded PostgreSQL runs a statement with common table expressions like this: each is a step of its
own, in the order of the text, and its rows are kept for those that name it.
"""

import re
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any

import psycopg2.extensions
from apiflask import APIFlask
from psycopg2.extras import Json

from tests.conftest import cursors

HEAD = re.compile(
    r"\s*(?P<name>\w+)(?:\([^)]*\))? AS (?:(?:NOT )?MATERIALIZED )?\s*\(", re.IGNORECASE
)


def parts(statement: str) -> Iterator[tuple[str, str]]:
    """Name and text of each common table expression, and last of the statement itself, unnamed."""
    rest = statement
    if not rest.startswith("WITH "):
        yield "", rest
        return
    rest = rest.removeprefix("WITH ")
    while head := HEAD.match(rest):
        end = closing(rest, head.end())
        yield head["name"], rest[head.end() : end]
        rest = rest[end + 1 :]
        if not rest.startswith(","):
            break
        rest = rest[1:]
    yield "", rest


def closing(text: str, start: int) -> int:
    """Where the parenthesis ends that was opened just before `start`."""
    depth, quoted = 1, False
    for at in range(start, len(text)):
        quoted ^= text[at] == "'"
        depth += 0 if quoted else {"(": 1, ")": -1}.get(text[at], 0)
        if not depth:
            return at
    raise ValueError("a parenthesis stays open")


def in_parts(application: APIFlask, ran: list[str]) -> AbstractContextManager[None]:
    """While entered, this application's statements run in parts, whose names are noted."""

    class Cursor(psycopg2.extensions.cursor):
        def execute(self, query: Any, parameters: Any = None) -> Any:
            text = query if isinstance(query, str) else query.decode()
            prefix, with_, statement = text.partition("WITH ")
            if not with_ or not prefix.startswith("set local"):
                return super().execute(query, parameters)
            super().execute("begin")
            try:
                super().execute(prefix)
                for name, part in parts(with_ + statement):
                    super().execute(part, parameters)
                    if name:
                        ran.append(name)
                        self.keep(name)
            except BaseException:
                self.besides("rollback")
                raise
            self.besides("commit")
            return None

        def keep(self, name: str) -> None:
            """Have the rows of the part under its name until the transaction ends."""
            if self.description is None:
                return
            rows = self.fetchall()
            named = {column.name: column.type_code for column in self.description}
            super().execute(
                "select array(select format_type(o, null) from unnest(%s::oid[]) with ordinality"
                " as t (o, n) order by n)",
                ([25 if code == 705 else code for code in named.values()],),
            )
            [(types,)] = self.fetchall()
            columns = [f'"{column}" {kind}' for column, kind in zip(named, types, strict=True)]
            super().execute(f'create temp table "{name}" ({", ".join(columns)}) on commit drop')
            for row in rows:
                values = [Json(value) if isinstance(value, dict) else value for value in row]
                places = ", ".join(f"%s::{kind}" for kind in types)
                super().execute(f'insert into "{name}" values ({places})', values)

        def besides(self, statement: str) -> None:
            plain = psycopg2.extensions.cursor
            with self.connection.cursor(cursor_factory=plain) as other:
                other.execute(statement)

    return cursors(application, Cursor)
