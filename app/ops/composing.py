"""Bringing texts that the previous release wrote to Unicode's Normalization Form C (NFC).

Works in chunks, each a short transaction behind its owner's lock. Every changed row gets a version
of its own, so that the changes feed delivers it. `users.nfc_version` is the version up to which a
user is done; another run looks only at later writes.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, Final

import orjson
from sqlalchemy import Connection

from app.core.texts import composed, trimmed
from app.db.scope import Role, Scope, reading, writing
from app.db.sending import Row
from app.db.statement import Statement
from app.ops import rewrites

Run = Callable[..., list[Row]]
"""Runs a statement with parameters in a scope, as `app.db.run.execute` does."""

PAGE: Final = 1000
CHUNK: Final = 100
"""Rows in a transaction: a fraction of a second, even if all have long descriptions."""

CHUNK_MILLISECONDS: Final = 30_000

MOST_NAMESAKES: Final = 100
"""Numbers to try for a category whose name in NFC belongs to another one."""

LONGEST: Final = {"title": 200, "description": 5000, "name": 100}

MAINTENANCE: Final = Scope(Role.MAINTENANCE)


def compose(run: Run) -> Iterator[str]:
    """Bring all texts to NFC that were written since the last run; yield lines for the operator.

    Raises what `run` raises; the chunks written until then stay written.
    """
    counts: Counter[str] = Counter()
    after = "00000000-0000-0000-0000-000000000000"
    while users := run(MAINTENANCE, rewrites.USERS, after=after, page=PAGE):
        for user in users:
            yield from _UserTexts(run, user, counts).compose()
        done = [{"id": user.id, "until": user.change_seq} for user in users]
        run(MAINTENANCE, rewrites.MARK, users=orjson.dumps(done).decode())
        after = users[-1].id
    yield from (f"{what}: {count}" for what, count in sorted(counts.items()) if count)


def through(connection: Connection) -> Run:
    """Return a function that runs statements on this connection, each in its own transaction."""

    def run(scope: Scope, statement: Statement, **parameters: object) -> list[Row]:
        raw = connection.connection
        try:
            sql = scope.prefix(CHUNK_MILLISECONDS) + statement.sql
            result = connection.exec_driver_sql(sql, statement.bind(parameters))
            rows = list(result.all()) if result.returns_rows else []
            raw.commit()
        except BaseException:
            raw.rollback()
            raise
        return rows

    return run


def numbered_names(name: str) -> list[str]:
    """Return alternatives for a name that is taken: "Café (2)", "Café (3)" and so on."""
    suffixes = (f" ({number})" for number in range(2, MOST_NAMESAKES + 2))
    return [trimmed(name[: LONGEST["name"] - len(suffix)]) + suffix for suffix in suffixes]


class _UserTexts:
    """The texts of one user, up to the version that was the latest when the run began."""

    def __init__(self, run: Run, user: Row, counts: Counter[str]) -> None:
        self.run = run
        self.user = user
        self.counts = counts

    def compose(self) -> Iterator[str]:
        self.account()
        for rows in self.chunks(rewrites.TASKS):
            self.write("tasks", rewrites.REWRITE_TASKS, rows=orjson.dumps(rows).decode())
        for rows in self.chunks(rewrites.CATEGORIES):
            yield from self.categories(rows)
        for rows in self.chunks(rewrites.TOKENS):
            for row in rows:
                self.write("tokens", rewrites.REWRITE_TOKEN, **row)

    def account(self) -> None:
        name = self.user.name
        if name is not None and (new := composed(name)) != name and self.fits({"name": new}):
            self.write("accounts", rewrites.REWRITE_ACCOUNT, name=new, before=name)

    def categories(self, rows: list[dict[str, Any]]) -> Iterator[str]:
        text = orjson.dumps(rows).decode()
        written = self.write("categories", rewrites.REWRITE_CATEGORIES, rows=text)
        done = {row.id for row in written}
        for row in rows:
            if row["id"] not in done:
                yield from self.numbered(row)

    def numbered(self, row: dict[str, Any]) -> Iterator[str]:
        names = numbered_names(row.pop("name"))
        for written in self.write("categories", rewrites.RENAME_CATEGORY, **row, names=names):
            number = written.name.rpartition(" ")[2]
            yield f"category {row['id']} of user {self.user.id}: another has its name, so {number}"

    def chunks(self, statement: Statement) -> Iterator[list[dict[str, Any]]]:
        """Yield the rows to write, with their texts in NFC."""
        bounds = {"after": -1, "until": self.user.change_seq, "chunk": CHUNK}
        while rows := self.run(reading(self.user.id), statement, user_id=self.user.id, **bounds):
            bounds["after"] = rows[-1].version
            before = [row._asdict() for row in rows]
            after = [_composed(values) for values in before]
            differing = [new for old, new in zip(before, after, strict=True) if new != old]
            if fitting := [values for values in differing if self.fits(values)]:
                yield fitting

    def fits(self, values: dict[str, Any]) -> bool:
        """Whether no text is too long in NFC; otherwise the row stays as its user wrote it."""
        fits = all(len(values.get(name) or "") <= most for name, most in LONGEST.items())
        self.counts["left as they are, too long in NFC"] += not fits
        return fits

    def write(self, what: str, statement: Statement, **parameters: object) -> list[Row]:
        """Run the statement and count the rows that it wrote."""
        written = self.run(writing(self.user.id), statement, user_id=self.user.id, **parameters)
        self.counts[f"{what} brought to NFC"] += len(written)
        return written


def _composed(values: dict[str, Any]) -> dict[str, Any]:
    texts = {name: values[name] for name in LONGEST if values.get(name) is not None}
    return values | {name: composed(text) for name, text in texts.items()}
