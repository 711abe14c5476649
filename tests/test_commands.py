"""Operators' commands."""

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import jwt
import pytest
from apiflask import APIFlask
from click.testing import Result

from app import create_app
from app.core.ids import new_id
from app.db.base import db
from app.ops import purging
from tests.conftest import PASSWORD, SECRET, Account, settings_for
from tests.databases import migrate, opened, own_database, user_of
from tests.locks import held
from tests.people import as_of, give_password, session, sign_in
from tests.rig.cluster import Cluster
from tests.test_config import start

Run = Callable[..., Result]


@pytest.fixture
def run(app: APIFlask) -> Run:
    """Runs `flask` with these arguments."""
    runner = app.test_cli_runner()
    return lambda *arguments, **options: runner.invoke(args=arguments, **options)


def refused(result: Result) -> str:
    """The one line that a command ended with."""
    assert result.exit_code == 1, result.output
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1
    assert result.stderr.startswith("Error: ")
    return result.stderr


# flask users


def test_an_account_is_created_that_can_be_signed_in_to(run: Run, app: APIFlask) -> None:
    email = f"{new_id()}@example.com"
    made = run("users", "create", "--email", email, "--name", "Alice", "--password", PASSWORD)
    assert (made.exit_code, made.stderr) == (0, "")
    client = app.test_client()
    token = session(client, sign_in(client, email)).access_token
    me = Account(made.stdout.strip(), email, token, client).get("/v1/me").json
    assert (me["id"], me["email"], me["name"]) == (made.stdout.strip(), email, "Alice")


def test_a_password_is_asked_for_twice_and_not_shown(run: Run) -> None:
    email = f"{new_id()}@example.com"
    made = run("users", "create", "--email", email, input=f"{PASSWORD}\n{PASSWORD}\n")
    assert made.exit_code == 0
    assert PASSWORD not in made.output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--email", "alice", "--password", PASSWORD], "--email must be an e-mail address"),
        (["--email", "a@example.com", "--password", "short"], "--password String should have"),
        (["--email", "a@example.com", "--password", PASSWORD, "--name", " "], "--name must not"),
    ],
)
def test_an_account_that_the_api_would_refuse_is_not_created(
    run: Run, arguments: list[str], said: str
) -> None:
    line = refused(run("users", "create", *arguments))
    assert said in line
    assert "short" not in line


def test_an_address_that_is_taken_is_not_created_again(run: Run, alice: Account) -> None:
    taken = run("users", "create", "--email", alice.email.upper(), "--password", PASSWORD)
    assert "exists" in refused(taken)


def test_every_account_is_listed_oldest_first(
    run: Run, alice: Account, bob: Account, connection: Any
) -> None:
    with connection.cursor() as cursor:
        sql = "update users set email = null, password_hash = null where id = %s"
        cursor.execute(sql, (bob.user_id,))
        cursor.execute("select count(*) from users")
        count = cursor.fetchone()[0]
    lines = run("users", "list").stdout.splitlines()
    assert len(lines) == count
    last = [line.split() for line in lines[-2:]]
    assert [(entry[0], entry[2]) for entry in last] == [
        (alice.user_id, alice.email),
        (bob.user_id, "-"),
    ]


ONE_USER = ["show", "disable", "enable", "sign-out", "set-password", "delete"]
"""Commands for one account, which --user or --email names."""

OPTIONS = {"set-password": ["--password", "another good password"], "delete": ["--yes"]}


def named(command: str, *who: str) -> list[str]:
    """The arguments of a command for one account."""
    return ["users", command, *who, *OPTIONS.get(command, [])]


@pytest.mark.parametrize("command", ONE_USER)
def test_a_command_for_one_account_names_it_by_id_or_address(
    run: Run, auth: Callable[[], Account], command: str
) -> None:
    for by in ("--user", "--email"):
        account = auth()
        who = {"--user": account.user_id, "--email": account.email.upper()}[by]
        done = run(*named(command, by, who))
        assert (done.exit_code, done.stderr) == (0, ""), done.output


