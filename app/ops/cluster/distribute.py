"""Making the database a cluster of Citus: its tables are spread over the servers, user by user.

It is one transaction, and what is done already is left alone: it can be run again after a migration
that adds a table.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Final

from click import ClickException
from sqlalchemy import Connection, text

from app.db.scope import ROLES
from app.ops.cluster.functions import FUNCTIONS, TRIGGER
from app.ops.cluster.tables import distributions
from app.ops.owning import MIGRATION_LOCK

USERS: Final = "users"

SETTINGS: Final = """
set local citus.enable_unsafe_triggers = on;
set local citus.multi_shard_modify_mode = 'sequential';
set local client_min_messages = warning;
"""

DATABASE: Final = ("citus.allow_nested_distributed_execution = on", "jit = off")
"""Triggers on a server write rows of the same user there. The planner takes the few rows of a step
for many, so that it would compile the statement, which takes much longer than running it.
"""

EXTENSION: Final = "select extversion from pg_extension where extname = 'citus'"
NODES: Final = "select count(*) from pg_dist_node where isactive and shouldhaveshards"
IS_COORDINATOR: Final = "select count(*) > 0 from pg_dist_node where groupid = 0"
DISTRIBUTED: Final = """
select relname from pg_dist_partition join pg_class on pg_class.oid = logicalrelid
    where relnamespace = current_schema()::regnamespace
"""
HERE: Final = """
select relname from pg_class where relkind = 'r' and relnamespace = current_schema()::regnamespace
"""
TRIGGERS: Final = """
select tgname, pg_get_triggerdef(oid) from pg_trigger
    where tgrelid = to_regclass(:name) and not tgisinternal
"""
FORCED: Final = "select relforcerowsecurity from pg_class where oid = to_regclass(:name)"
"""Whether policies hold for the owner, too, who could not copy the rows then."""

HAS_ROWS: Final = "select exists (select from {})"

ADDRESSES: Final = """
drop index if exists uq_users_email;
drop trigger if exists take_address on users;
drop trigger if exists give_address_up on users;
"""
"""No index is unique across servers. The directory of addresses is; its rows are on other servers
than their users, where no trigger reaches them. Both are for the release before it.
"""

DEFAULTS: Final = """
select format('grant insert (%s) on %I to %I',
        string_agg(distinct quote_ident(filled.attname), ', '), relname, rolname)
    from pg_class
        join pg_attribute as given on given.attrelid = pg_class.oid
        cross join aclexplode(given.attacl) as acl
        join pg_roles on pg_roles.oid = acl.grantee
        join pg_attribute as filled on filled.attrelid = pg_class.oid
    where relname = :name and relnamespace = current_schema()::regnamespace
        and privilege_type = 'INSERT' and filled.atthasdef and filled.attgenerated = ''
        and not has_column_privilege(acl.grantee, pg_class.oid, filled.attnum, 'insert')
    group by relname, rolname
"""
"""Grants of the columns with a default to those who may insert some columns: Citus writes defaults
out in each INSERT that it hands on.
"""

PARENTS: Final = """
alter table tasks drop constraint fk_tasks_parents;
"""
PARENTS_AGAIN: Final = """
alter table tasks add constraint fk_tasks_parents
    foreign key (user_id, parent_id) references tasks (user_id, id) deferrable
