"""Bringing texts that the previous release wrote to Unicode's Normalization Form C (NFC).

Each row is written by a transaction of its own behind its owner's lock, and gets a new version, so
that the changes feed delivers it. `users.nfc_version` is the version up to which a user is done;
another run looks only at later writes.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, Final

from sqlalchemy import Connection, text

from app.core.texts import composed, trimmed
from app.db.scope import Role, Scope, reading, writing
from app.db.sending import Row
from app.db.statement import Statement

Run = Callable[..., list[Row]]
"""Runs a statement with parameters in a scope, as `app.db.run.execute` does."""

PAGE: Final = 100
"""Rows that are read at a time: a megabyte, even if all have long descriptions."""

TIMEOUT_MILLISECONDS: Final = 30_000

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
# Skips a user who is writing right now, so that neither waits for the other.
MARK: Final = Statement(
    text("""
update users set nfc_version = :until where id = :user_id and id in (
    select id from users where id = :user_id for no key update skip locked
) returning id
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
    """Select some of the user's rows, by version, that have a text which is not ASCII.

    All other texts are in NFC in any case.
    """
    multibyte = " or ".join(f"octet_length({name}) > char_length({name})" for name in texts)
    return Statement(
        text(f"""
select cast(id as text) as id, version, {", ".join(texts)} from {table}
    where user_id = :user_id and version > :after and version <= :until and ({multibyte})
    order by version limit :page
""")  # noqa: S608 names of ours
    )


def rewriting(table: str, texts: tuple[str, ...], *, synchronised: bool = True) -> Statement:
    """Write a row's texts, unless it has been written meanwhile; the next run finds it then.

    Rows that clients synchronise count in what their user stores.
    """
    changes = ", ".join(f"{name} = :{name}" for name in texts)
    growth, at = (":growth", ", updated_at = bump.at") if synchronised else ("0", "")
    return Statement(
        text(f"""
with bump as (
    update users
        set change_seq = change_seq + 1, used_bytes = greatest(used_bytes + {growth}, 0)
        from {table} was
        where users.id = :user_id
            and was.user_id = :user_id and was.id = :id and was.version = :version
        returning change_seq as version, clock_timestamp() as at
)
update {table} set {changes}, version = bump.version{at}
    from bump where {table}.user_id = :user_id and {table}.id = :id returning {table}.id
""")  # noqa: S608 names of ours
    )


TASKS: Final = ("title", "description")
LINE: Final = ("name",)

PENDING: Final = {
    "tasks": pending("tasks", TASKS),
    "categories": pending("categories", LINE),
    "personal_access_tokens": pending("personal_access_tokens", LINE),
}
REWRITE: Final = {
    "tasks": rewriting("tasks", TASKS),
    "categories": rewriting("categories", LINE),
    "personal_access_tokens": rewriting("personal_access_tokens", LINE, synchronised=False),
}


def compose(run: Run) -> Iterator[str]:
    """Bring all texts to NFC that were written since the last run; yield lines for the operator.

    Raises what `run` raises; the rows written until then stay written.
    """
    counts: Counter[str] = Counter()
    after = "00000000-0000-0000-0000-000000000000"
    while users := run(MAINTENANCE, USERS, after=after, page=PAGE):
        for user in users:
            _compose_account(run, user, counts)
            for table in PENDING:
                yield from _compose_table(run, user, table, counts)
            run(MAINTENANCE, MARK, user_id=user.id, until=user.change_seq)
        after = users[-1].id
    yield from (f"{what}: {count}" for what, count in sorted(counts.items()) if count)


def through(connection: Connection) -> Run:
    """Return a function that runs statements on this connection, each in its own transaction."""

    def run(scope: Scope, statement: Statement, **parameters: object) -> list[Row]:
        raw = connection.connection
        try:
            sql = scope.prefix(TIMEOUT_MILLISECONDS) + statement.sql
            result = connection.exec_driver_sql(sql, statement.bind(parameters))
            rows = list(result.all()) if result.returns_rows else []
            raw.commit()
        except BaseException:
            raw.rollback()
            raise
        return rows

    return run


def _compose_account(run: Run, user: Row, counts: Counter[str]) -> None:
    if texts := _composed({"name": user.name}, counts):
        names = {**texts, "before": user.name}
        written = run(writing(user.id), REWRITE_ACCOUNT, user_id=user.id, **names)
        counts["accounts brought to NFC"] += len(written)


def _compose_table(run: Run, user: Row, table: str, counts: Counter[str]) -> Iterator[str]:
    """Rewrite the user's rows of a table up to the version that was the latest at the start."""
    whose: dict[str, Any] = {"user_id": user.id}
    bounds = {"after": -1, "until": user.change_seq, "page": PAGE}
    while rows := run(reading(user.id), PENDING[table], **whose, **bounds):
        bounds["after"] = rows[-1].version
        for row in map(Row._asdict, rows):
            texts = _composed(row, counts)
            if texts and table == "categories":
                yield from _give_way(run, user.id, row["id"], texts)
            if texts:
                growth = sum(
                    len(text.encode()) - len(row[name].encode()) for name, text in texts.items()
                )
                changed = row | texts | {"growth": growth}
                written = run(writing(user.id), REWRITE[table], **whose, **changed)
                counts[f"{table} brought to NFC"] += len(written)


def _composed(row: dict[str, Any], counts: Counter[str]) -> dict[str, str]:
    """Return the row's texts that are different in NFC; none if one of them gets too long."""
    texts = {name: row[name] for name in LONGEST if row.get(name) is not None}
    different = {name: new for name, text in texts.items() if (new := composed(text)) != text}
    if all(len(text) <= LONGEST[name] for name, text in different.items()):
        return different
    counts["left as they are, too long in NFC"] += 1
    return {}


def _give_way(run: Run, user_id: str, row_id: str, texts: dict[str, str]) -> Iterator[str]:
    """Give a category whose name in NFC is another's a number: "Café (2)", "Café (3)" and so on.

    Without a free one, the category stays as its user wrote it.
    """
    name = texts.pop("name")
    suffixes = [f" ({number})" for number in range(2, MOST_NAMESAKES + 2)]
    names = [name, *(trimmed(name[: LONGEST["name"] - len(end)]) + end for end in suffixes)]
    for free in run(reading(user_id), FREE_NAME, user_id=user_id, id=row_id, names=names):
        texts["name"] = free.name
        if free.name != name:
            number = free.name.rpartition(" ")[2]
            yield f"category {row_id} of user {user_id}: another has its name, so {number}"
