"""What the lines of a dry run would have changed so far, kept on disk."""

import sqlite3
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from datetime import date
from typing import Any, Final

import orjson
from sqlalchemy import Date

from app.core.problem_kinds import OVERLOADED
from app.core.problems import Problem
from app.rows.kind import Kind
from app.rows.shape import instants_of, read_instants

Values = dict[str, Any]

TABLE: Final = """
create table changes (
    kind text, id text, parent text, key text, data text, primary key (kind, id)
) without rowid;
create index by_parent on changes (kind, parent) where parent is not null;
create index by_key on changes (kind, key) where key is not null;
"""

PUT: Final = "insert or replace into changes values (?, ?, ?, ?, ?)"
AMONG: Final = "from changes where kind = ? and {} in (select value from json_each(?))"


class Changes:
    """The rows that lines have created or changed, as they would be then.

    Kept in a temporary database of SQLite, which holds no more than its cache in memory and is gone
    once it is closed: a file may have more rows than fit.
    """

    def __init__(self) -> None:
        self.database = sqlite3.connect("")
        self.database.executescript(f"pragma journal_mode = off; {TABLE}")

    def close(self) -> None:
        """Forget everything."""
        self.database.close()

    def put(self, kind: Kind, rows: Iterable[tuple[Values, str | None]]) -> None:
        """Keep rows, each with the key of its name if it has one. Raises Problem 503."""
        kept = (
            (kind.name, row["id"], row.get("parent_id"), key, orjson.dumps(row).decode())
            for row, key in rows
        )
        with _room():
            self.database.executemany(PUT, kept)

    def rows(self, kind: Kind, ids: Collection[str]) -> dict[str, tuple[Values, str | None]]:
        """Return those of these rows that were changed, with the keys of their names."""
        found = self._among(kind, "id, key, data", "id", ids)
        return {row_id: (_restored(kind, orjson.loads(data)), key) for row_id, key, data in found}

    def keys(self, kind: Kind, ids: Collection[str]) -> dict[str, str | None]:
        """Return the keys of the names of those of these rows that were changed."""
        return dict(self._among(kind, "id, key", "id", ids))

    def holders(self, kind: Kind, keys: Collection[str]) -> dict[str, str]:
        """Return the changed rows that have these names, by key."""
        return dict(self._among(kind, "key, id", "key", keys))

    def parents(self, kind: Kind, ids: Collection[str]) -> dict[str, str | None]:
        """Return the parents of those of these rows that were changed."""
        return dict(self._among(kind, "id, parent", "id", ids))

    def children(self, kind: Kind, ids: Collection[str]) -> list[tuple[str, str]]:
        """Return the changed rows that have these parents, each with its parent."""
        return self._among(kind, "id, parent", "parent", ids)

    def _among(self, kind: Kind, columns: str, field: str, values: Collection[str]) -> list[Any]:
        sql = f"select {columns} {AMONG.format(field)}"
        with _room():
            return self.database.execute(sql, (kind.name, orjson.dumps([*values]))).fetchall()


@contextmanager
def _room() -> Iterator[None]:
    """Raise Problem 503 if there is no space on the disk."""
    try:
        yield
    except sqlite3.OperationalError as error:
        raise Problem(OVERLOADED, "There is no room for the dry run.") from error


def _restored(kind: Kind, row: Values) -> Values:
    """Make times and days of their texts again."""
    columns = kind.table.c
    read_instants(row, instants_of({name: columns[name].type for name in row}))
    for name, value in row.items():
        if value is not None and isinstance(columns[name].type, Date):
            row[name] = date.fromisoformat(value)
    return row
