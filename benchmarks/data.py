"""The database: the service's own schema, with the same rows for everybody."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

import psycopg2

from app import create_app
from app.core.ids import new_id
from tests.conftest import settings_for
from tests.databases import migrate, opened
from tests.rig.cluster import Cluster

USERS: Final = 10
TASKS: Final = 1000
TOKEN_SECONDS: Final = 6 * 60 * 60
TEMPLATE: Final = "template_tasks"
LOGIN: Final = "tasks_service"

# PostgreSQL's defaults but for one: nothing is to happen in one contestant's turn by chance.
OPTIONS: Final = "-c fsync=on -c autovacuum=off"

# Each user's tasks are a second apart, the first one the newest.
ROWS: Final = """
insert into tasks (user_id, id, title, description, complete, completed_at, priority, due_date,
    due_at, category_id, version, created_at, updated_at)
select %(user_id)s, id, 'Task number ' || n, 'What is to be done about it, in some words more',
    n %% 4 = 0, case when n %% 4 = 0 then now() end, n %% 4,
    case when n %% 3 = 0 then '2027-03-01'::date end,
    case when n %% 3 = 1 then '2027-03-01 12:00Z'::timestamptz end,
    case when n %% 5 = 0 then %(category_id)s::uuid end,
    n, now() - make_interval(secs => n), now() - make_interval(secs => n)
from unnest(%(ids)s::uuid[]) with ordinality as tasks (id, n)
"""


@dataclass(frozen=True)
class Person:
    """A user with a token, and the ids of their tasks, newest first."""

    user_id: str
    token: str
    tasks: list[str]


@dataclass(frozen=True)
class Ground:
    """A cluster in which each contestant gets a database of its own, with the same rows."""

    cluster: Cluster
    people: list[Person]

    @property
    def postmaster(self) -> int:
        """The process of the server."""
        return int((self.cluster.data / "postmaster.pid").read_text().split()[0])

    @property
    def targets(self) -> str:
        """Every task with a token of its owner, on lines whose neighbours are of other users."""
        rows = zip(*(person.tasks for person in self.people), strict=True)
        tokens = [person.token for person in self.people]
        pairs = (pair for row in rows for pair in zip(tokens, row, strict=True))
        return "".join(f"{token} {task}\n" for token, task in pairs)

    def fresh(self, name: str) -> str:
        """The owner's URL of a new database of that name, in place of an older one."""
        with opened(self.cluster.url) as cursor:
            cursor.execute(f"drop database if exists {name} with (force)")
            cursor.execute(f"create database {name} template {TEMPLATE}")
        return at(self.cluster.url, name)


@contextmanager
def ground() -> Iterator[Ground]:
    """A temporary cluster with the rows that every database begins with."""
    with Cluster.throwaway(OPTIONS) as cluster:
        with opened(cluster.url) as cursor:
            cursor.execute(f"create database {TEMPLATE}")
        template = at(cluster.url, TEMPLATE)
        migrate(template)
        with opened(template) as cursor:
            people = populate(cursor, template)
        yield Ground(cluster, people)


def populate(cursor: Any, url: str) -> list[Person]:
    """Make the users, their tasks, and the login that the service is to use."""
    cursor.execute(f"create role {LOGIN} login noinherit password '{urlsplit(url).password}'")
    cursor.execute(f"grant tasks_app, tasks_auth, tasks_maintenance, tasks_worker to {LOGIN}")
    verifier = create_app(settings_for(url)).extensions["token_verifier"]
    people = []
    for _ in range(USERS):
        user_id = new_id()
        person = Person(
            user_id,
            verifier.issue(user_id, seconds=TOKEN_SECONDS),
            [new_id() for _ in range(TASKS)],
        )
        add(cursor, person)
        people.append(person)
    cursor.execute("vacuum (freeze, analyze)")
    return people


def add(cursor: Any, person: Person) -> None:
    """Make one user with a category and their tasks."""
    values = {"user_id": person.user_id, "category_id": new_id(), "ids": person.tasks}
    cursor.execute(
        "insert into users (id, email, password_hash, change_seq)"
        " values (%(user_id)s, %(user_id)s || '@example.com', 'none', cardinality(%(ids)s))",
        values,
    )
    cursor.execute(
        "insert into categories (user_id, id, name, version, created_at, updated_at)"
        " values (%(user_id)s, %(category_id)s, 'Home', 1, now(), now())",
        values,
    )
    cursor.execute(ROWS, values)


def at(url: str, database: str) -> str:
    """The URL of another database in the cluster."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{database}"))


def as_service(url: str) -> str:
    """The URL with the login of least rights, instead of the owner's."""
    return url.replace("://app:", f"://{LOGIN}:")


def server_version(url: str) -> str:
    """Which PostgreSQL it is."""
    connection = psycopg2.connect(url)
    try:
        major, minor = divmod(connection.server_version, 10000)
        return f"{major}.{minor}"
    finally:
        connection.close()
