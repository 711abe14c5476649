"""The schema: made and unmade by migrations, the same as the models, and never in a long queue."""

import json
import logging
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import psycopg2
import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from click import ClickException
from sqlalchemy import Engine, create_engine
from sqlalchemy.pool import NullPool

from app import create_app
from app.api.kinds import KINDS
from app.db.base import Base
from app.db.scope import Role
from app.dev.embedded import throwaway
from tests.conftest import PASSWORD, ROOT, SECRET, Account, gunicorn, settings_for
from tests.databases import MIGRATIONS, migrate, migrate_down, opened, own_database
from tests.people import session, sign_in
from tests.traffic import Ask, Callers

MIGRATION_LOCK = 7_310_452_861
"""That of migrations/env.py, which every release shares."""

OWNER, OWNERS_PASSWORD = "neon_owner", "owner"

TABLES = "select tablename from pg_tables where schemaname = 'public' order by 1"
ROLES = f"select rolname from pg_roles where rolname ~ '^{Role.APP.removesuffix('app')}' order by 1"
ALL_ROLES = [
    "tasks_app",
    "tasks_auth",
    "tasks_links",
    "tasks_maintenance",
    "tasks_search",
    "tasks_worker",
]
WAITING = """
    select count(*) from pg_locks join pg_database on oid = database
        where locktype = 'advisory' and not granted and datname = current_database()
"""
REVISION = "select version_num from alembic_version"
DEFINITIONS = """
    select conrelid::regclass::text, conname, pg_get_constraintdef(oid)
        from pg_constraint where connamespace = 'public'::regnamespace and contype <> 't'
        and conrelid::regclass::text <> 'alembic_version'
    union all select tablename, indexname, indexdef from pg_indexes
        where schemaname = 'public' and tablename <> 'alembic_version'
    union all select table_name, column_name, concat_ws(' ', data_type, is_nullable,
            column_default, is_generated, generation_expression, collation_name)
        from information_schema.columns
        where table_schema = 'public' and table_name <> 'alembic_version'
    order by 1, 2, 3
"""
POLICIES = """
    select tablename, policyname, array_to_string(roles, ', '), cmd, qual, with_check
        from pg_policies order by 1, 2
"""
TABLE_GRANTS = """
    select relname, array_to_string(array_agg(grantee::regrole || '=' || privileges
            order by grantee::regrole::text), ' ')
        from (select c.relname, a.grantee, string_agg(left(a.privilege_type, 1), ''
                order by a.privilege_type) as privileges
            from pg_class c, aclexplode(c.relacl) a
            where c.relnamespace = 'public'::regnamespace and a.grantee <> c.relowner
            group by 1, 2) granted
        group by 1 order by 1
"""
COLUMN_GRANTS = """
    select grantee, privilege_type, string_agg(column_name, ' ' order by column_name)
        from information_schema.column_privileges c
        where table_name = 'users' and grantee ~ '_(app|auth|links|maintenance|worker)$'
            and not exists (
            select from information_schema.role_table_grants t
            where t.table_name = 'users' and t.grantee = c.grantee
            and t.privilege_type = c.privilege_type)
        group by 1, 2 order by 1, 2
"""


def ask(cursor: Any, question: str) -> list[Any]:
    cursor.execute(question.replace("%%", "%"))
    return [row[0] if len(row) == 1 else row for row in cursor.fetchall()]


def revisions() -> list[str]:
    """Every revision, oldest first."""
    config = Config()
    config.set_main_option("script_location", MIGRATIONS.replace("%", "%%"))
    return [step.revision for step in ScriptDirectory.from_config(config).walk_revisions()][::-1]


@pytest.fixture(scope="module")
def neon() -> Iterator[str]:
    """A cluster whose roles are all made by an owner like Neon's, who is no superuser."""
    with throwaway() as url, opened(url) as cursor:
        cursor.execute(
            f"create role {OWNER} login password '{OWNERS_PASSWORD}'"
            " nosuperuser createdb createrole bypassrls"
        )
        yield url


def owned(neon: str) -> AbstractContextManager[str]:
    """A database of the owner's."""
    return own_database(neon, owner=OWNER, password=OWNERS_PASSWORD)


def engine(url: str) -> Engine:
    return create_engine(str(settings_for(url).database_url), poolclass=NullPool)


