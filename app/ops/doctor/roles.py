"""The role that the service logs in as, and the roles that its requests run as."""

from typing import Final

from app.db.scope import Role
from app.ops.doctor.deployment import Deployment, listed
from app.ops.doctor.findings import Finding
from app.ops.doctor.rights import ROLES, owned_tables

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


def login(deployment: Deployment) -> list[Finding]:
    """Whether the login has all rights that the service needs, and no more."""
    [(superuser, bypass, tables)] = deployment.ask(ATTRIBUTES, owned_tables())
    needed = [str(role) for role in Role]
    missing = set(needed) - {name for (name,) in deployment.ask(SWITCHABLE, needed)}
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
    if powerful := [name for (name,) in deployment.ask(POWERFUL, [*ROLES])]:
        text = f"{listed(powerful)} may log in, make roles or pass by policies"
        return [Finding(text, "roles.powerful")]
    return [Finding("requests run as roles that policies confine")]