@pytest.mark.parametrize("command", ONE_USER)
def test_a_command_for_nobody_in_particular_does_nothing_and_says_so_in_one_line(
    run: Run, alice: Account, command: str
) -> None:
    both = ("--user", alice.user_id, "--email", alice.email)
    assert "name one user" in refused(run(*named(command)))
    assert "name one user" in refused(run(*named(command, *both)))
    assert "no account with this id" in refused(run(*named(command, "--user", new_id())))
    assert "no account with this address" in refused(
        run(*named(command, "--email", "nobody@example.com"))
    )
    assert run(*named(command, "--user", "x")).exit_code == 2
    assert alice.get("/v1/me").status_code == 200


@pytest.mark.parametrize("command", [*ONE_USER, "list"])
def test_a_database_that_is_away_is_told_to_each_of_them_in_one_line(command: str) -> None:
    application = create_app(settings_for("postgresql://app:hidden@127.0.0.1:1/tasks"))
    who = [] if command == "list" else ["--user", new_id()]
    line = refused(application.test_cli_runner().invoke(args=named(command, *who)))
    assert "refused" in line
    assert "hidden" not in line


def test_an_account_is_shown_with_its_sessions(run: Run, alice: Account, connection: Any) -> None:
    assert alice.patch("/v1/me", json={"name": "Alice", "time_zone": "Europe/Oslo"}).json
    alice.create_task()
    give_password(connection, alice)
    agent = {"User-Agent": "An\x1b[31m agent"}
    sign_in(alice.client, alice.email, address="203.0.113.77", headers=agent)
    shown = run("users", "show", "--user", alice.user_id)
    lines = dict(line.split(": ", 1) for line in shown.stdout.splitlines())
    assert (lines["id"], lines["email"], lines["name"]) == (alice.user_id, alice.email, "Alice")
    assert (lines["time_zone"], lines["disabled_at"], lines["rows"]) == ("Europe/Oslo", "-", "1")
    assert lines["session"].endswith("  203.0.113.0/24  An [31m agent")
    assert "pbkdf2" not in shown.stdout


def test_another_issuers_account_is_shown_too(run: Run, alice: Account, connection: Any) -> None:
    with connection.cursor() as cursor:
        sql = "update users set email = null, password_hash = null where id = %s"
        cursor.execute(sql, (alice.user_id,))
    shown = run("users", "show", "--user", alice.user_id)
    assert shown.exit_code == 0
    assert "email: -" in shown.stdout.splitlines()
    setting = run(*named("set-password", "--user", alice.user_id))
    assert "another issuer" in refused(setting)


def test_a_password_that_is_set_counts_and_ends_all_sessions(
    run: Run, alice: Account, connection: Any
) -> None:
    give_password(connection, alice)
    signed_in = session(alice.client, sign_in(alice.client, alice.email))
    script = alice._replace(token=alice.create_token()["token"])
    done = run("users", "set-password", "--email", alice.email, input="a new one\na new one\n")
    assert done.exit_code == 0
    assert "a new one" not in done.output
    assert as_of(alice, signed_in).get("/v1/me").status_code == 401
    assert not signed_in.lives
    assert sign_in(alice.client, alice.email).status_code == 401
    assert sign_in(alice.client, alice.email, "a new one").status_code == 200
    assert script.get("/v1/tasks").status_code == 200


def test_a_password_that_the_api_would_refuse_is_not_set(run: Run, alice: Account) -> None:
    done = run("users", "set-password", "--user", alice.user_id, "--password", "short")
    line = refused(done)
    assert line.startswith("Error: --password String should have at least 8 characters")


def test_an_account_is_disabled_and_enabled_however_often_that_is_asked(
    run: Run, alice: Account
) -> None:
    who = ("--user", alice.user_id)
    for command, status in (("disable", 401), ("enable", 200)):
        since = set()
        for _ in range(2):
            done = run("users", command, *who)
            assert (done.exit_code, done.output) == (0, "")
            assert alice.get("/v1/me").status_code == status
            shown = run("users", "show", *who).stdout.splitlines()
            since |= {line for line in shown if line.startswith("disabled_at: ")}
        assert len(since) == 1, "it is disabled since the first time"
        listed = [line for line in run("users", "list").stdout.splitlines() if alice.email in line]
        assert listed[0].endswith("  disabled") is (command == "disable")