def upgrading(url: str, root: Path = ROOT) -> "subprocess.Popen[str]":
    """A process that migrates the database to this release, or to that at `root`."""
    return python(url, root, "-m", "flask", "db", "upgrade")


def python(url: str, root: Path, *arguments: str, **settings: str) -> "subprocess.Popen[str]":
    """A process of the release at `root`."""
    environment = {
        "PATH": os.environ["PATH"],
        "FLASK_SKIP_DOTENV": "1",
        "APP_ENV": "test",
        "DATABASE_URL": url,
        "JWT_SECRET": SECRET,
        **settings,
    }
    return subprocess.Popen(
        [sys.executable, *arguments],
        cwd=root,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def endings(*processes: "subprocess.Popen[str]") -> list[str]:
    """What the processes said, all of which succeed."""
    try:
        outputs = [process.communicate(timeout=300) for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0] * len(processes), outputs
    return [standard + error for standard, error in outputs]


# There and back


def test_each_revision_can_be_reached_left_without_a_trace_and_reached_again(cluster: str) -> None:
    with own_database(cluster) as url, opened(url) as cursor:
        for revision in revisions():
            before = ask(cursor, DEFINITIONS)
            migrate(url, revision)
            assert ask(cursor, REVISION) == [revision]
            migrate_down(url, "-1")
            assert ask(cursor, DEFINITIONS) == before
            migrate(url, revision)
        migrate_down(url)
        assert ask(cursor, TABLES) == ["alembic_version"]
        migrate(url)
        assert ask(cursor, REVISION) == revisions()[-1:]


def test_migrating_again_changes_nothing(database_url: str, connection: Any) -> None:
    with connection.cursor() as cursor:
        before = ask(cursor, DEFINITIONS)
        migrate(database_url)
        assert ask(cursor, DEFINITIONS) == before


# The same as the models


def test_alembic_finds_no_difference_between_models_and_schema(database_url: str) -> None:
    options = {"compare_type": True, "compare_server_default": True}
    with engine(database_url).connect() as connection:
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, Base.metadata) == []


def test_constraints_indexes_and_columns_are_defined_as_in_the_models(
    cluster: str, connection: Any
) -> None:
    with own_database(cluster) as url, opened(url) as cursor, connection.cursor() as migrated:
        # An index and a default are of functions, which are no part of the models.
        for name in ("text_pieces", "position_of_number", "position_of_time", "is_sorted_set"):
            (function,) = ask(migrated, f"select pg_get_functiondef('{name}'::regproc)")
            cursor.execute(function)
        with engine(url).begin() as modelled:
            Base.metadata.create_all(modelled)
        assert ask(cursor, DEFINITIONS) == ask(migrated, DEFINITIONS)


OWN_ID = "(id = (NULLIF(current_setting('app.user_id'::text, true), ''::text))::uuid)"
OWN_USER_ID = f"(user_{OWN_ID[1:]}"
ROWS = [kind.plural for kind in KINDS.values()]
"""The tables of each kind of row, which all have the same policies and grants."""


