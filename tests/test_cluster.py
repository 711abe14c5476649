"""The service on the cluster of Citus that `--cluster` names; without one, nothing of this runs."""

from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest
from psycopg2.errors import InsufficientPrivilege

from app import create_app
from app.core.ids import new_id
from tests import citus
from tests.conftest import CHEAP_HASH, PASSWORD, Account, settings_for
from tests.databases import migrate, opened
from tests.lines import exported
from tests.rig.proxy import Proxy
from tests.walking import walk

NOTES = (
    "create table notes (user_id uuid, id uuid, constraint pk_notes primary key (user_id, id))",
    """
do $$ begin
    if to_regprocedure('act_as(text, text, integer)') is not null then
        perform create_distributed_table('notes', 'user_id', colocate_with => 'users');
    end if;
end $$
""",
    """
alter table notes add constraint fk_notes_users
    foreign key (user_id) references users on delete cascade
""",
)
"""How a migration adds a table, as CONTRIBUTING.md has it."""

SERVER = """
select groupid from pg_dist_placement
    where shardid = get_shard_id_for_distribution_column('users', %s)
"""


@pytest.fixture
def migrated(cluster: str) -> Iterator[str]:
    """The URL of a database of the cluster that is migrated and not distributed."""
    with citus.database(cluster) as url:
        migrate(url, "heads")
        yield url


def account(application: Any, cursor: Any) -> Account:
    """A user of the application."""
    user_id = new_id()
    insert = "insert into users (id, email, password_hash) values (%s, %s, %s)"
    cursor.execute(insert, (user_id, f"{user_id}@example.com", CHEAP_HASH))
    token = application.extensions["token_verifier"].issue(user_id)
    return Account(user_id, f"{user_id}@example.com", token, application.test_client())


def fill(account: Account) -> None:
    """Rows of each kind that triggers keep something of."""
    label = account.create_label(name="Soon")["id"]
    parent = account.create_task(title="a", label_ids=[label], due_date="2099-01-31")
    account.create_task(title="b", parent_id=parent["id"], category_id=None)
    account.create_task(
        title="c",
        due_at="2099-01-31T08:00:00Z",
        recurrence={"rule": "FREQ=MONTHLY"},
        reminders=[{"before": "PT15M"}],
    )


# flask cluster distribute


def test_a_database_in_use_becomes_a_cluster_with_all_its_rows(migrated: str) -> None:
    with opened(migrated) as cursor:
        alice = account(create_app(settings_for(migrated)), cursor)
        fill(alice)
        counted = "select count(*) from "
        kept = {}
        for name in ("task_labels", "task_reminders"):
            cursor.execute(counted + name)
            kept[name] = cursor.fetchall()
        before = exported(alice)
        done = citus.spread(migrated)
        assert "tasks: distributed by user_id, with its rows" in done
        for name, count in kept.items():
            cursor.execute(counted + name)
            assert cursor.fetchall() == count != [(0,)]
        application = create_app(settings_for(migrated))
        again = alice._replace(client=application.test_client())
        assert exported(again) == before
        fill_again = again.create_task(title="d")
        assert again.get(f"/v1/tasks/{fill_again['id']}").status_code == 200
        assert citus.spread(migrated) == []


def test_no_server_compiles_statements(own_url: str) -> None:
    for node in citus.nodes(own_url):
        with opened(citus.on(own_url, node)) as cursor:
            cursor.execute("show jit")
            assert cursor.fetchall() == [("off",)], node


def test_a_migration_may_add_a_table_to_a_cluster(own_url: str) -> None:
    with opened(own_url) as cursor:
        for statement in NOTES:
            cursor.execute(statement)
        cursor.execute(
            "select partmethod from pg_dist_partition where logicalrelid = 'notes'::regclass"
        )
        assert cursor.fetchall() == [("h",)]
        alice = account(create_app(settings_for(own_url)), cursor)
        cursor.execute("insert into notes values (%s, %s)", (alice.user_id, new_id()))
        assert alice.delete("/v1/me", json={"current_password": PASSWORD}).status_code == 204
        cursor.execute("select count(*) from notes")
        assert cursor.fetchall() == [(0,)]
        cursor.execute("drop table notes")


# Isolation