def test_a_user_is_signed_out_everywhere_at_once(
    run: Run, alice: Account, bob: Account, connection: Any
) -> None:
    give_password(connection, alice, bob)
    sessions = [session(alice.client, sign_in(alice.client, alice.email)) for _ in range(2)]
    others = session(bob.client, sign_in(bob.client, bob.email))
    sessions[0] = sessions[0].refreshed()
    script = alice._replace(token=alice.create_token()["token"])
    assert run("users", "sign-out", "--email", alice.email).stdout == "2\n"
    assert not any(each.lives for each in sessions)
    assert as_of(alice, sessions[0]).get("/v1/me").status_code == 401
    assert script.get("/v1/tasks").status_code == 200
    assert others.lives
    assert run("users", "sign-out", "--email", alice.email).stdout == "0\n"


def test_an_account_is_erased_if_that_is_meant(run: Run, alice: Account, bob: Account) -> None:
    kept = bob.create_task()
    alice.create_task()
    asked = run("users", "delete", "--user", alice.user_id, input="n\n")
    assert asked.exit_code == 1
    assert "permanently?" in asked.stdout
    assert alice.get("/v1/me").status_code == 200
    assert run("users", "delete", "--user", alice.user_id, input="y\n").exit_code == 0
    assert alice.get("/v1/me").status_code == 401
    assert alice.email not in run("users", "list").stdout
    assert bob.get("/v1/tasks").json["items"] == [kept]


def test_a_disabled_account_can_be_erased(run: Run, alice: Account) -> None:
    who = ("--user", alice.user_id)
    assert run("users", "disable", *who).exit_code == 0
    assert run("users", "delete", *who, "--yes").exit_code == 0
    assert "no account" in refused(run("users", "show", *who))


# flask tokens


def test_a_token_is_issued_that_works_and_lasts_as_long_as_asked(run: Run, alice: Account) -> None:
    for arguments, seconds in (([], 900), (["--ttl", "5"], 5), (["--ttl", "86400"], 86400)):
        issued = run("tokens", "issue", "--email", alice.email.upper(), *arguments)
        assert (issued.exit_code, issued.stderr) == (0, "")
        token = issued.stdout.strip()
        claims = jwt.decode(token, options={"verify_signature": False})
        assert claims["exp"] - claims["iat"] == seconds
        assert alice._replace(token=token).get("/v1/me").json["id"] == alice.user_id


@pytest.mark.parametrize("ttl", ["0", "-1", "86401", "1h"])
def test_a_token_cannot_last_longer_than_is_believed(run: Run, alice: Account, ttl: str) -> None:
    result = run("tokens", "issue", "--email", alice.email, "--ttl", ttl)
    assert result.exit_code == 2
    assert "--ttl" in result.stderr


def test_no_token_is_issued_for_nobody(run: Run) -> None:
    assert "no account" in refused(run("tokens", "issue", "--email", "nobody@example.com"))


@pytest.mark.parametrize("by", ["--user", "--email"])
def test_tokens_of_a_user_are_revoked_at_once(
    run: Run, alice: Account, bob: Account, by: str
) -> None:
    kept, leaked = alice.create_token(scopes=["tasks:read"]), alice.create_token()
    others = bob.create_token()
    who = (by, {"--user": alice.user_id, "--email": alice.email.upper()}[by])
    script = alice._replace(token=leaked["token"])
    assert script.get("/v1/tasks").status_code == 200
    revoked = run("tokens", "revoke", *who)
    assert revoked.exit_code == 0
    assert {*revoked.stdout.split()} == {kept["id"], leaked["id"]}
    for token in (kept, leaked):
        assert alice._replace(token=token["token"]).get("/v1/tasks").status_code == 401
    assert run("tokens", "revoke", *who).stdout == ""
    assert bob._replace(token=others["token"]).get("/v1/tasks").status_code == 200


def test_tokens_of_nobody_in_particular_are_not_revoked(
    run: Run, alice: Account, bob: Account
) -> None:
    token = bob.create_token()
    assert "name one user" in refused(run("tokens", "revoke"))
    both = ("--user", alice.user_id, "--email", alice.email)
    assert "name one user" in refused(run("tokens", "revoke", *both))
    assert "no account" in refused(run("tokens", "revoke", "--email", "nobody@example.com"))
    assert run("tokens", "revoke", "--user", "x").exit_code == 2
    assert "no account" in refused(run("tokens", "revoke", "--user", new_id()))
    assert run("tokens", "revoke", "--user", alice.user_id).stdout == ""
    assert bob._replace(token=token["token"]).get("/v1/tasks").status_code == 200