"""
"""Without `on delete set null (parent_id)`, which Citus does not take where the key of the
distribution is a part: a purge takes the parent away itself.
"""

NO_EXTENSION: Final = (
    "the database has no extension citus: create it on each server, and add the servers to the"
    " coordinator, as docs/operations/citus.md says"
)
NO_NODES: Final = "no server takes shards: add one with citus_add_node"
NO_COORDINATOR: Final = (
    "the coordinator does not know its own name: set it with citus_set_coordinator_host"
)


def distribute(connection: Connection) -> Iterator[str]:
    """Distribute what is not yet, and yield a line for whatever was done.

    Raises ClickException, DBAPIError.
    """
    connection.execute(text(f"select pg_advisory_xact_lock({MIGRATION_LOCK})"))
    require_cluster(connection)
    execute(connection, SETTINGS)
    execute(connection, FUNCTIONS)
    yield from let_log_in(connection)
    done, here = names(connection, DISTRIBUTED), names(connection, HERE)
    wanted = {name: by for name, by in distributions().items() if name in here}
    new = {name: by for name, by in wanted.items() if by and name not in done}
    if USERS in new:
        execute(connection, ADDRESSES)
    for name in new:
        for grant in connection.scalars(text(DEFAULTS), {"name": name}).all():
            execute(connection, grant)
    if "tasks" in new:
        execute(connection, PARENTS)
    triggers = [definition for name in new for definition in taken_off(connection, name)]
    forced = [name for name in new if connection.scalar(text(FORCED), {"name": name})]
    for name in forced:
        execute(connection, f"alter table {name} no force row level security")
    for name, by in new.items():
        rows = table(connection, name, by)
        yield f"{name}: distributed by {by}" + (", with its rows" if rows else "")
    for name in forced:
        execute(connection, f"alter table {name} force row level security")
    forget(connection, reversed(new))
    if "tasks" in new:
        execute(connection, PARENTS_AGAIN)
    for definition in triggers:
        execute(connection, definition)
    execute(connection, TRIGGER)
    if "alembic_version" not in done:
        everywhere(connection, "alembic_version")
        yield "alembic_version: on every server"
    set_up(connection)


def require_cluster(connection: Connection) -> None:
    """Raise ClickException for a database that cannot be distributed."""
    if not connection.scalar(text(EXTENSION)):
        raise ClickException(NO_EXTENSION)
    if not connection.scalar(text(IS_COORDINATOR)):
        raise ClickException(NO_COORDINATOR)
    if not connection.scalar(text(NODES)):
        raise ClickException(NO_NODES)


def let_log_in(connection: Connection) -> Iterator[str]:
    """Let the roles log in: the coordinator connects to the servers as the one that acts."""
    for role in ROLES:
        known = connection.scalar(
            text("select rolcanlogin from pg_roles where rolname = :role"), {"role": role}
        )
        if known is False:
            execute(connection, f"alter role {role} login")
            yield f"{role}: may log in"


def taken_off(connection: Connection, name: str) -> Iterator[str]:
    """Drop the triggers of a table, and yield how to make them again.

    Rows that are copied to their servers would fire them.
    """
    for trigger, definition in connection.execute(text(TRIGGERS), {"name": name}).all():
        execute(connection, f'drop trigger "{trigger}" on {name}')
        yield definition


def table(connection: Connection, name: str, by: str) -> bool:
    """Distribute a table by a column, with its rows; return whether it had any."""
    beside = None if name == USERS or by not in ("id", "user_id") else USERS
    had_rows = bool(connection.scalar(text(HAS_ROWS.format(name))))
    call = "select create_distributed_table(:name, :by, colocate_with => :beside)"
    connection.execute(text(call), {"name": name, "by": by, "beside": beside or "none"})
    return had_rows


def forget(connection: Connection, names: Iterable[str]) -> None:
    """Remove the rows that the coordinator has had itself, and which nobody sees any more."""
    for name in names:
        call = "select truncate_local_data_after_distributing_table(:name)"
        connection.execute(text(call), {"name": name})


def everywhere(connection: Connection, name: str) -> None:
    """Make a table one that every server has."""
    connection.execute(text("select create_reference_table(:name)"), {"name": name})


def set_up(connection: Connection) -> None:
    """Set what sessions of the database need, on each server."""
    [database] = connection.execute(text("select quote_ident(current_database())")).one()
    for setting in DATABASE:
        execute(connection, f"alter database {database} set {setting}")


def names(connection: Connection, query: str) -> set[str]:
    """Return the names that a query finds."""
    return set(connection.scalars(text(query)))


def execute(connection: Connection, sql: str) -> Any:
    """Execute SQL without parameters."""
    return connection.exec_driver_sql(sql, execution_options={"no_parameters": True})
