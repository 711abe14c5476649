"""The scope of every statement, the pool, and what comes back from the database."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import psycopg2
import pytest
from apiflask import APIFlask
from sqlalchemy import event, select, text

from app import create_app
from app.core.ids import new_id
from app.db.base import db
from app.db.run import execute
from app.db.scope import Role, Scope, reading
from app.db.statement import Statement
from app.rows.owner import User
from tests.conftest import Account, settings_for
from tests.databases import migrate, opened, own_database, user_of

STATE = (
    "select pg_backend_pid(), current_user = session_user,"
    " coalesce(current_setting('app.user_id', true), ''),"
    " current_setting('statement_timeout') = '0'"
)


@pytest.fixture
def narrow(database_url: str) -> APIFlask:
    """An application with one connection, on which everything happens."""
    settings = settings_for(
        database_url, DB_POOL_SIZE="1", DB_MAX_OVERFLOW="0", DB_STATEMENT_TIMEOUT="0.3"
    )
    return create_app(settings)


def state(application: APIFlask) -> tuple[int, tuple[object, ...]]:
    """Which connection is in the pool, and what a statement without a scope would find on it."""
    with application.app_context():
        connection = db.engine.raw_connection()
        try:
            with connection.cursor() as cursor:
                cursor.execute(STATE)
                process, *settings = cursor.fetchone()
        finally:
            connection.close()
    return process, tuple(settings)


NOTHING_LEFT = (True, "", True)


# The scope


@pytest.mark.parametrize(
    "send",
    [
        lambda: db.session.execute(text("select 1")),
        lambda: db.session.execute(select(User)),
        lambda: db.session.connection().exec_driver_sql("select 1"),
        lambda: db.session.connection().execution_options(scope="tasks_app").execute(text("x")),
    ],
)
def test_a_statement_without_a_scope_is_never_sent(
    narrow: APIFlask, send: Callable[[], object]
) -> None:
    sent: list[str] = []
    with narrow.app_context():
        event.listen(db.engine, "after_cursor_execute", lambda *said: sent.append(said[2]))
        with pytest.raises(TypeError, match="without a scope"):
            send()
    assert sent == []


def test_a_statement_of_the_session_runs_in_the_scope_it_names(
    app: APIFlask, alice: Account, bob: Account
) -> None:
    everybody = select(User.id).execution_options(scope=reading(alice.user_id))
    with app.app_context():
        assert db.session.scalars(everybody).all() == [alice.user_id]


@pytest.mark.parametrize("user_id", ["x", "'; drop table users; --", "%s", "' || '"])
def test_nothing_but_an_id_gets_into_a_scope(user_id: str) -> None:
    with pytest.raises(ValueError, match="UUID"):
        Scope(Role.APP, user_id).prefix(5000)


def test_a_statement_runs_as_its_role_for_its_user_and_for_a_while(app: APIFlask) -> None:
    user_id = new_id()
    question = Statement(
        text(
            "select current_user as role, current_setting('app.user_id') as user_id,"
            " current_setting('statement_timeout') as timeout"
        )
    )
    with app.app_context():
        for role in Role:
            [row] = execute(Scope(role, user_id), question)
            assert tuple(row) == (role, user_id, "5s")


def test_nothing_of_a_scope_is_left_after_a_statement(narrow: APIFlask, auth: Any) -> None:
    account = auth(narrow)
    before, _ = state(narrow)
    task = account.create_task()
    assert account.get(f"/v1/tasks/{task['id']}").status_code == 200
    assert state(narrow) == (before, NOTHING_LEFT)


@pytest.mark.parametrize("statement", ["select 1 / 0", "select pg_sleep(5)", "selekt"])
def test_nothing_of_a_scope_is_left_after_an_error(narrow: APIFlask, statement: str) -> None:
    before, _ = state(narrow)
    with narrow.app_context(), pytest.raises(psycopg2.Error):
        execute(reading(new_id()), Statement(text(statement)))
    assert state(narrow) == (before, NOTHING_LEFT)


def test_without_a_user_no_row_is_seen(app: APIFlask, alice: Account) -> None:
    alice.create_task()
    tables = ("users", "tasks", "categories", "idempotency_keys")
    with app.app_context():
        for table in tables:
            counted = execute(Scope(Role.APP), Statement(text(f"select count(*) from {table}")))
            assert counted == [(0,)]


# Writes of one user


@contextmanager
def held(database_url: str, user_id: str) -> Iterator[Any]:
    """Another write of the user's, which does not end before the block does; its cursor."""
    with opened(database_url) as cursor:
        cursor.execute("begin; select from users where id = %s for no key update", (user_id,))
        yield cursor
        cursor.execute("commit")