def test_policies_are_these(connection: Any) -> None:
    app, auth, maintenance, worker = "tasks_app", "tasks_auth", "tasks_maintenance", "tasks_worker"
    links, resets = "tasks_links", "(kind = 'password_reset'::text)"
    done = ("(sent_at IS NOT NULL)", "(given_up_at IS NOT NULL)")
    deleted = "(deleted_at IS NOT NULL)"
    of_rows = [(table, "own_rows", app, "ALL", OWN_USER_ID, OWN_USER_ID) for table in ROWS]
    of_rows += [(table, "purge", maintenance, "ALL", deleted, None) for table in ROWS]
    with connection.cursor() as cursor:
        assert set(ask(cursor, POLICIES)) == {
            *of_rows,
            ("idempotency_keys", "own_rows", f"{app}, {auth}", "ALL", OWN_USER_ID, OWN_USER_ID),
            ("idempotency_keys", "purge", maintenance, "ALL", "true", None),
            ("mail_tokens", "look", worker, "SELECT", "true", None),
            ("mail_tokens", "own_rows", f"{auth}, {links}", "ALL", OWN_USER_ID, OWN_USER_ID),
            ("mail_tokens", "purge", maintenance, "ALL", "(expires_at < now())", None),
            ("mail_tokens", "reset", worker, "INSERT", None, resets),
            ("mails", "look", worker, "SELECT", "true", None),
            ("mails", "purge", maintenance, "ALL", f"({done[0]} OR {done[1]})", None),
            ("mails", "queue", auth, "INSERT", None, OWN_USER_ID),
            ("mails", "reset", worker, "INSERT", None, resets),
            ("mails", "tell", links, "INSERT", None, OWN_USER_ID),
            (
                "mails",
                "work",
                worker,
                "UPDATE",
                "((sent_at IS NULL) AND (given_up_at IS NULL))",
                "true",
            ),
            ("moved_tasks", "own_rows", app, "ALL", OWN_USER_ID, OWN_USER_ID),
            ("personal_access_tokens", "find", auth, "SELECT", OWN_USER_ID, None),
            ("personal_access_tokens", "own_links", links, "ALL", OWN_USER_ID, None),
            ("personal_access_tokens", "own_rows", app, "ALL", OWN_USER_ID, OWN_USER_ID),
            ("personal_access_tokens", "purge", maintenance, "ALL", "(expires_at < now())", None),
            ("refresh_tokens", "find", app, "SELECT", OWN_USER_ID, None),
            ("refresh_tokens", "finish", app, "DELETE", OWN_USER_ID, None),
            ("refresh_tokens", "own_links", links, "ALL", OWN_USER_ID, None),
            ("refresh_tokens", "own_rows", auth, "ALL", OWN_USER_ID, OWN_USER_ID),
            ("refresh_tokens", "purge", maintenance, "ALL", "(expires_at < now())", None),
            ("sign_in_addresses", "find", f"{auth}, {worker}", "SELECT", "true", None),
            ("sign_in_addresses", "own_links", links, "ALL", OWN_USER_ID, OWN_USER_ID),
            ("sign_in_addresses", "own_row", app, "ALL", OWN_USER_ID, None),
            ("sign_in_addresses", "sign_up", auth, "INSERT", None, OWN_USER_ID),
            ("task_labels", "own_rows", app, "ALL", OWN_USER_ID, OWN_USER_ID),
            ("task_reminders", "own_rows", app, "ALL", OWN_USER_ID, OWN_USER_ID),
            ("task_reminders", "look", worker, "SELECT", "true", None),
            (
                "task_reminders",
                "purge",
                maintenance,
                "ALL",
                "(at < (now() - '7 days'::interval))",
                None,
            ),
            ("tasks", "search", "tasks_search", "SELECT", "true", None),
            ("users", "find", f"{auth}, {maintenance}", "SELECT", "true", None),
            ("users", "forget", maintenance, "DELETE", "(pending_until < now())", None),
            ("users", "lock", auth, "UPDATE", OWN_ID, None),
            ("users", "look", worker, "SELECT", "((email IS NOT NULL) OR has_webhooks)", None),
            ("users", "own_links", links, "ALL", OWN_ID, OWN_ID),
            ("users", "own_row", app, "ALL", OWN_ID, OWN_ID),
            ("users", "purge", maintenance, "UPDATE", "true", "true"),
            ("users", "sign_up", auth, "INSERT", None, OWN_ID),
            ("webhooks", "look", worker, "SELECT", "true", None),
            ("webhooks", "own_rows", app, "ALL", OWN_USER_ID, OWN_USER_ID),
            ("webhooks", "work", worker, "UPDATE", "true", None),
        }