def test_no_token_is_issued_where_another_issuer_does_that(
    database_url: str, alice: Account
) -> None:
    external = settings_for(
        database_url,
        JWT_SECRET="",
        JWT_JWKS_URL="https://issuer.example.com/keys",
        JWT_ISSUER="https://issuer.example.com",
        JWT_AUDIENCE="tasks",
    )
    runner = create_app(external).test_cli_runner()
    issued = runner.invoke(args=["tokens", "issue", "--email", alice.email])
    assert "another issuer's" in refused(issued)


# flask purge


@pytest.fixture
def aged(cluster: str) -> Iterator[tuple[Run, Any, Account]]:
    """A database of its own, whose only user everything in it belongs to."""
    with own_database(cluster) as url, opened(url) as cursor:
        migrate(url)
        alice = user_of(url)
        runner = alice.client.application.test_cli_runner()
        yield lambda *arguments: runner.invoke(args=arguments), cursor, alice


def count(cursor: Any, table: str) -> int:
    cursor.execute(f"select count(*) from {table}")
    return cursor.fetchone()[0]


def purged(result: Result) -> dict[str, int]:
    assert (result.exit_code, result.stderr) == (0, ""), result.output
    lines = (line.split(": ") for line in result.stdout.splitlines())
    return {name: int(number) for name, number in lines}


def test_what_is_old_is_purged_and_what_is_younger_stays(
    aged: tuple[Run, Any, Account],
) -> None:
    run, cursor, alice = aged
    give_password(cursor.connection, alice)
    for days in (29, 31):
        category = alice.create_category()
        task = alice.create_task(category_id=category["id"])
        for path in (f"/v1/tasks/{task['id']}", f"/v1/categories/{category['id']}"):
            assert alice.delete(path).status_code == 204
        cursor.execute(
            "update tasks set deleted_at = now() - make_interval(days => %(days)s)"
            " where id = %(task)s; update categories set deleted_at = now()"
            " - make_interval(days => %(days)s) where id = %(category)s",
            {"days": days, "task": task["id"], "category": category["id"]},
        )
    alice.create_task(category_id=alice.create_category()["id"])
    for hours in (23, 25):
        headers = {"Idempotency-Key": f"{hours}-hours"}
        alice.post("/v1/categories", json={"name": f"{hours}"}, headers=headers)
        cursor.execute(
            "update idempotency_keys set created_at = now() - make_interval(hours => %s)"
            " where key = %s",
            (hours, f"{hours}-hours"),
        )
    kept, _ = (session(alice.client, sign_in(alice.client, alice.email)) for _ in range(2))
    cursor.execute(
        "update refresh_tokens set created_at = now() - interval '31 days',"
        " expires_at = now() - interval '1 second' where created_at ="
        " (select max(created_at) from refresh_tokens)"
    )

    alice.create_token()
    alice.create_token(name="Expired")
    cursor.execute(
        "update personal_access_tokens set created_at = now() - interval '1 day',"
        " expires_at = now() - interval '1 second' where name = 'Expired'"
    )

    first, second = run("purge"), run("purge")

    tables = (
        "tasks",
        "categories",
        "idempotency_keys",
        "refresh_tokens",
        "personal_access_tokens",
    )
    assert +Counter(purged(first)) == dict.fromkeys(tables, 1)
    assert not any(purged(second).values())
    assert [count(cursor, table) for table in tables] == [2, 4, 1, 1, 1]
    assert kept.lives
    assert len(alice.get("/v1/tasks").json["items"]) == 1


def test_everything_deleted_can_be_purged_at_once_in_many_chunks(
    aged: tuple[Run, Any, Account], monkeypatch: pytest.MonkeyPatch
) -> None:
    run, cursor, alice = aged
    rows = 2 * purging.CHUNK + 1
    cursor.execute(
        "insert into tasks (user_id, id, title, complete, priority, version,"
        " created_at, updated_at, deleted_at)"
        " select %s, gen_random_uuid(), 'Buy milk', false, 0, 1, now(), now(), now()"
        " from generate_series(1, %s)",
        (alice.user_id, rows),
    )
    live = alice.create_task()
    assert purged(run("purge", "--days", "0"))["tasks"] == rows
    assert [task["id"] for task in alice.get("/v1/tasks").json["items"]] == [live["id"]]


