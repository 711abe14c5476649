"""Whether users are kept apart: tried with two accounts, in a transaction that is rolled back."""

from typing import Final
from uuid import uuid4

from psycopg2.errors import InsufficientPrivilege
from psycopg2.sql import SQL, Identifier

from app.ops.doctor.deployment import Deployment
from app.ops.doctor.findings import Finding
from app.ops.doctor.rights import owned_tables

ACCOUNT: Final = "insert into users (id, email, password_hash) values (%s, %s, 'none')"

TASK: Final = """
insert into tasks (user_id, id, title, complete, priority, version, created_at, updated_at)
    values (%s, %s, 'doctor', false, 0, 1, now(), now())
"""

ANOTHERS: Final = SQL("select 1 from {} where {} <> %s limit 1")

READABLE: Final = """
select name from unnest(%s) name where to_regclass(name) is not null
    and has_any_column_privilege('tasks_app', name, 'select')
"""


def isolation(deployment: Deployment) -> list[Finding]:
    """Whether a user sees, changes or makes what is another's; nothing stays of the attempt."""
    me, other, task = (str(uuid4()) for _ in range(3))
    with deployment.undone():
        for user_id in (me, other):
            become(deployment, "tasks_auth", user_id)
            deployment.ask(ACCOUNT, user_id, f"doctor-{user_id}@example.invalid")
        become(deployment, "tasks_app", other)
        own = made(deployment, other, task)
        if not own or not deployment.ask("select 1 from tasks where id = %s", task):
            return [Finding("a user cannot make a task and see it", "isolation.blind")]
        broken = attempts(deployment, me, other, task)
    if broken:
        return [Finding(f"a user can {what}", "isolation.broken") for what in broken]
    return [Finding("tried: a user neither sees, changes nor makes what is another's")]


def become(deployment: Deployment, role: str, user_id: str) -> None:
    """Run the transaction's next statements as a request of this user does."""
    deployment.ask(f"set local role {role}")
    deployment.ask("select set_config('app.user_id', %s, true)", user_id)


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
    """Whether a task of this owner could be made."""
    deployment.ask("savepoint attempt")
    try:
        deployment.ask(TASK, owner, task)
    except InsufficientPrivilege:
        deployment.ask("rollback to savepoint attempt")
        return False
    return True