def test_grants_are_these(connection: Any) -> None:
    with connection.cursor() as cursor:
        # The initials of delete, insert, select and update.
        assert dict(ask(cursor, TABLE_GRANTS)) == {
            **dict.fromkeys(ROWS, "tasks_app=ISU tasks_maintenance=DS"),
            "alembic_version": "tasks_app=S",
            "idempotency_keys": "tasks_app=ISU tasks_auth=DISU tasks_maintenance=D",
            "jobs": "tasks_worker=S",
            "mail_tokens": "tasks_auth=D tasks_links=D tasks_maintenance=D",
            "mails": "tasks_maintenance=D",
            "moved_tasks": "tasks_app=IS",
            "password_resets": "tasks_worker=DS",
            "personal_access_tokens": "tasks_app=DI tasks_links=D tasks_maintenance=D",
            "refresh_tokens": "tasks_app=D tasks_auth=DISU tasks_links=D tasks_maintenance=DS",
            "sign_in_addresses": "tasks_app=DS tasks_auth=IS tasks_links=DIS tasks_worker=S",
            "task_labels": "tasks_app=DIS",
            "task_reminders": "tasks_app=DIS tasks_maintenance=D tasks_worker=S",
            "users": "tasks_app=D tasks_auth=S tasks_maintenance=D",
            "webhooks": "tasks_app=D",
            "worker_totals": "tasks_worker=S",
        }
        bounds = "used_bytes used_rows"
        own = (
            "change_seq counted_at created_at disabled_at email email_verified has_webhooks id name"
            f" purged_version time_zone updated_at {bounds} version"
        )
        changed = f"change_seq counted_at has_webhooks name time_zone updated_at {bounds} version"
        assert ask(cursor, COLUMN_GRANTS) == [
            ("tasks_app", "INSERT", "id"),
            ("tasks_app", "SELECT", own),
            ("tasks_app", "UPDATE", changed),
            ("tasks_auth", "INSERT", "email id name password_hash pending_until"),
            ("tasks_auth", "UPDATE", "password_changed_at password_hash updated_at"),
            (
                "tasks_links",
                "SELECT",
                "change_seq disabled_at email email_verified id password_hash updated_at version",
            ),
            (
                "tasks_links",
                "UPDATE",
                "change_seq email email_verified password_changed_at password_hash pending_until"
                " updated_at version",
            ),
            (
                "tasks_maintenance",
                "SELECT",
                "change_seq created_at disabled_at email id name nfc_version pending_until"
                f" purged_version {bounds} version",
            ),
            ("tasks_maintenance", "UPDATE", f"disabled_at nfc_version purged_version {bounds}"),
            ("tasks_worker", "SELECT", "change_seq disabled_at email id"),
        ]


def test_the_roles_can_neither_sign_in_nor_pass_by_a_policy(connection: Any) -> None:
    with connection.cursor() as cursor:
        rights = f"""
            select rolname, rolcanlogin, rolsuper, rolbypassrls from pg_roles
                where rolname in ({ROLES}) order by 1
        """
        assert ask(cursor, rights) == [(role, False, False, False) for role in ALL_ROLES]


# Who migrates


def test_an_owner_who_is_no_superuser_migrates_and_serves(neon: str) -> None:
    with owned(neon) as url, opened(url) as cursor:
        migrate(url)
        application = create_app(settings_for(url))
        assert ask(cursor, ROLES) == ALL_ROLES
        callers = []
        for name in ("alice", "bob"):
            client, email = application.test_client(), f"{name}@example.com"
            body = {"email": email, "password": PASSWORD}
            registered = client.post("/v1/auth/register", json=body)
            assert registered.status_code == 201, registered.text
            token = session(client, sign_in(client, email)).refreshed().access_token
            callers.append(Account(registered.json["id"], email, token, client))
        alice, bob = callers
        task = alice.create_task(category_id=alice.create_category()["id"])
        path = f"/v1/tasks/{task['id']}"
        assert alice.patch(path, json={"complete": True}).status_code == 200
        assert bob.get(path).status_code == 404
        assert alice.get("/health/db").json["revision"]["up_to_date"] is True
        assert alice.erase().status_code == 204
        purge = application.test_cli_runner().invoke(args=["purge"])
        assert purge.exit_code == 0, purge.output

        migrate_down(url)

        assert ask(cursor, TABLES) == ["alembic_version"]
        assert ask(cursor, ROLES) == []


def test_a_downgrade_leaves_the_other_databases_of_the_cluster_working(neon: str) -> None:
    with owned(neon) as one, owned(neon) as other, opened(other) as cursor:
        migrate(one)
        migrate(other)
        migrate_down(one)
        assert ask(cursor, ROLES) == ALL_ROLES
        client = create_app(settings_for(other)).test_client()
        body = {"email": "alice@example.com", "password": PASSWORD}
        assert client.post("/v1/auth/register", json=body).status_code == 201
        migrate(one)
        migrate_down(other)
        migrate_down(one)
        assert ask(cursor, ROLES) == []


# At once


def test_two_processes_and_two_databases_migrate_at_once(neon: str) -> None:
    with owned(neon) as one, owned(neon) as other, opened(one) as holder:
        holder.execute(f"begin; select pg_advisory_xact_lock({MIGRATION_LOCK})")
        processes = [upgrading(one), upgrading(one)]
        migrate(other)
        while ask(holder, WAITING) != [2] and all(p.poll() is None for p in processes):
            ask(holder, "select pg_sleep(0.05)")
        waiting = ask(holder, WAITING)
        holder.execute("rollback")
        assert waiting == [2]
        steps = [output.count("Running upgrade") for output in endings(*processes)]
        assert sorted(steps) == [0, len(revisions())]
        for url in (one, other):
            with opened(url) as cursor:
                assert ask(cursor, REVISION) == revisions()[-1:]