def test_on_a_server_itself_a_role_sees_only_the_rows_of_its_user(own_url: str) -> None:
    """Whatever a query forgets: policies are in force where the rows are."""
    with opened(own_url) as cursor:
        alice = account(create_app(settings_for(own_url)), cursor)
        fill(alice)
        cursor.execute(
            "select logicalrelid::text, shardid, nodename, nodeport from pg_dist_shard_placement"
            " join pg_dist_shard using (shardid) join pg_dist_partition using (logicalrelid)"
            " where partmethod = 'h' and logicalrelid::text <> 'sign_in_addresses'"
            " and shardid = get_shard_id_for_distribution_column(logicalrelid, %s)",
            (alice.user_id,),
        )
        shards = cursor.fetchall()
        assert len({(host, port) for _, _, host, port in shards}) == 1
    node = citus.Node(*shards[0][2:], is_coordinator=False)
    seen = {}
    with opened(citus.on(own_url, node)) as cursor:
        cursor.execute("set citus.override_table_visibility = off")
        for user_id in ("", new_id(), alice.user_id):
            for table, shard, _, _ in shards:
                owner = "id" if table == "users" else "user_id"
                cursor.execute("begin; set local role tasks_app")
                cursor.execute("select set_config('app.user_id', %s, true)", (user_id,))
                try:
                    cursor.execute(f"select {owner} from {table}_{shard}")  # as one that forgets
                    seen[user_id, table] = {found for (found,) in cursor.fetchall()}
                except InsufficientPrivilege:
                    seen[user_id, table] = set()
                cursor.execute("rollback")
    assert {
        table for (user, table), found in seen.items() if found and user != alice.user_id
    } == set()
    own = {table for (_, table), found in seen.items() if found == {alice.user_id}}
    assert own >= {"users", "tasks", "labels", "task_labels", "task_reminders"}
    with opened(citus.on(own_url, node)) as cursor:
        cursor.execute("set citus.override_table_visibility = off")
        for table, shard, _, _ in shards:
            cursor.execute(
                "select relrowsecurity and relforcerowsecurity from pg_class where relname = %s",
                (f"{table}_{shard}",),
            )
            assert cursor.fetchall() == [(True,)]


# A server that is away


class Apart(NamedTuple):
    """Two users on two servers, the second of which is behind a proxy."""

    url: str
    near: Account
    far: Account
    group: int
    proxy: Proxy


def reached_by(url: str, group: int, port: int | None) -> None:
    """Have the coordinator reach a server by this port."""
    with opened(url) as cursor:
        cursor.execute("update pg_dist_node set nodeport = %s where groupid = %s", (port, group))


@pytest.fixture
def apart(own_url: str) -> Iterator[Apart]:
    application, found = create_app(settings_for(own_url)), dict[int, Account]()
    with opened(own_url) as cursor:
        while len(found) < 2:
            someone = account(application, cursor)
            cursor.execute(SERVER, (someone.user_id,))
            found.setdefault(cursor.fetchone()[0], someone)
        (_, near), (group, far) = found.items()
        cursor.execute("select nodename, nodeport from pg_dist_node where groupid = %s", (group,))
        [(host, port)] = cursor.fetchall()
    try:
        with Proxy(citus.on(own_url, citus.Node(host, port, is_coordinator=False))) as proxy:
            own = urlsplit(proxy.url).port
            reached_by(own_url, group, own)
            yield Apart(own_url, near, far, group, proxy)
    finally:
        reached_by(own_url, group, port)


def test_users_of_other_servers_are_served_while_one_is_away(apart: Apart) -> None:
    kept = apart.far.create_task(title="kept")["id"]
    own = urlsplit(apart.proxy.url).port
    apart.proxy.cut()
    reached_by(apart.url, apart.group, 1)  # where nothing listens
    for attempt in (
        apart.far.get("/v1/tasks"),
        apart.far.post("/v1/tasks", json={"title": "lost"}),
        apart.far.post("/v1/batch", json={"operations": []}),
    ):
        assert attempt.status_code in (503, 422)
    refused = apart.far.post("/v1/tasks", json={"title": "lost"})
    assert (refused.status_code, refused.json["type"]) == (503, "/problems/database-unavailable")
    assert refused.headers["Retry-After"]
    assert apart.near.create_task(title="served")["title"] == "served"
    health = apart.near.get("/health/db")
    assert (health.status_code, health.json["status"]) == (200, "ok")
    assert health.json["servers"]["away"] == 1
    reached_by(apart.url, apart.group, own)
    assert [task["id"] for task in walk(apart.far)] == [kept]


def test_what_was_acknowledged_is_there_once_however_often_a_server_breaks(apart: Apart) -> None:
    titles = [f"task {number}" for number in range(30)]
    apart.proxy.faults.lose_answer_to = b"COMMIT"  # of the coordinator to the server
    apart.proxy.faults.every = 3
    for number, title in enumerate(titles):
        if number % 5 == 0:
            apart.proxy.cut()
        for _ in range(20):
            answer = apart.far.post(
                "/v1/tasks", json={"title": title}, headers={"Idempotency-Key": f"key-{number}"}
            )
            if answer.status_code == 201:
                break
            assert answer.status_code == 503, answer.text
        assert answer.status_code == 201
    assert apart.proxy.cuts > 5
    apart.proxy.faults.lose_answer_to = b""
    assert sorted(task["title"] for task in walk(apart.far)) == sorted(titles)
