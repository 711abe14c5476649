"""Runs the migrations: on the direct database URL, one process at a time, never in a long queue."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from alembic import context
from click import ClickException
from flask import current_app
from sqlalchemy import Connection, make_url, text
from sqlalchemy.dialects.postgresql import dialect
from sqlalchemy.exc import DBAPIError

from app.core.database_url import is_pooled
from app.db.base import Base
from app.ops.owning import MIGRATION_LOCK, connected

FINISH_LOCK = MIGRATION_LOCK + 1

UNDONE = "nothing was migrated"

# A migration that waits for a lock makes every later query on that table wait behind it.
LOCK_TIMEOUT = "4s"

VALID = "select indisvalid from pg_index where indexrelid = to_regclass(:name)"
UNVALIDATED = """
select conrelid::regclass::text, conname from pg_constraint
    where not convalidated and connamespace = current_schema()::regnamespace order by 1, 2
"""

OWNING = "as a superuser: alter role {role} createrole; alter database {database} owner to {role};"

# The roles are those of another database on the same server.
SHARING = (
    "as a superuser: grant tasks_app, tasks_auth, tasks_links, tasks_maintenance, tasks_search,"
    " tasks_worker to {role} with admin option;"
)

REMEDIES = {
    "permission denied to create role": OWNING,
    "permission denied for schema": OWNING,
    "permission denied to grant role": SHARING,
    "permission denied to create extension": "let a superuser create the extension",
    "lock timeout": "another session holds a lock; try again later",
}
"""What the database says of a right that the migrating role lacks, and what to do about it."""


def run_offline() -> None:
    """Print the SQL of the migrations (`flask db upgrade --sql`)."""
    context.configure(
        dialect_name="postgresql",
        dialect_opts={"paramstyle": "named"},  # the driver's own would double each %
        target_metadata=Base.metadata,
        literal_binds=True,
    )
    with context.begin_transaction():
        context.run_migrations()


def run_online() -> None:
    """Run the migrations in one transaction, under an advisory lock that ends with it.

    The lock is taken inside Alembic's transaction: before it, the lock would open one of its own,
    and Alembic would leave the commit to it. What takes many transactions is begun when this one is
    committed: what migrations put off ("afterwards"), and their `finish`.
    """
    url = current_app.config["MIGRATION_URL"]
    if is_pooled(url):
        raise ClickException("DATABASE_URL_UNPOOLED is required: DATABASE_URL is a -pooler host")
    with connected(url, UNDONE) as connection:
        context.configure(connection=connection, target_metadata=Base.metadata)
        with context.begin_transaction():
            connection.execute(text(f"select pg_advisory_xact_lock({MIGRATION_LOCK})"))
            connection.execute(text(f"set local lock_timeout = '{LOCK_TIMEOUT}'"))
            context.run_migrations()
            applied = context.get_context().get_current_heads()
        for work in context.config.attributes.get("afterwards", ()):
            work(connection)
        if goes_to_a_revision():
            try:
                with connected(url, UNDONE) as other, alone(other):
                    finish(connection, applied)
            except DBAPIError as error:
                said = f"migrated, but not finished: {first_line(error)}: run it again"
                raise ClickException(said) from error


def goes_to_a_revision() -> bool:
    """Whether the command is `upgrade` or `downgrade`, and not one that only looks."""
    try:
        context.get_revision_argument()
    except KeyError:
        return False
    return True


@contextmanager
def alone(connection: Connection) -> Iterator[None]:
    """Hold a lock in a transaction of this connection; only one process finishes at a time.

    It is tried for and not waited for, as building an index waits for all who wait in a statement.
    """
    while not connection.scalar(text(f"select pg_try_advisory_xact_lock({FINISH_LOCK})")):
        connection.rollback()
        time.sleep(0.1)
    try:
        yield
    finally:
        connection.rollback()


def finish(connection: Connection, applied: tuple[str, ...]) -> None:
    """Do what is left of the migrations that are applied, and validate their constraints.

    Reads and writes go on meanwhile. A migration's `finish` does nothing where nothing is left, so
    a command that was interrupted can be run again. Its `INDEXES` are built meanwhile, too.
    """
    connection.commit()
    for migration in reversed([*context.script.iterate_revisions(applied, "base")]):
        if work := getattr(migration.module, "finish", None):
            work(connection)
        for name, definition in getattr(migration.module, "INDEXES", {}).items():
            build(connection, name, definition)
    with connection.begin():
        constraints = connection.execute(text(UNVALIDATED)).all()
    for relation, name in constraints:
        with connection.begin():
            connection.execute(text(f"alter table {relation} validate constraint {name}"))


def build(connection: Connection, name: str, definition: str) -> None:
    """Build an index unless it is there, once more if that was interrupted before.

    Source: PostgreSQL, "Building Indexes Concurrently".
    """
    connection.commit()
    valid = connection.scalar(text(VALID), {"name": name})
    connection.commit()
    connection.connection.driver_connection.autocommit = True
    if valid is False:
        connection.execute(text(f"drop index concurrently if exists {name}"))
    if not valid:
        connection.execute(text(f"create index concurrently if not exists {name} {definition}"))
    connection.connection.driver_connection.autocommit = False
    connection.commit()


def first_line(error: DBAPIError) -> str:
    """What the database said, without its hints and without our statement, and what to do."""
    said = str(error.orig).strip().splitlines()[0]
    remedy = next((advice for words, advice in REMEDIES.items() if words in said), None)
    if remedy is None:
        return said
    url = make_url(current_app.config["MIGRATION_URL"])
    names = {"role": quoted(url.username), "database": quoted(url.database)}
    return f"{said}: {remedy.format(**names)}"


def quoted(name: str | None) -> str:
    """The name as SQL has it."""
    return dialect().identifier_preparer.quote(name or "")


if context.is_offline_mode():
    run_offline()
else:
    try:
        run_online()
    except DBAPIError as error:
        raise ClickException(f"{UNDONE}: {first_line(error)}") from error