def test_a_migration_gives_up_rather_than_queue_behind_a_long_transaction(cluster: str) -> None:
    with own_database(cluster) as url, opened(url) as holder, opened(url) as cursor:
        migrate(url)
        before = ask(cursor, DEFINITIONS)
        # The first table that is dropped is free, so that there is something to leave half-done.
        holder.execute("begin; lock table users in access share mode")
        with pytest.raises(ClickException, match="lock timeout") as failed:
            migrate_down(url)
        assert len(failed.value.message.splitlines()) == 1
        assert ask(cursor, DEFINITIONS) == before
        assert ask(cursor, REVISION) == revisions()[-1:]
        holder.execute("rollback")
        migrate_down(url)
        assert ask(cursor, TABLES) == ["alembic_version"]


# The command


def run(url: str, *arguments: str, **settings: str) -> Any:
    runner = create_app(settings_for(url, **settings)).test_cli_runner()
    return runner.invoke(args=["db", *arguments, "--directory", MIGRATIONS])


def test_what_an_upgrade_leaves_for_later_is_done_when_it_is_run_again(cluster: str) -> None:
    fill = """
        insert into users (id) select gen_random_uuid() from generate_series(1, 3);
        insert into tasks (user_id, id, title, complete, priority, version, created_at, updated_at)
            select id, gen_random_uuid(), 'x', false, 0, n, now() - n * interval '1 day', now()
            from users, generate_series(1, 5) n;
        create function refuse() returns trigger language plpgsql as $$
            begin raise 'the disk is full'; end $$;
        create trigger refuse before update on tasks for each row execute function refuse();
    """
    in_order = (
        "select count(*) from (select version, row_number() over (partition by user_id"
        " order by position desc) from tasks) each where version = row_number"
    )
    with own_database(cluster) as url, opened(url) as cursor:
        migrate(url, "0010")
        cursor.execute(fill)
        with pytest.raises(ClickException, match=r"not finished.*disk is full"):
            migrate(url)
        assert ask(cursor, REVISION) == revisions()[-1:]
        cursor.execute("drop trigger refuse on tasks")
        migrate(url)
        assert ask(cursor, in_order) == [15]
        assert ask(cursor, "select count(*) from pg_constraint where not convalidated") == [0]
        with pytest.raises(psycopg2.errors.NotNullViolation):
            cursor.execute("update tasks set position = null")


def test_the_sql_of_the_migrations_can_be_printed_and_run_by_hand(
    cluster: str, connection: Any
) -> None:
    with own_database(cluster) as url, opened(url) as cursor:
        printed = run(url, "upgrade", "--sql")
        assert printed.exit_code == 0, printed.output
        assert ask(cursor, TABLES) == []
        lines = [line for line in printed.stdout.splitlines() if not line.startswith("{")]
        cursor.execute("\n".join(lines))
        assert ask(cursor, REVISION) == revisions()[-1:]
        with connection.cursor() as migrated:
            for question in (DEFINITIONS, POLICIES, TABLE_GRANTS):
                assert ask(cursor, question) == ask(migrated, question)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        (
            "postgresql://app:hidden@ep-blue-pooler.example.com/tasks",
            "DATABASE_URL_UNPOOLED is required",
        ),
        (
            "postgresql://app:hidden@127.0.0.1:1/tasks",
            "nothing was migrated: no connection: Connection refused",
        ),
        (
            "postgresql://app:hidden@nowhere.invalid/tasks",
            "nothing was migrated: no connection: could not translate host name",
        ),
    ],
)
def test_a_database_that_cannot_be_migrated_is_told_in_one_line(url: str, said: str) -> None:
    failed = run(url, "upgrade")
    assert failed.exit_code == 1
    assert failed.stderr.startswith(f"Error: {said}")
    assert len(failed.stderr.splitlines()) == 1
    assert "hidden" not in failed.output


