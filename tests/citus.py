"""Databases on a cluster of Citus that is given with `--cluster`, each made on every server."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import psycopg2
import pytest
from flask import current_app
from psycopg2 import sql
from sqlalchemy import Engine, event

from app import create_app
from app.ops.cluster.distribute import distribute
from app.ops.owning import connected
from tests.connections import opened

GIVEN: Final[dict[str, str]] = {}
"""The URL of a database on the coordinator, by the name `url`, if there is one."""

NOT_THERE: Final = {
    "[careless": "a statement that forgets its owner asks every server, which Citus mostly refuses;"
    " test_cluster.py tries the policies on a server itself",
    "forgets_the_owner": "the same",
    "test_what_the_release_before_writes": "the release before knows no cluster",
    "test_both_releases": "the same",
    "test_a_statement_runs_as_its_role": "it knows the timeout of one server",
    "test_a_write_that_waited": "it looks on the coordinator for who waits on a server",
    "test_readers_amid_writers": "it makes a trigger of its own",
}
"""What of the suite cannot run on a cluster, by a part of its name, and why."""

SPREADING: Final = (
    r"^select user_id, id, deleted_at from",  # what a purge finds
    r"^delete from \w+ where \([^)]+\) in \(select",  # what has expired
    r"\bnfc_version\b",  # what `flask purge` brings to one form of Unicode
    r"^select \S+ from users\b|^select users\.id.* from users",  # `flask users`
    r"^(with .*)?select .* from (mails|webhooks)\b",  # what the worker finds
    r"delete from sign_in_addresses",  # an erased account gives its address up, and a changed one
    r"^select count\(\*\) from",  # what tests ask themselves
)
"""Statements that ask more than one shard, as patterns: what works across users, and what gives up
an address, which is on another server than its user.
"""

PATIENCE: Final = {
    "DB_POOL_TIMEOUT": "60",
    "DB_STATEMENT_TIMEOUT": "60",
    "REQUEST_DEADLINE": "60",
}
"""Settings of applications: a write asks three servers, and no test depends on speed."""


def runs(item: pytest.Item) -> bool:
    """Whether a test uses the cluster, and can."""
    uses = "cluster" in getattr(item, "fixturenames", ())
    return uses and not any(part in item.nodeid for part in NOT_THERE)


class Node(NamedTuple):
    """A server of the cluster."""

    host: str
    port: int
    is_coordinator: bool


def nodes(url: str) -> list[Node]:
    """The servers that the coordinator knows."""
    with opened(url) as cursor:
        cursor.execute("select nodename, nodeport, groupid = 0 from pg_dist_node order by groupid")
        return [Node(*row) for row in cursor.fetchall()]


@contextmanager
def database(url: str) -> Iterator[str]:
    """The URL of a new and empty database of the cluster, of which this is another; dropped
    afterwards.
    """
    name, servers = f"test_{uuid4().hex}", nodes(url)
    try:
        for node in servers:
            with opened(on(url, node)) as cursor:
                create = "create database {} template template0 encoding 'UTF8' locale 'C.UTF-8'"
                cursor.execute(named(create, name))
            with opened(on(url, node, name)) as cursor:
                cursor.execute("create extension citus")
        coordinator, *others = servers
        with opened(on(url, coordinator, name)) as cursor:
            cursor.execute(
                "select citus_set_coordinator_host(%s, %s)", (coordinator.host, coordinator.port)
            )
            for node in others:
                cursor.execute("select citus_add_node(%s, %s)", (node.host, node.port))
        yield on(url, coordinator, name)
    finally:
        for node in servers:
            with opened(on(url, node)) as cursor:
                cursor.execute(named("drop database if exists {} with (force)", name))


def spread(url: str) -> list[str]:
    """Distribute the tables of a migrated database, as `flask cluster distribute` does, and return
    what it says.
    """
    from tests.conftest import settings_for

    with (
        create_app(settings_for(url)).app_context(),
        connected(current_app.config["MIGRATION_URL"], "") as connection,
        connection.begin(),
    ):
        return list(distribute(connection))


def named(statement: str, name: str) -> sql.Composed:
    """The statement with a name in it."""
    return sql.SQL(statement).format(sql.Identifier(name))


def on(url: str, node: Node, name: str | None = None) -> str:
    """The URL of a database, by default the same one, on a server."""
    parts = urlsplit(url)
    login = parts.netloc.rpartition("@")[0]
    netloc = f"{login}@{node.host}:{node.port}"
    return urlunsplit(parts._replace(netloc=netloc, path=f"/{name}" if name else parts.path))


class Recorder:
    """The statements that applications have sent, each with the first parameters that it had."""

    def __init__(self) -> None:
        self.sent: dict[str, Any] = {}
        event.listen(Engine, "before_cursor_execute", self._note)

    def _note(
        self, _connection: Any, _cursor: Any, text: str, parameters: Any, context: Any, _many: bool
    ) -> None:
        prefix = context.execution_options.get("prefix")
        if prefix and not context.execution_options.get("no_parameters"):
            self.sent.setdefault(text.removeprefix(prefix), parameters)

    def spreading(self, url: str) -> set[str]:
        """The beginnings of those that ask more than one shard and are not among SPREADING, as the
        coordinator of this database explains them.
        """
        with opened(url) as cursor:
            found = {
                " ".join(text.split())
                for text, values in self.sent.items()
                if shards(cursor, text, values) > 1
            }
        return {
            text[:300]
            for text in found
            if not any(re.search(each, text, re.IGNORECASE) for each in SPREADING)
        }


def shards(cursor: Any, text: str, parameters: Any) -> int:
    """How many shards the largest step of a statement asks; 0 if it is none for the servers, or one
    that cannot be planned, as those that a test makes to fail.
    """
    try:
        cursor.execute(f"explain {text}", parameters)
    except psycopg2.Error:
        return 0
    plan = "\n".join(line for (line,) in cursor.fetchall())
    return max((int(count) for count in re.findall(r"Task Count: (\d+)", plan)), default=0)
