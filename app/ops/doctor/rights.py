"""Whether users are kept apart: roles, policies and grants as migrations make them, and tried."""

from collections.abc import Set
from pathlib import Path
from typing import Final
from uuid import uuid4

from psycopg2.errors import ForeignKeyViolation, InsufficientPrivilege
from psycopg2.sql import SQL, Identifier

from app.api.kinds import KINDS
from app.db.base import Base
from app.db.nodes import CITUS, ONE_SERVER
from app.db.scope import ROLES, Role
from app.ops.doctor.deployment import Deployment, listed
from app.ops.doctor.findings import Finding

EXPECTED: Final = frozenset(
    line.replace("each kind of row", kind.plural)
    for line in Path(__file__).with_name("rights.txt").read_text("utf-8").splitlines()
    for kind in KINDS.values()
)
"""One policy or grant a line. A migration that changes them changes rights.txt."""

KNOWN: Final = frozenset(line.split(":")[0] for line in EXPECTED)
"""The tables and functions that rights.txt lists."""

ME: Final = "(NULLIF(current_setting('app.user_id'::text, true), ''::text))::uuid"
"""The user that a statement runs for, as PostgreSQL prints it; `me` in rights.txt."""

OWN_ROWS: Final = " using (user_id = me) check (user_id = me)"

ATTRIBUTES: Final = """
select rolsuper or rolbypassrls, exists (select from pg_class
        where relowner = pg_roles.oid and relnamespace = current_schema()::regnamespace
        and relname = any(%s))
    from pg_roles where rolname = session_user
"""

# As `set role` has it (PostgreSQL 16, "Role Membership").
SWITCHABLE: Final = """
select rolname from pg_roles where rolname = any(%s) and pg_has_role(session_user, oid,
    case when current_setting('server_version_num')::int < 160000 then 'member' else 'set' end)
"""

POWERFUL: Final = """
select rolname from pg_roles
    where rolname = any(%s)
        and (rolsuper or rolbypassrls or rolcreaterole or rolcanlogin and not %s)
"""
"""On a cluster they log in: the coordinator connects to the servers as the one that acts."""

UNPROTECTED: Final = """
select relname from pg_class where relname = any(%s) and relkind in ('r', 'p')
    and relnamespace = current_schema()::regnamespace
    and not (relrowsecurity and relforcerowsecurity)
"""

POLICIES: Final = """
select concat(tablename, ': policy ', policyname,
    case permissive when 'RESTRICTIVE' then ' as restrictive' end, ' for ', lower(cmd), ' to ',
    array_to_string(array(select unnest(roles) order by 1), ', '), ' using ' || qual,
    ' check ' || with_check)
from pg_policies where schemaname = current_schema()
"""

GRANTS: Final = """
with tables as (
    select oid, relname, relowner, relacl from pg_class
        where relkind in ('r', 'p') and relnamespace = current_schema()::regnamespace
), functions as (
    select proname || '()' as name, proowner, coalesce(proacl, acldefault('f', proowner)) as acl
        from pg_proc where prosecdef and pronamespace = current_schema()::regnamespace
), granted (name, owner, grantee, privilege, columns) as (
    select relname, relowner, acl.grantee, acl.privilege_type, null
        from tables, aclexplode(relacl) acl
    union all
    select relname, relowner, acl.grantee, acl.privilege_type,
            ' (' || string_agg(attname, ', ' order by attname) || ')'
        from tables join pg_attribute on attrelid = tables.oid, aclexplode(attacl) acl
        group by 1, 2, 3, 4
    union all
    select name, proowner, acl.grantee, acl.privilege_type, null from functions, aclexplode(acl) acl
    union all
    select name, null, proowner, 'ownership', null from functions
)
select concat(name, ': grant ', coalesce(rolname, 'public'), ' ', lower(privilege), columns)
from granted left join pg_roles on pg_roles.oid = grantee where grantee is distinct from owner
"""
"""Those of tables, their columns, and functions that run with their owner's rights."""