def test_one_users_writes_wait_for_each_other_and_nobody_elses(
    narrow: APIFlask, auth: Any, database_url: str
) -> None:
    alice, bob = auth(narrow), auth(narrow)
    with held(database_url, alice.user_id):
        waited = alice.post("/v1/tasks", json={"title": "Buy milk"})
        assert (waited.status_code, waited.json["type"]) == (503, "/problems/database-busy")
        assert alice.get("/v1/tasks").json["items"] == []
        assert bob.create_task()["version"] == 1
    assert alice.create_task()["version"] == 1


def test_a_write_that_waited_sees_what_it_waited_for(
    app: APIFlask, alice: Account, database_url: str, connection: Any
) -> None:
    def waiting() -> bool:
        with connection.cursor() as cursor:
            cursor.execute(
                "select from pg_stat_activity where cardinality(pg_blocking_pids(pid)) > 0"
            )
            return cursor.rowcount > 0

    task = alice.create_task()
    path, expected = f"/v1/tasks/{task['id']}", {"If-Match": f'"{task["version"]}"'}
    with ThreadPoolExecutor(1) as pool:
        with held(database_url, alice.user_id) as other:
            write = pool.submit(alice.patch, path, json={"complete": True}, headers=expected)
            while not waiting() and not write.done():
                other.execute("select pg_sleep(0.02)")
            assert not write.done()
            other.execute(
                "update users set change_seq = change_seq + 1 where id = %(user)s;"
                " update tasks set title = 'Buy bread', version = version + 1 where id = %(task)s",
                {"user": alice.user_id, "task": task["id"]},
            )
        answer = write.result(timeout=10)
    assert (answer.status_code, answer.json["current"]["title"]) == (412, "Buy bread")


# What comes back


def test_instants_are_in_utc_whatever_the_database_prefers(cluster: str) -> None:
    with own_database(cluster) as url, opened(url) as cursor:
        migrate(url)
        name = url.rpartition("/")[2]
        cursor.execute(f"alter database {name} set timezone to 'Asia/Tokyo'")
        cursor.execute(f"alter role current_user in database {name} set timezone to 'Asia/Tokyo'")
        cursor.execute(f"alter role current_user in database {name} set datestyle to 'German'")
        account = user_of(url)
        made = account.create_task(due_at="2026-01-31T23:30:00+02:00", complete=True)
        listed = account.get("/v1/tasks?sort=due&due_after=2026-01-31T21:00:00Z").json["items"]
        assert listed == [made]
        assert made["due_at"] == "2026-01-31T21:30:00Z"
        assert account.create_task(due_date="2026-01-31")["due_date"] == "2026-01-31"
        for field in ("created_at", "updated_at", "completed_at"):
            assert made[field].endswith("Z")
        assert account.get("/v1/me").json["created_at"].endswith("Z")


@pytest.mark.parametrize(
    "title", ["100%", "%s %(title)s %%", "%(user_id)s", "a'b\"c\\d", "$1 ?", ":title", "{title}"]
)
def test_text_that_looks_like_a_parameter_is_kept(alice: Account, title: str) -> None:
    task = alice.create_task(title=title, description=title)
    assert (task["title"], task["description"]) == (title, title)
    found = alice.get("/v1/tasks", query_string={"q": title}).json["items"]
    assert [item["id"] for item in found] == [task["id"]]


def test_a_percent_sign_in_a_statement_is_one(app: APIFlask) -> None:
    with app.app_context():
        question = Statement(text("select 7 % 4 as rest, 'a%' as literal where 'ab' like :pattern"))
        assert execute(reading(new_id()), question, pattern="a%") == [(3, "a%")]