def test_a_user_who_writes_just_now_is_passed_over_and_holds_nobody_up(
    aged: tuple[Run, Any, Account], monkeypatch: pytest.MonkeyPatch
) -> None:
    run, cursor, alice = aged
    monkeypatch.setattr(purging, "CHUNK", 2)
    monkeypatch.setattr(purging, "PAGE", 3)
    other = new_id()
    cursor.execute("insert into users (id) values (%s)", (other,))
    for user_id, hours in ((alice.user_id, 2), (other, 1)):
        cursor.execute(
            "insert into tasks (user_id, id, title, complete, priority, version, created_at,"
            " updated_at, deleted_at) select %s, gen_random_uuid(), 'Buy milk', false, 0, n,"
            " now(), now(), now() - make_interval(hours => %s) from generate_series(1, 5) n",
            (user_id, hours),
        )
    with held(cursor.connection, alice.user_id):
        assert purged(run("purge", "--days", "0"))["tasks"] == 5
        cursor.execute("select distinct user_id::text from tasks")
        assert cursor.fetchall() == [(alice.user_id,)]
    assert purged(run("purge", "--days", "0"))["tasks"] == 5
    cursor.execute("select purged_version from users")
    assert cursor.fetchall() == [(5,), (5,)]


def test_what_was_erased_is_purged_with_the_rest_when_its_time_comes(
    aged: tuple[Run, Any, Account],
) -> None:
    run, cursor, alice = aged
    for days in (29, 31):
        task = alice.create_task()
        assert alice.delete(f"/v1/tasks/{task['id']}").status_code == 204
        assert alice.delete(f"/v1/trash/{task['id']}").status_code == 204
        sql = "update tasks set deleted_at = now() - make_interval(days => %s) where id = %s"
        cursor.execute(sql, (days, task["id"]))
    assert purged(run("purge"))["tasks"] == 1
    assert count(cursor, "tasks") == 1


def test_a_category_never_goes_before_the_tasks_that_were_in_it(
    aged: tuple[Run, Any, Account], monkeypatch: pytest.MonkeyPatch
) -> None:
    run, cursor, alice = aged
    category = alice.create_category()
    task = alice.create_task(category_id=category["id"])
    real, sent = purging.execute, []

    def deleting_meanwhile(scope: Any, statement: Any, **parameters: Any) -> Any:
        result = real(scope, statement, **parameters)
        if "from tasks" in statement.sql and not sent:
            sent.append(statement)
            for table, row in (("tasks", task), ("categories", category)):
                sql = f"update {table} set deleted_at = now() where id = %s"
                cursor.execute(sql, (row["id"],))
        return result

    monkeypatch.setattr(purging, "execute", deleting_meanwhile)
    assert purged(run("purge", "--days", "0"))["categories"] == 0
    assert sent
    monkeypatch.undo()
    assert purged(run("purge", "--days", "0")).items() >= {"tasks": 1, "categories": 1}.items()


def test_subtasks_that_stay_longer_lose_the_parent_that_is_purged(
    aged: tuple[Run, Any, Account],
) -> None:
    run, cursor, alice = aged
    parent = alice.create_task()
    child = alice.create_task(parent_id=parent["id"])
    grandchild = alice.create_task(parent_id=child["id"])
    assert alice.delete(f"/v1/tasks/{parent['id']}").status_code == 204
    sql = "update tasks set deleted_at = now() - interval '31 days' where id = %s"
    cursor.execute(sql, (parent["id"],))
    assert purged(run("purge"))["tasks"] == 1
    cursor.execute("select id::text, parent_id::text from tasks order by id")
    assert cursor.fetchall() == [(child["id"], None), (grandchild["id"], child["id"])]
    assert purged(run("purge", "--days", "0"))["tasks"] == 2


@pytest.mark.parametrize("days", ["-1", "x", "36501", "1.5"])
def test_days_are_a_number(run: Run, days: str) -> None:
    result = run("purge", "--days", days)
    assert result.exit_code == 2
    assert "--days" in result.stderr