FILLED: Final = """
select relname, attname from pg_attribute join pg_class on pg_class.oid = attrelid
    where relnamespace = current_schema()::regnamespace and atthasdef and attgenerated = ''
"""
"""The columns that have a default."""

ACCOUNT: Final = "insert into users (id, email, password_hash) values (%s, %s, 'none')"

TASK: Final = """
insert into tasks (user_id, id, title, complete, priority, version, created_at, updated_at)
    values (%s, %s, 'doctor', false, 0, 1, now(), now())
"""

ANOTHERS: Final = SQL("select 1 from {} where {} <> %s limit 1")

MILLISECONDS: Final = 10_000
"""The statement timeout, which is set together with the role."""

READABLE: Final = """
select name from unnest(%s) name where to_regclass(name) is not null
    and has_any_column_privilege('tasks_app', name, 'select')
"""


def owned_tables() -> list[str]:
    """The tables whose rows belong to a user."""
    tables = Base.metadata.tables.values()
    return sorted(t.name for t in tables if t.name == "users" or "user_id" in t.columns)


def login(deployment: Deployment) -> list[Finding]:
    """Whether the login has all rights that the service needs, and no more."""
    [(unconfined, owner)] = deployment.ask(ATTRIBUTES, owned_tables())
    needed = [str(role) for role in Role]
    missing = set(needed) - {name for (name,) in deployment.ask(SWITCHABLE, needed)}
    found = [
        (unconfined, "login.powerful", "policies do not confine the login"),
        (owner, "login.powerful", "the login owns tables of the service"),
        (missing, "login.stranger", f"the login may not act as {listed([*missing])}"),
    ]
    findings = [Finding(text, code) for applies, code, text in found if applies]
    return findings or [Finding("the login is only a member of the service's roles")]


def roles(deployment: Deployment) -> list[Finding]:
    """Whether the roles that requests run as are confined by policies."""
    if powerful := [name for (name,) in deployment.ask(POWERFUL, [*ROLES], deployment.is_cluster)]:
        text = f"{listed(powerful)} may log in, make roles or pass by policies"
        return [Finding(text, "roles.powerful")]
    return [Finding("requests run as roles that policies confine")]


def policies(deployment: Deployment) -> list[Finding]:
    """Whether row-level security is on and forced, with the policies of the migrations.

    A table that is not in rights.txt, as one of a fork, needs a policy that keeps users apart.
    """
    if deployment.revisions != [deployment.head]:
        return []
    findings = [
        Finding(f"{table}: row-level security is off or not forced", "policies.off")
        for (table,) in deployment.ask(UNPROTECTED, owned_tables())
    ]
    found = in_force(deployment, POLICIES)
    missing, excess = differences(found, "policy")
    for table in sorted({*owned_tables()} - KNOWN):
        if not any(line.startswith(f"{table}: ") and OWN_ROWS in line for line in found):
            missing.append(f"{table}: a policy for tasks_app{OWN_ROWS}")
    for what, texts in (("is missing", missing), ("is not the migrations'", excess)):
        findings += [Finding(f"{text} {what}", "policies.different") for text in texts]
    return findings or [Finding("row-level security is forced, and as the migrations have it")]


def grants(deployment: Deployment) -> list[Finding]:
    """Whether each role has the rights that its requests need, and no other role has any."""
    if deployment.revisions != [deployment.head]:
        return []
    found, expected = in_force(deployment, GRANTS), set(EXPECTED)
    if deployment.is_cluster:
        filled = {(table, column) for table, column in deployment.ask(FILLED)}
        found, expected = inserting(found, filled), inserting(expected, filled)
    missing, excess = differences(found, "grant", expected)
    findings = [Finding(f"{text} is missing", "grants.missing") for text in missing]
    for text in excess:
        ours = text.split(": grant ")[1].split()[0] in {*ROLES, "public"}
        code = "grants.excess" if ours else "grants.others"
        findings.append(Finding(f"{text} is not the migrations'", code))
    return findings or [Finding("each role may do what the migrations let it, and no other can")]


