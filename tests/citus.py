"""Databases on a cluster of Citus that is given with `--cluster`, each made on every server."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import chain
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import pytest
from flask import current_app
from psycopg2 import sql

from app import create_app
from app.db.nodes import CITUS, Nodes
from app.db.statement import Statement
from app.ops.cluster.distribute import distribute
from app.ops.owning import connected
from tests.connections import opened

GIVEN: Final[dict[str, str]] = {}
"""The URL of a database on the coordinator, by the name `url`, if there is one."""

NOT_THERE: Final = {
    "a statement that forgets its owner asks every server, which Citus mostly refuses;"
    " test_cluster.py tries the policies on a server itself": ("[careless", "forgets_the_owner"),
    "it makes, takes back or compares the schema of one server": (
        "test_migrations.py",
        "test_every_rule_is_documented",
        "test_what_is_expected_is_what_the_migrations_make",
        "addresses_that_are_",
        "test_one_server_without",
        "test_doing_it_again_changes_nothing",
        "dump_of_one_user_holds",
    ),
    "the release before knows no cluster": (
        "test_what_the_release_before_writes",
        "that_the_one_before_has_answered",
        "test_both_releases",
    ),
    "it looks at the plans of one server": (
        "test_parts.py",
        "test_plans.py",
        "among_many_mails",
        "is_read_by_its_indexes",
        "test_finding_who_has_news",
        "without_webhooks_pays_nothing",
    ),
    "it knows how one server is told the timeout": (
        "test_a_statement_runs_as_its_role",
        "test_the_statement_gets_what_is_left",
    ),
    "it shows what one server answers": (
        "latency_pool_and_revision",
        "test_every_sample_in_python",
        "names_the_same_constraint_as_its_diagnostics",
    ),
    "it looks on the coordinator for who waits on a server": ("test_a_write_that_waited",),
    "it makes a trigger or a clock of its own": ("test_readers_amid_writers", "test_household.py"),
    "a statement keeps a text more there, which takes a megabyte of the limit": (
        "asked_for_every_shape",
    ),
    "such a dump lacks rows there (docs/operations/citus.md)": ("held_to_the_policies_fails",),
    "Citus makes restrictive policies permissive": ("as restrictive",),
    "the doctor makes no users there, and roles log in": ("[isolation.", "role tasks_auth login"),
}
"""Why some of the suite cannot run on a cluster, and what, by parts of names."""

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

NO_PLAN: Final = ("do ", "select 1 / 0", "selekt")
"""The block of a batch, and what tests send that fails everywhere, begin so."""

PATIENCE: Final = {
    "DB_POOL_TIMEOUT": "60",
    "DB_STATEMENT_TIMEOUT": "30",
    "REQUEST_DEADLINE": "60",
}
"""Settings of applications: a write asks three servers, and no test depends on speed."""


def beginning() -> bytes:
    """What every statement of the service begins with."""
    return b"select act_as" if GIVEN else b"set local role"


def runs(item: pytest.Item) -> bool:
    """Whether a test uses the cluster, and can."""
    uses = "cluster" in getattr(item, "fixturenames", ())
    return uses and not any(part in item.nodeid for part in chain(*NOT_THERE.values()))


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
    """The statements that applications send to a cluster, each with the first parameters it had.

    A batch sends those of single requests within a block, where they have none.
    """

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}
        self.values: dict[str, Any] = {}

    @contextmanager
    def noting(self) -> Iterator[None]:
        """Note each statement that becomes a text and whose parameters are bound."""
        text, bind = Statement.text, Statement.bind

        def asked(statement: Statement, nodes: Nodes) -> str:
            found = text(statement, nodes)
            if nodes is CITUS:
                self.texts[statement.sql] = found
            return found

        def bound(statement: Statement, parameters: Mapping[str, Any]) -> dict[str, Any]:
            found = bind(statement, parameters)
            self.values.setdefault(statement.sql, found)
            return found

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Statement, "text", asked)
            patch.setattr(Statement, "bind", bound)
            yield

    def spreading(self, url: str) -> set[str]:
        """The beginnings of those that ask more than one shard and are not among SPREADING, as the
        coordinator of this database explains them.
        """
        sent = {sql: text for sql, text in self.texts.items() if sql in self.values}
        with opened(url) as cursor:
            found = {
                " ".join(text.split())
                for sql, text in sent.items()
                if not text.startswith(NO_PLAN) and shards(cursor, text, self.values[sql]) > 1
            }
        return {
            text[:300]
            for text in found
            if not any(re.search(each, text, re.IGNORECASE) for each in SPREADING)
        }


def shards(cursor: Any, text: str, parameters: Any) -> int:
    """How many shards the largest step of a statement asks; 0 if it is none for the servers.

    Raises psycopg2.Error for one that cannot be planned.
    """
    cursor.execute(f"explain {text}", parameters)
    plan = "\n".join(line for (line,) in cursor.fetchall())
    return max((int(count) for count in re.findall(r"Task Count: (\d+)", plan)), default=0)
