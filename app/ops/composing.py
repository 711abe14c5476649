"""Texts that the release before wrote, brought to NFC.

In chunks, each one transaction under its owner's lock, so that nobody waits for long. Each row that
changes gets a version of its own, so that clients that keep a copy learn of it. A user's
`nfc_version` is up to where that is done: doing it again looks at what was written since.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import orjson
from sqlalchemy import Connection, text

from app.core.texts import composed, trimmed
from app.db.scope import Role, Scope, reading, writing
from app.db.sending import Row
from app.db.statement import Statement

Run = Callable[..., list[Row]]
"""What runs a statement in a scope, as `execution.execute` does."""

PAGE: Final = 1000
CHUNK: Final = 100
"""Rows of a transaction: a fraction of a second, even if all of them have long descriptions."""

CHUNK_MILLISECONDS: Final = 30_000

MOST_NAMESAKES: Final = 100
"""Numbers that are tried for a category whose name another one has in NFC."""

LONGEST: Final = {"title": 200, "description": 5000, "name": 100}

MAINTENANCE: Final = Scope(Role.MAINTENANCE)

USERS: Final = Statement(
    text("""
select cast(id as text) as id, name, version, change_seq from users
    where id > cast(:after as uuid) and change_seq > nfc_version order by users.id limit :page
""")
)

# Only what is not ASCII can be in another form.
TASKS: Final = Statement(
    text("""
select cast(id as text) as id, version, title, description from tasks
    where user_id = :user_id and version > :after and version <= :until
        and (octet_length(title) > char_length(title)
            or octet_length(description) > char_length(description))
    order by version limit :chunk
""")
)
CATEGORIES: Final = Statement(
    text("""
select cast(id as text) as id, version, name from categories
    where user_id = :user_id and version > :after and version <= :until
        and octet_length(name) > char_length(name)
    order by version limit :chunk
""")
)
TOKENS: Final = Statement(
    text("""
select cast(id as text) as id, version, name from personal_access_tokens
    where user_id = :user_id and version > :after and version <= :until
        and octet_length(name) > char_length(name)
    order by version limit :chunk
""")
)

# Gives the rows of `changed` their versions, and the owner what they grow by.
COUNTED: Final = """, total as (
    select count(*) as rows, sum(growth) as growth from changed
), bump as (
    update users
        set change_seq = change_seq + total.rows,
            used_bytes = greatest(used_bytes + total.growth, 0)
        from total where users.id = :user_id and total.rows > 0
        returning change_seq - total.rows as version, clock_timestamp() as at
)"""


def rewriting(changed: str, update: str) -> Statement:
    """A statement that finds the rows that `changed`, counts them, and writes them."""
    return Statement(text("".join((changed, COUNTED, update))))


# A row that was written meanwhile has another version, and is left for the next time.
REWRITE_TASKS: Final = rewriting(
    """
with given as (
    select * from json_to_recordset(cast(:rows as json))
        as given (id uuid, version bigint, title text, description text)
), changed as (
    select given.*, row_number() over (order by given.version) as rank,
            octet_length(given.title) + coalesce(octet_length(given.description), 0)
            - octet_length(tasks.title) - coalesce(octet_length(tasks.description), 0) as growth
        from given join tasks
            on tasks.user_id = :user_id and tasks.id = given.id and tasks.version = given.version
)""",
    """
update tasks
    set title = changed.title, description = changed.description,
        version = bump.version + changed.rank, updated_at = bump.at
    from changed, bump where tasks.user_id = :user_id and tasks.id = changed.id
    returning tasks.id
""",
)
# Those whose name no other has; of several that come to one name, the first.
REWRITE_CATEGORIES: Final = rewriting(
    """
with given as (
    select * from json_to_recordset(cast(:rows as json))
        as given (id uuid, version bigint, name text)
), before as (
    select given.*, categories.deleted_at, octet_length(categories.name) as size,
            row_number() over (
                partition by lower(given.name), categories.deleted_at is null
                order by given.version
            ) as place
        from given join categories on categories.user_id = :user_id
            and categories.id = given.id and categories.version = given.version
), changed as (
    select id, name, octet_length(name) - size as growth,
            row_number() over (order by version) as rank
        from before where deleted_at is not null or place = 1 and not exists (
            select from categories other
                where other.user_id = :user_id and other.deleted_at is null
                    and other.id <> before.id and lower(other.name) = lower(before.name)
        )
)""",
    """
update categories
    set name = changed.name, version = bump.version + changed.rank, updated_at = bump.at
    from changed, bump where categories.user_id = :user_id and categories.id = changed.id
    returning cast(categories.id as text) as id
""",
)
RENAME_CATEGORY: Final = Statement(
    text("""
with before as (
    select id, octet_length(name) as size from categories
        where user_id = :user_id and id = :id and version = :version and deleted_at is null
), taken as materialized (
    select lower(other.name) as name from categories other, before
        where other.user_id = :user_id and other.deleted_at is null and other.id <> before.id
            and lower(other.name) in (select lower(name) from unnest(cast(:names as text[])) name)
), chosen as (
    select before.id, candidate.name, octet_length(candidate.name) - before.size as growth
        from before, unnest(cast(:names as text[])) with ordinality as candidate (name, place)
        where lower(candidate.name) not in (select name from taken)
        order by candidate.place limit 1
), bump as (
    update users
        set change_seq = change_seq + 1, used_bytes = greatest(used_bytes + chosen.growth, 0)
        from chosen where users.id = :user_id
        returning change_seq as version, clock_timestamp() as at
)
update categories set name = chosen.name, version = bump.version, updated_at = bump.at
    from chosen, bump where categories.user_id = :user_id and categories.id = chosen.id
    returning categories.name