def in_force(deployment: Deployment, query: str) -> set[str]:
    """The policies or grants of the database, written as in rights.txt."""
    return {line.replace(ME, "me") for (line,) in deployment.ask(query)}


def inserting(lines: Set[str], filled: Set[tuple[str, str]]) -> set[str]:
    """The lines without columns of an INSERT that have a default: on a cluster, who may insert some
    columns may insert these as well (app/ops/cluster/distribute.py).
    """
    found = set()
    for line in lines:
        table, _, columns = line.partition(": grant ")
        what, insert, names = columns.partition(" insert (")
        if insert:
            kept = [n for n in names[:-1].split(", ") if (table, n) not in filled]
            line = f"{table}: grant {what}{insert}{', '.join(kept)})"
        found.add(line)
    return found


def differences(
    found: Set[str], kind: str, expected: Set[str] = EXPECTED
) -> tuple[list[str], list[str]]:
    """The lines of this kind that are missing, and those that nobody expects of a known table."""
    missing = [line for line in expected - found if f": {kind} " in line]
    excess = [line for line in found - expected if line.split(":")[0] in KNOWN]
    return sorted(missing), sorted(excess)


def isolation(deployment: Deployment) -> list[Finding]:
    """Whether a user sees, changes or makes what is another's; nothing stays of the attempt.

    On a cluster, what one role has written no other role can look at in the same transaction. So
    there it is tried with users that do not exist, among the rows of those that do.
    """
    me, other, task = (str(uuid4()) for _ in range(3))
    if deployment.is_cluster:
        with deployment.undone():
            return tried(attempts(deployment, me, other, task))
    with deployment.undone():
        for user_id in (me, other):
            become(deployment, "tasks_auth", user_id)
            deployment.ask(ACCOUNT, user_id, f"doctor-{user_id}@example.invalid")
        become(deployment, "tasks_app", other)
        own = made(deployment, other, task)
        if not own or not deployment.ask("select 1 from tasks where id = %s", task):
            return [Finding("a user cannot make a task and see it", "isolation.blind")]
        return tried(attempts(deployment, me, other, task))


def tried(broken: list[str]) -> list[Finding]:
    """What came of the attempts."""
    if broken:
        return [Finding(f"a user can {what}", "isolation.broken") for what in broken]
    return [Finding("tried: a user neither sees, changes nor makes what is another's")]


def become(deployment: Deployment, role: str, user_id: str) -> None:
    """Run the transaction's next statements as a request of this user does."""
    nodes = CITUS if deployment.is_cluster else ONE_SERVER
    deployment.ask(nodes.assume(role, user_id, MILLISECONDS))


def attempts(deployment: Deployment, me: str, other: str, task: str) -> list[str]:
    """What a user can do that nobody should."""
    become(deployment, "tasks_app", "")
    done = [f"see rows of {table} as nobody" for table in visible(deployment, me)]
    become(deployment, "tasks_app", me)
    done += [f"see another's rows of {table}" for table in visible(deployment, me)]
    if deployment.ask("update tasks set title = 'mine' where id = %s returning 1", task):
        done.append("change another's task")
    if made(deployment, other, str(uuid4())):
        done.append("make a task for another")
    return done


def visible(deployment: Deployment, me: str) -> list[str]:
    """The tables that show rows of other users."""
    seen = []
    for (name,) in deployment.ask(READABLE, owned_tables()):
        owner = Identifier("id" if name == "users" else "user_id")
        if deployment.ask(ANOTHERS.format(Identifier(name), owner), me):
            seen.append(name)
    return seen


def made(deployment: Deployment, owner: str, task: str) -> bool:
    """Whether a task of this owner could be made, or lacks nothing but the owner."""
    deployment.ask("savepoint attempt")
    try:
        deployment.ask(TASK, owner, task)
    except (InsufficientPrivilege, ForeignKeyViolation) as error:
        deployment.ask("rollback to savepoint attempt")
        return isinstance(error, ForeignKeyViolation)
    return True