def test_migrations_run_on_the_direct_database(cluster: str) -> None:
    pooled = "postgresql://app:hidden@ep-blue-pooler.example.com/tasks"
    with own_database(cluster) as url, opened(url) as cursor:
        upgraded = run(pooled, "upgrade", DATABASE_URL_UNPOOLED=url)
        assert upgraded.exit_code == 0, upgraded.output
        assert ask(cursor, REVISION) == revisions()[-1:]


def test_a_migration_leaves_the_applications_logging_alone(database_url: str) -> None:
    application = create_app(settings_for(database_url))
    handlers, level = list(logging.root.handlers), logging.root.level
    runner = application.test_cli_runner()
    assert runner.invoke(args=["db", "upgrade", "--directory", MIGRATIONS]).exit_code == 0
    assert (logging.root.handlers, logging.root.level) == (handlers, level)
    assert not logging.getLogger("app.access").disabled


def test_a_database_that_does_not_answer_is_given_up_in_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql://app:hidden@127.0.0.1:{silent.getsockname()[1]}/tasks"
        failed = run(url, "upgrade", DB_CONNECT_TIMEOUT="1")
    said = "nothing was migrated: no connection: the server did not answer in time"
    assert (failed.exit_code, failed.stderr) == (1, f"Error: {said}\n")
    assert "hidden" not in failed.output


# A release, while the one before it serves

NEXT = '''
"""A throwaway."""

import sqlalchemy as sa
from alembic import op

revision = "next"
down_revision = "{previous}"


def upgrade() -> None:
    op.add_column("tasks", sa.Column("throwaway", sa.SmallInteger))
    op.create_index("ix_tasks_throwaway", "tasks", ["user_id", "throwaway"])
    op.execute("select pg_sleep(0.5)")  # the locks are held while the rest of it runs


def downgrade() -> None:
    op.drop_column("tasks", "throwaway")
'''


@pytest.fixture
def next_release(tmp_path: Path) -> Path:
    """This release as the next one would be: with one more migration."""
    tree = tmp_path / "next release"
    without = shutil.ignore_patterns("__pycache__")
    for name in ("app", "migrations"):
        shutil.copytree(ROOT / name, tree / name, ignore=without)
    for name in ("wsgi.py", "gunicorn.conf.py", "pyproject.toml"):
        shutil.copy(ROOT / name, tree)
    text = NEXT.format(previous=revisions()[-1])
    (tree / "migrations" / "versions" / "next.py").write_text(text)
    return tree


def revision(answer: Any) -> dict[str, Any]:
    """What an answer of /health/db says of the schema."""
    assert answer["status"] == "ok"
    found: dict[str, Any] = answer["revision"]
    return found


def buying() -> list[Ask]:
    """What each caller asks, again and again."""
    return [("POST", "/v1/tasks", {"title": "Buy milk"}), ("GET", "/v1/tasks", None)]


ASK_HEALTH = "from wsgi import app; print(app.test_client().get('/health/db').text)"


def test_the_release_before_serves_while_and_after_the_next_one_migrates(
    cluster: str, next_release: Path, tmp_path: Path
) -> None:
    head = revisions()[-1]
    with own_database(cluster) as url:
        migrate(url)
        client = create_app(settings_for(url)).test_client()
        callers = []
        for number in range(2):
            email = f"{number}@example.com"
            body = {"email": email, "password": PASSWORD}
            user_id = client.post("/v1/auth/register", json=body).json["id"]
            token = client.application.extensions["token_verifier"].issue(user_id)
            callers.append(Account(user_id, email, token, client))

        def health_of_the_next() -> dict[str, Any]:
            (said,) = endings(python(url, next_release, "-c", ASK_HEALTH, LOG_LEVEL="ERROR"))
            return revision(json.loads(said))

        pending = {"current": head, "head": "next", "up_to_date": False}
        assert health_of_the_next() == pending
        with gunicorn(url, tmp_path / "log") as base, Callers(base, callers, buying) as load:
            (output,) = endings(upgrading(url, next_release))
            load.goes_on()
            assert "Running upgrade" in output
            assert health_of_the_next() == {**pending, "current": "next", "up_to_date": True}
            with urlopen(f"{base}/health/db", timeout=30) as answer:
                behind = {"current": "next", "head": head, "up_to_date": False}
                assert revision(json.load(answer)) == behind
        assert set(load.statuses) == {200, 201}
        with opened(url) as cursor:
            (count,) = ask(cursor, "select count(*) from tasks where title = 'Buy milk'")
        assert count == load.statuses[201]