""")
)
REWRITE_TOKEN: Final = Statement(
    text("""
with before as (
    select id from personal_access_tokens
        where user_id = :user_id and id = :id and version = :version
), bump as (
    update users set change_seq = change_seq + 1
        from before where users.id = :user_id returning change_seq as version
)
update personal_access_tokens set name = :name, version = bump.version
    from before, bump
    where personal_access_tokens.user_id = :user_id and personal_access_tokens.id = before.id
    returning personal_access_tokens.id
""")
)
REWRITE_ACCOUNT: Final = Statement(
    text("""
update users
    set name = :name, change_seq = change_seq + 1, version = change_seq + 1,
        updated_at = clock_timestamp()
    where id = :user_id and name = :before returning id
""")
)

# One who writes just now is passed over, so that neither waits for the other.
MARK: Final = Statement(
    text("""
with free as (
    select users.id, given.until from users
        join json_to_recordset(cast(:users as json)) as given (id uuid, until bigint)
            on given.id = users.id
        for no key update of users skip locked
)
update users set nfc_version = free.until from free
    where users.id = free.id and users.nfc_version < free.until returning users.id
""")
)


def compose(run: Run) -> Iterator[str]:
    """Bring all texts to NFC that were written since the last time; lines that say what was done.

    Raises what `run` raises. What is done by then stays so.
    """
    counts: Counter[str] = Counter()
    after = "00000000-0000-0000-0000-000000000000"
    while users := run(MAINTENANCE, USERS, after=after, page=PAGE):
        for user in users:
            yield from _Texts(run, user, counts).compose()
        done = [{"id": user.id, "until": user.change_seq} for user in users]
        run(MAINTENANCE, MARK, users=orjson.dumps(done).decode())
        after = users[-1].id
    yield from (f"{what}: {count}" for what, count in sorted(counts.items()) if count)


def through(connection: Connection) -> Run:
    """What runs statements on this connection, each in a transaction of its own."""

    def run(scope: Scope, statement: Statement, **parameters: object) -> list[Row]:
        raw = connection.connection
        try:
            sql = scope.prefix(CHUNK_MILLISECONDS) + statement.sql
            result = connection.exec_driver_sql(sql, statement.constants | parameters)
            rows = list(result.all()) if result.returns_rows else []
            raw.commit()
        except BaseException:
            raw.rollback()
            raise
        return rows

    return run


def namesakes(name: str) -> list[str]:
    """What the name becomes if another category has it: "Café (2)" and so on."""
    names = []
    for number in range(2, MOST_NAMESAKES + 2):
        suffix = f" ({number})"
        names.append(trimmed(name[: LONGEST["name"] - len(suffix)]) + suffix)
    return names


class _Texts:
    """The texts of one user, up to the version that is the last as this begins."""

    def __init__(self, run: Run, user: Row, counts: Counter[str]) -> None:
        self.run = run
        self.user = user
        self.counts = counts

    def compose(self) -> Iterator[str]:
        self.account()
        for rows in self.chunks(TASKS, ("title", "description")):
            text = orjson.dumps(rows).decode()
            self.count("tasks", self.write(REWRITE_TASKS, rows=text))
        for rows in self.chunks(CATEGORIES, ("name",)):
            text = orjson.dumps(rows).decode()
            written = self.write(REWRITE_CATEGORIES, rows=text)
            self.count("categories", written)
            done = {row.id for row in written}
            for row in rows:
                if row["id"] not in done:
                    yield from self.namesake(row)
        for rows in self.chunks(TOKENS, ("name",)):
            for row in rows:
                self.count("tokens", self.write(REWRITE_TOKEN, **row))

    def account(self) -> None:
        name = self.user.name
        if name is not None and (new := composed(name)) != name and self.fits({"name": new}):
            self.count("accounts", self.write(REWRITE_ACCOUNT, name=new, before=name))

    def namesake(self, row: dict[str, Any]) -> Iterator[str]:
        names = namesakes(row.pop("name"))
        written = self.write(RENAME_CATEGORY, **row, names=names)
        self.count("categories", written)
        if written:
            number = written[0].name.rpartition(" ")[2]
            yield f"category {row['id']} of user {self.user.id}: another has its name, so {number}"

    def chunks(self, statement: Statement, texts: Sequence[str]) -> Iterator[list[dict[str, Any]]]:
        """The rows that are to be written, with their texts in NFC."""
        bounds = {"after": -1, "until": self.user.change_seq, "chunk": CHUNK}
        while rows := self.run(reading(self.user.id), statement, user_id=self.user.id, **bounds):
            bounds["after"] = rows[-1].version
            new = [(row, self.composed(row, texts)) for row in rows]
            differing = [values for row, values in new if values != row._asdict()]
            if fitting := [values for values in differing if self.fits(values)]:
                yield fitting

    def composed(self, row: Row, texts: Sequence[str]) -> dict[str, Any]:
        values: dict[str, Any] = row._asdict()
        return values | {k: composed(values[k]) for k in texts if values[k] is not None}

    def fits(self, values: dict[str, Any]) -> bool:
        """Whether no text is too long; one that would be stays as its user wrote it."""
        fits = all(len(values.get(name) or "") <= most for name, most in LONGEST.items())
        self.counts["left as they are, too long in NFC"] += not fits
        return fits

    def write(self, statement: Statement, **parameters: object) -> list[Row]:
        return self.run(writing(self.user.id), statement, user_id=self.user.id, **parameters)

    def count(self, what: str, written: list[Row]) -> None:
        self.counts[f"{what} brought to NFC"] += len(written)
