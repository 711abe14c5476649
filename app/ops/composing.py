"""Bringing texts that the previous release wrote to Unicode's Normalization Form C (NFC).

Works in chunks, each a short transaction behind its owner's lock. Every changed row gets a version
of its own, so that the changes feed delivers it. `users.nfc_version` is the version up to which a
user is done; another run looks only at later writes.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, Final

import orjson
from sqlalchemy import Connection, text

from app.core.texts import composed, trimmed
from app.db.scope import Role, Scope, reading, writing
from app.db.sending import Row
from app.db.statement import Statement

Run = Callable[..., list[Row]]
"""Runs a statement with parameters in a scope, as `app.db.run.execute` does."""

PAGE: Final = 1000
CHUNKS: Final = {"tasks": 100, "categories": 1, "personal_access_tokens": 100}
"""Rows in a transaction: a fraction of a second, even if all have long descriptions."""

CHUNK_MILLISECONDS: Final = 30_000

MOST_NAMESAKES: Final = 100
"""Numbers to try for a category whose name in NFC belongs to another one."""

LONGEST: Final = {"title": 200, "description": 5000, "name": 100}

MAINTENANCE: Final = Scope(Role.MAINTENANCE)

USERS: Final = Statement(
    text("""
select cast(id as text) as id, name, change_seq from users
    where id > cast(:after as uuid) and change_seq > nfc_version order by users.id limit :page
""")
)
# Skips users who are writing right now, so that neither waits for the other.
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
REWRITE_ACCOUNT: Final = Statement(
    text("""
update users
    set name = :name, change_seq = change_seq + 1, version = change_seq + 1,
        updated_at = clock_timestamp()
    where id = :user_id and name = :before returning id
""")
)
FREE_NAME: Final = Statement(
    text("""
select name from unnest(cast(:names as text[])) with ordinality as candidate (name, place)
    where not exists (
        select from categories other
            where other.user_id = :user_id and other.deleted_at is null and other.id <> :id
                and lower(other.name) = lower(candidate.name)
    )
    order by place limit 1
""")
)


def pending(table: str, texts: tuple[str, ...]) -> Statement:
    """Select a chunk of the user's rows, by version, that have a text which is not ASCII.

    All other texts are in NFC in any case.
    """
    multibyte = " or ".join(f"octet_length({name}) > char_length({name})" for name in texts)
    return Statement(
        text(f"""
select cast(id as text) as id, version, {", ".join(texts)} from {table}
    where user_id = :user_id and version > :after and version <= :until and ({multibyte})
    order by version limit :chunk
""")  # noqa: S608 names of ours
    )


def rewriting(table: str, texts: tuple[str, ...], *, synchronised: bool = True) -> Statement:
    """Write a chunk's texts; rows that clients synchronise count in what their user stores.

    A row with another version was written meanwhile and is left to the next run.
    """
    columns = ", ".join(f"{name} text" for name in texts)
    changes = ", ".join(f"{name} = changed.{name}" for name in texts)
    sizes = [
        f"coalesce(octet_length(given.{name}), 0) - coalesce(octet_length(was.{name}), 0)"
        for name in texts
    ]
    return Statement(
        text(f"""
with given as (
    select * from json_to_recordset(cast(:rows as json))
        as given (id uuid, version bigint, {columns})
), changed as (
    select given.*, row_number() over (order by given.version) as rank,
            {" + ".join(sizes) if synchronised else "0"} as growth
        from given join {table} was
            on was.user_id = :user_id and was.id = given.id and was.version = given.version
), total as (
    select count(*) as rows, sum(growth) as growth from changed
), bump as (
    update users
        set change_seq = change_seq + total.rows,
            used_bytes = greatest(used_bytes + total.growth, 0)
        from total where users.id = :user_id and total.rows > 0
        returning change_seq - total.rows as version, clock_timestamp() as at
)
update {table}
    set {changes}, version = bump.version + changed.rank
        {", updated_at = bump.at" if synchronised else ""}
    from changed, bump where {table}.user_id = :user_id and {table}.id = changed.id
    returning {table}.id
""")  # noqa: S608 names of ours
    )


PENDING: Final = {
    "tasks": pending("tasks", ("title", "description")),
    "categories": pending("categories", ("name",)),
    "personal_access_tokens": pending("personal_access_tokens", ("name",)),
}
REWRITE: Final = {
    "tasks": rewriting("tasks", ("title", "description")),
    "categories": rewriting("categories", ("name",)),
    "personal_access_tokens": rewriting("personal_access_tokens", ("name",), synchronised=False),
}


def compose(run: Run) -> Iterator[str]:
    """Bring all texts to NFC that were written since the last run; yield lines for the operator.

    Raises what `run` raises; the chunks written until then stay written.
    """
    counts: Counter[str] = Counter()
    after = "00000000-0000-0000-0000-000000000000"
    while users := run(MAINTENANCE, USERS, after=after, page=PAGE):
        for user in users:
            _compose_account(run, user, counts)
            for table in CHUNKS:
                yield from _compose_table(run, user, table, counts)
        done = [{"id": user.id, "until": user.change_seq} for user in users]
        run(MAINTENANCE, MARK, users=orjson.dumps(done).decode())
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


def _compose_account(run: Run, user: Row, counts: Counter[str]) -> None:
    for new in _composed([{"name": user.name}], counts):
        names = {"name": new["name"], "before": user.name}
        written = run(writing(user.id), REWRITE_ACCOUNT, user_id=user.id, **names)
        counts["accounts brought to NFC"] += len(written)


def _compose_table(run: Run, user: Row, table: str, counts: Counter[str]) -> Iterator[str]:
    """Rewrite the user's rows of a table up to the version that was the latest at the start."""
    bounds = {"after": -1, "until": user.change_seq, "chunk": CHUNKS[table]}
    while rows := run(reading(user.id), PENDING[table], user_id=user.id, **bounds):
        bounds["after"] = rows[-1].version
        changed = _composed([row._asdict() for row in rows], counts)
        if table == "categories" and changed:  # a chunk of one
            yield from _give_way(run, user.id, changed)
        if changed:
            given = orjson.dumps(changed).decode()
            written = run(writing(user.id), REWRITE[table], user_id=user.id, rows=given)
            counts[f"{table} brought to NFC"] += len(written)


def _composed(rows: list[dict[str, Any]], counts: Counter[str]) -> list[dict[str, Any]]:
    """Return the rows that are different in NFC, but for those with a text that gets too long."""
    found = []
    for row in rows:
        texts = {name: row[name] for name in LONGEST if row.get(name) is not None}
        new = {name: composed(text) for name, text in texts.items()}
        if new != texts:
            fits = all(len(text) <= LONGEST[name] for name, text in new.items())
            counts["left as they are, too long in NFC"] += not fits
            found += [row | new] if fits else []
    return found


def _give_way(run: Run, user_id: str, rows: list[dict[str, Any]]) -> Iterator[str]:
    """Give a category whose name in NFC is another's a number: "Café (2)", "Café (3)" and so on.

    Without a free one, the category stays as its user wrote it.
    """
    row = rows.pop()
    suffixes = [f" ({number})" for number in range(2, MOST_NAMESAKES + 2)]
    cut = [trimmed(row["name"][: LONGEST["name"] - len(suffix)]) + suffix for suffix in suffixes]
    names = [row["name"], *cut]
    for free in run(reading(user_id), FREE_NAME, user_id=user_id, id=row["id"], names=names):
        rows.append(row | {"name": free.name})
        if free.name != row["name"]:
            number = free.name.rpartition(" ")[2]
            yield f"category {row['id']} of user {user_id}: another has its name, so {number}"