# flask config


def test_the_settings_are_printed_without_their_secrets(run: Run, database_url: str) -> None:
    printed = run("config")
    assert (printed.exit_code, printed.stderr) == (0, "")
    lines = dict(line.split("=", 1) for line in printed.stdout.splitlines())
    assert lines["APP_ENV"] == "test"
    assert lines["JWT_SECRET"] == "********"
    assert lines["DB_POOL_SIZE"] == "5"
    password = database_url.split(":")[2].split("@")[0]
    for secret in (SECRET, password):
        assert secret not in printed.stdout


# All


@pytest.mark.slow
@pytest.mark.parametrize("command", [[], ["db", "upgrade"], ["doctor"]], ids=" ".join)
def test_help_is_help_alone(database_url: str, command: list[str]) -> None:
    given = {"DATABASE_URL": database_url, "JWT_SECRET": SECRET, "LOG_LEVEL": "DEBUG"}
    shown = start(["-m", "flask", *command, "--help"], **given)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert shown.stdout.startswith("Usage: ")
    assert '"level"' not in shown.stdout


@pytest.mark.parametrize(
    "command", [["users", "list"], ["tokens", "issue", "--email", "a@example.com"], ["purge"]]
)
def test_a_database_that_is_away_is_told_in_one_line(command: list[str]) -> None:
    application = create_app(settings_for("postgresql://app:hidden@127.0.0.1:1/tasks"))
    line = refused(application.test_cli_runner().invoke(args=command))
    assert "refused" in line
    assert "hidden" not in line


@pytest.mark.parametrize(
    "command",
    [
        ["users", "list"],
        ["users", "create", "--email", "a@example.com", "--password", PASSWORD],
        ["users", "show", "--user", new_id()],
        ["users", "disable", "--email", "a@example.com"],
        ["tokens", "issue", "--email", "a@example.com"],
        ["purge"],
    ],
)
def test_a_database_without_the_schema_is_told_in_one_line(
    cluster: str, command: list[str]
) -> None:
    with own_database(cluster) as url:
        application = create_app(settings_for(url))
        line = refused(application.test_cli_runner().invoke(args=command))
        with application.app_context():
            db.engine.dispose()
    assert line.endswith(": run `flask db upgrade`\n")


def test_a_role_that_may_not_create_roles_is_told_what_it_lacks() -> None:
    with Cluster.throwaway() as server, opened(server.url) as cursor:
        cursor.execute("create role \"No creator\" login password 'hidden'")
        with own_database(server.url, owner="No creator", password="hidden") as url:
            runner = create_app(settings_for(url)).test_cli_runner()
            failed = runner.invoke(args=["db", "upgrade"])
            assert failed.exit_code == 1
            assert len(failed.stderr.splitlines()) == 1
            assert "nothing was migrated: permission denied to create role" in failed.stderr
            cursor.execute(failed.stderr.strip().rpartition("as a superuser: ")[2])
            migrated = runner.invoke(args=["db", "upgrade"])
            assert (migrated.exit_code, migrated.stderr) == (0, "")


def test_a_role_that_may_not_grant_the_roles_of_another_database_is_told_so() -> None:
    with Cluster.throwaway() as server, opened(server.url) as cursor:
        with own_database(server.url) as url:
            migrate(url)
        cursor.execute("create role second login password 'hidden'")
        with own_database(server.url, owner="second", password="hidden") as url:
            runner = create_app(settings_for(url)).test_cli_runner()
            failed = runner.invoke(args=["db", "upgrade"])
            assert len(failed.stderr.splitlines()) == 1
            assert "nothing was migrated: permission denied to grant role" in failed.stderr
            cursor.execute(failed.stderr.strip().rpartition("as a superuser: ")[2])
            migrated = runner.invoke(args=["db", "upgrade"])
            assert (migrated.exit_code, migrated.stderr) == (0, "")


def test_the_commands_are_flasks(database_url: str) -> None:
    printed = start(["-m", "flask", "config"], DATABASE_URL=database_url, JWT_SECRET=SECRET)
    assert (printed.returncode, printed.stderr) == (0, "")
    assert "APP_ENV=development" in printed.stdout.splitlines()
