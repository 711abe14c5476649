"""Roles, policies and grants as they are in force, compared with those of the migrations."""

from collections import defaultdict
from typing import Final

from app.db.base import Base
from app.db.scope import Role
from app.ops.doctor.deployment import Deployment, listed
from app.ops.doctor.expected import RIGHTS, ROLES
from app.ops.doctor.findings import Finding

ME: Final = "(NULLIF(current_setting('app.user_id'::text, true), ''::text))::uuid"
"""Whose rows a policy lets through, as the server writes it."""

OWN_ROWS: Final = " using (user_id = me) check (user_id = me)"

ATTRIBUTES: Final = """
select rolsuper, rolbypassrls, (select count(*) from pg_class
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
    where rolname = any(%s) and (rolsuper or rolbypassrls or rolcanlogin or rolcreaterole)
"""

UNPROTECTED: Final = """
select relname, relrowsecurity from pg_class where relname = any(%s) and relkind in ('r', 'p')
    and relnamespace = current_schema()::regnamespace
    and not (relrowsecurity and relforcerowsecurity)
"""

POLICIES: Final = """
select tablename, policyname, permissive, roles::text[], cmd, qual, with_check
    from pg_policies where schemaname = current_schema()
"""

GRANTS: Final = """
select relname, coalesce(rolname, 'public'), lower(privilege_type), columns
from (
    select relname, relowner, acl.grantee, acl.privilege_type, null as columns
        from pg_class, aclexplode(relacl) acl
        where relkind in ('r', 'p') and relnamespace = current_schema()::regnamespace
    union all
    select relname, relowner, acl.grantee, acl.privilege_type,
            string_agg(attname, ', ' order by attname)
        from pg_class join pg_attribute on attrelid = pg_class.oid, aclexplode(attacl) acl
        where relkind in ('r', 'p') and relnamespace = current_schema()::regnamespace
        group by 1, 2, 3, 4
    union all
    select proname || '()', proowner, acl.grantee, acl.privilege_type, null
        from pg_proc, aclexplode(coalesce(proacl, acldefault('f', proowner))) acl
        where prosecdef and pronamespace = current_schema()::regnamespace
    union all
    select proname || '()', null, proowner, 'ownership', null
        from pg_proc where prosecdef and pronamespace = current_schema()::regnamespace
) granted left join pg_roles on pg_roles.oid = grantee
where grantee is distinct from relowner
"""
"""Those of tables, their columns, and functions that run with their owner's rights."""

BESIDE_MODELS: Final = ("alembic_version", "search_tasks()")

Rights = dict[str, set[str]]


def owned_tables() -> list[str]:
    """The tables whose rows belong to a user."""
    tables = Base.metadata.tables.values()
    return sorted(t.name for t in tables if t.name == "users" or "user_id" in t.columns)


def login(deployment: Deployment) -> list[Finding]:
    """Whether the service logs in as somebody who may do no more than it needs."""
    [(superuser, bypass, tables)] = deployment.ask(ATTRIBUTES, owned_tables())
    roles = [str(role) for role in Role]
    missing = set(roles) - {name for (name,) in deployment.ask(SWITCHABLE, roles)}
    found = [
        (superuser, "login.superuser", "the login is a superuser"),
        (bypass and not superuser, "login.bypass", "the login bypasses row-level security"),
        (tables, "login.owner", f"the login owns {tables} of the tables"),
        (missing, "login.stranger", f"the login may not act as {listed([*missing])}"),
    ]
    findings = [Finding(text, code) for applies, code, text in found if applies]
    return findings or [Finding("the login is only a member of the service's roles")]


def roles(deployment: Deployment) -> list[Finding]:
    """Whether the roles that requests run as are confined by policies."""
    powerful = [name for (name,) in deployment.ask(POWERFUL, [*ROLES])]
    if powerful:
        text = f"{listed(powerful)} may log in, make roles or pass by policies"
        return [Finding(text, "roles.powerful")]
    return [Finding("requests run as roles that policies confine")]


def policies(deployment: Deployment) -> list[Finding]:
    """Whether row-level security is on, forced, and says what the migrations say.

    A table that nothing is expected of is yours, and has to keep users apart.
    """
    findings = []
    for table, enabled in deployment.ask(UNPROTECTED, owned_tables()):
        code, said = ("unforced", "not forced") if enabled else ("off", "off")
        findings.append(Finding(f"{table}: row-level security is {said}", f"policies.{code}"))
    found = in_force(deployment, POLICIES)
    missing, excess = differences(found, "policy")
    for table in sorted(set(owned_tables()) - set(RIGHTS)):
        if not any(OWN_ROWS in line for line in found[table]):
            missing.append(f"{table}: a policy for tasks_app{OWN_ROWS}")
    for what, texts in (("is missing", missing), ("is not the migrations'", excess)):
        findings += [Finding(f"{text} {what}", "policies.different") for text in texts]
    return findings or [Finding("row-level security is forced, and as the migrations have it")]


def grants(deployment: Deployment) -> list[Finding]:
    """Whether each role may do what its requests need, and nobody else anything."""
    missing, excess = differences(in_force(deployment, GRANTS), "grant")
    findings = [Finding(f"{text} is missing", "grants.missing") for text in missing]
    for text in excess:
        ours = text.split(": grant ")[1].split(" ")[0] in {*ROLES, "public"}
        code = "grants.excess" if ours else "grants.others"
        findings.append(Finding(f"{text} is not the migrations'", code))
    return findings or [Finding("each role may do what the migrations let it, and no other can")]


def in_force(deployment: Deployment, query: str) -> Rights:
    """For each table what is in force there, as `expected` has it."""
    write = policy if query is POLICIES else grant
    found: Rights = defaultdict(set)
    for table, *columns in deployment.ask(query):
        found[table].add(write(*columns))
    return found


def policy(
    name: str, permissive: str, roles: list[str], command: str, using: str, check: str
) -> str:
    """A policy as a line of text, in which `me` is the user whom the statement runs for."""
    kind = "" if permissive == "PERMISSIVE" else f" as {permissive.lower()}"
    text = f"policy {name}{kind} for {command.lower()} to {listed(roles)}"
    text += f" using {using}" if using else ""
    return (text + (f" check {check}" if check else "")).replace(ME, "me")


def grant(role: str, privilege: str, columns: str | None) -> str:
    """A grant as a line of text."""
    return f"grant {role} {privilege}" + (f" ({columns})" if columns else "")


def differences(found: Rights, kind: str) -> tuple[list[str], list[str]]:
    """What is expected and not there, and what is there and not expected.

    Of what something is expected of, but for tables that the models do not have any more.
    """
    wanted = {
        name: {line for line in expected if line.startswith(kind)}
        for name, expected in RIGHTS.items()
        if name in Base.metadata.tables or name in BESIDE_MODELS
    }
    return told(wanted, found), told({name: found[name] for name in wanted}, wanted)


def told(these: Rights, others: Rights) -> list[str]:
    """What these have and the others lack, with the table's name."""
    return sorted(
        f"{table}: {line}"
        for table, lines in these.items()
        for line in lines - set(others.get(table, ()))
    )
