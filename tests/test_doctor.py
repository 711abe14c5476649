"""`flask doctor` finds what is wrong with a deployment, and nothing where nothing is."""

import json
import re
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from threading import Event
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import psycopg2
import psycopg2.extensions
import pytest
from apiflask import APIFlask
from click.testing import Result

from app import create_app
from app.core.config import Settings
from app.db import pool
from app.db.base import Base
from app.ops.doctor import connection, examination, rights, server
from app.ops.doctor.deployment import Deployment
from app.ops.doctor.examination import CHECKS, Check, Needs
from app.ops.doctor.expected import RIGHTS, ROLES
from app.ops.doctor.findings import REMEDIES, Finding, Level
from tests.conftest import ROOT, SECRET
from tests.databases import migrate, opened, own_database
from tests.issuer import AUDIENCE, NAME, running_issuer
from tests.rig.pgbouncer import PgBouncer
from tests.rig.programs import need
from tests.rig.proxy import Proxy

SERVICE, PASSWORD = "doctor_service", "hidden-of-the-doctors-tests"
RANDOM = "Zt5Xo2Qj8Ei3Wd7Pv1Mg9By6Kr4Sh0LuNc"

HEALTHY = {
    "APP_ENV": "production",
    "JWT_SECRET": RANDOM,
    "TRUSTED_HOSTS": "tasks.example.com",
    "TRUSTED_PROXIES": "1",
    "WEB_CONCURRENCY": "1",
}


@dataclass
class Box:
    """A migrated database, and how its superuser and the login of few rights get to it."""

    superuser_url: str
    url: str
    stack: ExitStack

    @cached_property
    def pooler(self) -> PgBouncer:
        """What stands before it, once somebody asks for it."""
        return self.stack.enter_context(PgBouncer(self.superuser_url))

    def doctor(self, *arguments: str, **settings: str) -> Result:
        """`flask doctor` of a healthy deployment, but for these settings."""
        environment = {**HEALTHY, "DATABASE_URL": self.url, **settings}
        return run(Settings.from_environment(environment), *arguments)

    @contextmanager
    def altered(self, *statements: str, back: tuple[str, ...]) -> Iterator[None]:
        """With the database so, and then back again."""
        with opened(self.superuser_url) as cursor:
            try:
                for statement in statements:
                    cursor.execute(statement)
                yield
            finally:
                for statement in back:
                    cursor.execute(statement)


application = lru_cache(create_app)


def run(settings: Settings, *arguments: str) -> Result:
    result = application(settings).test_cli_runner().invoke(args=["doctor", *arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.output
    for secret in (settings.jwt_secret or RANDOM, str(settings.database_url).split(":")[2]):
        assert secret.split("@")[0] not in result.output
    return result


def found(result: Result) -> set[str]:
    """The codes of all that was found, by the document that is printed."""
    document = json.loads(result.stdout)
    levels = {check["level"] for check in document["checks"]}
    assert document["ok"] == ("fail" not in levels) == (result.exit_code == 0)
    return {check["code"] for check in document["checks"] if check["code"]}


NEAR_MS = connection.NEAR_MS


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A round trip may take what it takes on a busy machine."""
    monkeypatch.setattr(connection, "NEAR_MS", 60_000.0)


@pytest.fixture(scope="module")
def box(cluster: str) -> Iterator[Box]:
    with own_database(cluster) as url, ExitStack() as stack, opened(url) as cursor:
        migrate(url)
        cursor.execute(f"create role {SERVICE} login noinherit password '{PASSWORD}'")
        cursor.execute(f"grant tasks_app, tasks_auth, tasks_maintenance to {SERVICE}")
        try:
            yield Box(url, as_service(url), stack)
        finally:
            cursor.execute(f"alter table tasks owner to current_user; drop role {SERVICE}")


def as_service(url: str) -> str:
    """The same database for the login of few rights."""
    parts = urlsplit(url)
    return parts._replace(netloc=f"{SERVICE}:{PASSWORD}@{parts.hostname}:{parts.port}").geturl()


# Nothing is wrong


def test_a_healthy_deployment_is_told_that_all_is_well(box: Box) -> None:
    result = box.doctor()
    lines = result.stdout.splitlines()
    assert [line.split()[:2] for line in lines[:-1]] == [["ok", check.name] for check in CHECKS]
    assert (result.exit_code, lines[-1]) == (0, f"{len(CHECKS)} ok, 0 warn, 0 fail")


def test_a_healthy_deployment_behind_a_pooler_with_tls_is_told_the_same(box: Box) -> None:
    need("pgbouncer")
    pooled = box.pooler.through(box.url)
    result = box.doctor(DATABASE_URL=pooled, DATABASE_URL_UNPOOLED=box.superuser_url)
    assert result.exit_code == 0, result.stdout
    assert {line.split()[0] for line in result.stdout.splitlines()[:-1]} == {"ok"}, result.stdout
    assert "sslmode=verify-full" in result.stdout
    assert "shared for each transaction" in result.stdout


def test_nothing_stays_of_an_examination(box: Box) -> None:
    with opened(box.superuser_url) as cursor:

        def counts() -> list[Any]:
            rows = []
            for table in Base.metadata.tables:
                cursor.execute(f"select count(*) from {table}")
                rows += cursor.fetchall()
            return rows

        before = counts()
        assert box.doctor("--only", "isolation").exit_code == 0
        assert counts() == before
        cursor.execute("select count(*) from pg_stat_activity where state like 'idle in%'")
        assert cursor.fetchall() == [(0,)]


def test_redis_and_an_issuer_that_answer_are_well(box: Box) -> None:
    with running_issuer() as issuer:
        settings = {"JWT_JWKS_URL": issuer.url, "JWT_ISSUER": NAME, "JWT_AUDIENCE": AUDIENCE}
        result = box.doctor("--only", "issuer", "--json", APP_ENV="test", **settings)
    assert found(result) == set()
    assert "3 keys" in result.stdout


@pytest.mark.parametrize("processes", range(1, 6))
def test_the_default_pool_is_sound_on_a_server_with_the_default_limit(
    box: Box, processes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.ops.doctor.services.storage_answers", lambda _: True)
    settings = {"WEB_CONCURRENCY": str(processes), "RATELIMIT_STORAGE_URI": "redis://here/0"}
    alter = f"alter role {SERVICE} connection limit"
    with box.altered(f"{alter} 97", back=(f"{alter} -1",)):  # 100, of which 3 are reserved
        assert found(box.doctor("--json", **settings)) == set()


def test_a_pool_that_is_smaller_than_there_are_threads_counts_as_it_is(box: Box) -> None:
    settings = {"WEB_THREADS": "64", "DB_POOL_SIZE": "3", "DB_MAX_OVERFLOW": "0"}
    result = box.doctor("--only", "connections", **settings)
    assert "may open 5 connections" in result.stdout


def test_a_role_with_too_few_connections_is_found(box: Box) -> None:
    alter = f"alter role {SERVICE} connection limit"
    with box.altered(f"{alter} 6", back=(f"{alter} -1",)):
        assert found(box.doctor("--only", "connections", "--json")) == {"connections.short"}


# What is wrong with the settings

ISSUER = {"JWT_ISSUER": NAME, "JWT_AUDIENCE": AUDIENCE}
NOWHERE = "postgresql://tasks:hidden@127.0.0.1:1/tasks"

SETTINGS: dict[str, dict[str, str]] = {
    "environment.development": {"APP_ENV": "development"},
    "keys.guessable": {"JWT_SECRET": SECRET},
    "hosts.any": {"TRUSTED_HOSTS": ""},
    "proxies.none": {"TRUSTED_PROXIES": "0"},
    "counters.apart": {"WEB_CONCURRENCY": "2"},
    "limits.off": {"RATELIMIT_PER_USER": "0"},
    "origins.plain": {"CORS_ORIGINS": "https://a.example.com,http://b.example.com"},
    "logs.debug": {"LOG_LEVEL": "DEBUG"},
    "timeouts.order": {"DB_STATEMENT_TIMEOUT": "10"},
    "redis.away": {"RATELIMIT_STORAGE_URI": "redis://127.0.0.1:1/0"},
    "issuer.away": {"JWT_JWKS_URL": "https://127.0.0.1:1/keys", **ISSUER},
    "database.unreachable": {"DATABASE_URL": NOWHERE},
    "migrations.unreachable": {"DATABASE_URL_UNPOOLED": NOWHERE},
    "connections.short": {"WEB_CONCURRENCY": "64", "RATELIMIT_STORAGE_URI": "redis://here/0"},
    "connections.tight": {
        "WEB_CONCURRENCY": "16",
        "DB_POOL_SIZE": "8",
        "DB_MAX_OVERFLOW": "0",
        "RATELIMIT_STORAGE_URI": "redis://here/0",
    },
}


@pytest.mark.parametrize("code", SETTINGS)
def test_a_setting_that_is_wrong_is_found(
    box: Box, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if code.startswith("connections"):
        monkeypatch.setattr("app.ops.doctor.services.storage_answers", lambda _: True)
    assert found(box.doctor("--json", **SETTINGS[code])) == {code}


def test_an_accepted_secret_that_could_be_guessed_is_found(box: Box) -> None:
    accepted = {"JWT_SECRETS_ACCEPTED": "abcdefghijklmnopqrstuvwxyzabcdefgh"}
    assert found(box.doctor("--only", "keys", "--json", **accepted)) == {"keys.guessable"}


def test_an_issuer_without_a_key_of_use_is_found(box: Box) -> None:
    with running_issuer() as issuer:
        issuer.body = b'{"keys": [{"kty": "oct", "k": "c2VjcmV0", "alg": "HS256", "kid": "a"}]}'
        settings = {"JWT_JWKS_URL": issuer.url, **ISSUER, "APP_ENV": "test"}
        assert found(box.doctor("--only", "issuer", "--json", **settings)) == {"issuer.unusable"}


# What is wrong with the database

Altered = tuple[str, str, str]
TASKS_POLICY = "(user_id = nullif(current_setting('app.user_id', true), '')::uuid)"

ALTERED: list[Altered] = [
    (
        "writes.refused",
        f"alter role {SERVICE} set default_transaction_read_only = on",
        f"alter role {SERVICE} reset all",
    ),
    (
        "login.superuser",
        f"alter role {SERVICE} superuser",
        f"alter role {SERVICE} nosuperuser",
    ),
    (
        "server_log.failed",
        f"alter role {SERVICE} set log_min_error_statement = error",
        f"alter role {SERVICE} reset all",
    ),
    (
        "server_log.slow",
        f"alter role {SERVICE} set log_min_duration_statement = 500",
        f"alter role {SERVICE} reset all",
    ),
    ("login.bypass", f"alter role {SERVICE} bypassrls", f"alter role {SERVICE} nobypassrls"),
    (
        "login.owner",
        f"alter table tasks owner to {SERVICE}",
        "alter table tasks owner to current_user",
    ),
    ("login.stranger", f"revoke tasks_auth from {SERVICE}", f"grant tasks_auth to {SERVICE}"),
    (
        "schema.behind",
        "update alembic_version set version_num = '0001'",
        "update alembic_version set version_num = '{head}'",
    ),
    (
        "schema.ahead",
        "update alembic_version set version_num = '9999'",
        "update alembic_version set version_num = '{head}'",
    ),
    ("roles.powerful", "alter role tasks_app bypassrls", "alter role tasks_app nobypassrls"),
    ("roles.powerful", "alter role tasks_auth login", "alter role tasks_auth nologin"),
    (
        "policies.off",
        "alter table tasks disable row level security",
        "alter table tasks enable row level security",
    ),
    (
        "policies.unforced",
        "alter table users no force row level security",
        "alter table users force row level security",
    ),
    (
        "policies.different",
        "alter policy purge on tasks using (true)",
        "alter policy purge on tasks using (deleted_at is not null)",
    ),
    (
        "policies.different",
        "alter policy find on users rename to seek",
        "alter policy seek on users rename to find",
    ),
    (
        "policies.different",
        "create policy more on refresh_tokens to tasks_auth using (false)",
        "drop policy more on refresh_tokens",
    ),
    (
        "isolation.broken",
        "create policy leak on tasks to tasks_app using (true)",
        "drop policy leak on tasks",
    ),
    (
        "isolation.broken",
        "create policy leak on users for select to public using (true)",
        "drop policy leak on users",
    ),
    (
        "isolation.blind",
        "alter policy own_rows on tasks using (false)",
        f"alter policy own_rows on tasks using {TASKS_POLICY}",
    ),
    (
        "isolation.blind",
        "alter policy own_rows on tasks with check (false)",
        f"alter policy own_rows on tasks with check {TASKS_POLICY}",
    ),
    (
        "grants.missing",
        "revoke delete on tasks from tasks_maintenance",
        "grant delete on tasks to tasks_maintenance",
    ),
    (
        "grants.excess",
        "grant delete on tasks to tasks_app",
        "revoke delete on tasks from tasks_app",
    ),
    ("grants.excess", "grant insert on users to public", "revoke insert on users from public"),
    (
        "grants.excess",
        "grant execute on function search_tasks to public",
        "revoke execute on function search_tasks from public",
    ),
    (
        "grants.others",
        "create role reporting; grant select on tasks to reporting",
        "revoke all on tasks from reporting; drop role reporting",
    ),
    (
        "purge.overdue",
        "insert into users (id) values ('00000000-0000-7000-8000-000000000001');"
        " insert into idempotency_keys values ('00000000-0000-7000-8000-000000000001',"
        " '/', 'k', sha256('')::bytea, '{{}}', now() - interval '5 days')",
        "delete from users where id = '00000000-0000-7000-8000-000000000001'",
    ),
    (
        "unfinished",
        "revoke select on alembic_version from tasks_app",
        "grant select on alembic_version to tasks_app",
    ),
]
BESIDE: dict[str, set[str]] = {
    "writes.refused": {"unfinished"},
    "login.stranger": {"unfinished"},
    "roles.powerful": {"isolation.broken"},
    "isolation.broken": {"policies.different", "grants.excess"},
    "isolation.blind": {"policies.different"},
    "policies.off": {"isolation.broken"},
    "login.owner": {"grants.excess", "grants.missing", "grants.others"},
}
"""What else may be found, as it is the cause of this or follows from it."""


@pytest.mark.parametrize(("code", "break_it", "mend_it"), ALTERED)
def test_what_is_wrong_in_the_database_is_found(
    box: Box, code: str, break_it: str, mend_it: str
) -> None:
    head = rights_head(box)
    with box.altered(break_it.format(), back=(mend_it.format(head=head),)):
        codes = found(box.doctor("--json"))
    assert code in codes
    assert codes - {code} <= BESIDE.get(code, set())


def rights_head(box: Box) -> str:
    """The revision that the database has."""
    with opened(box.superuser_url) as cursor:
        cursor.execute("select version_num from alembic_version")
        [(revision,)] = cursor.fetchall()
    return str(revision)


@pytest.mark.parametrize("table", rights.owned_tables())
def test_row_level_security_is_looked_for_on_each_table_with_an_owner(box: Box, table: str) -> None:
    off, on = (f"alter table {table} {word} row level security" for word in ("disable", "enable"))
    with box.altered(off, back=(on,)):
        assert "policies.off" in found(box.doctor("--only", "policies", "--json"))


def test_a_database_without_the_schema_is_found(box: Box, cluster: str) -> None:
    with own_database(cluster) as url:
        assert found(box.doctor("--json", DATABASE_URL=as_service(url))) == {"schema.unmigrated"}


@pytest.mark.parametrize(
    ("code", "options"),
    [
        ("encoding.other", "encoding 'SQL_ASCII'"),
        ("encoding.letters", "encoding 'UTF8'"),
    ],
)
def test_a_database_that_does_not_know_every_letter_is_found(
    box: Box, code: str, options: str
) -> None:
    name = f"test_{uuid4().hex}"
    how = f"{options} locale_provider libc locale 'C' template template0"
    with box.altered(f"create database {name} {how}", back=(f"drop database {name}",)):
        url = urlsplit(box.url)._replace(path=f"/{name}").geturl()
        assert found(box.doctor("--only", "encoding", "--json", DATABASE_URL=url)) == {code}


def test_a_server_that_is_too_old_is_found(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "OLDEST", 99)
    assert found(box.doctor("--json")) == {"version.old"}


# What is wrong on the way


def test_a_database_in_another_region_is_found(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "NEAR_MS", NEAR_MS)
    with Proxy(box.url) as proxy:
        proxy.faults.lag = 0.004
        result = box.doctor("--only", "latency", "--json", DATABASE_URL=proxy.url)
    assert found(result) == {"latency.high"}


@pytest.mark.parametrize(("seconds", "code"), [(5, "clock.skewed"), (45, "clock.wrong")])
def test_a_clock_that_is_wrong_is_found(
    box: Box, monkeypatch: pytest.MonkeyPatch, seconds: float, code: str
) -> None:
    now = time.time
    for direction in (1, -1):
        monkeypatch.setattr(time, "time", lambda: now() + seconds * direction)  # noqa: B023
        assert found(box.doctor("--only", "clock", "--json")) == {code}


def test_a_connection_to_elsewhere_without_tls_is_found(box: Box) -> None:
    settings = Settings.from_environment({**HEALTHY, "DATABASE_URL": box.url})
    # Another spelling of this host, which to the service is another one: it would not start so.
    url = str(settings.database_url).replace("127.0.0.1", "127.1")
    plain = replace(settings, database_url=f"{url}?sslmode=disable")
    assert found(run(plain, "--json")) == {"tls.plain"}


def test_a_server_that_is_not_verified_is_found(box: Box) -> None:
    need("pgbouncer")
    url = box.pooler.through(box.url, sslmode="require").replace("localhost", "127.1")
    result = box.doctor("--only", "tls", "--json", DATABASE_URL=url)
    assert found(result) == {"tls.unverified"}


@pytest.mark.parametrize("mode", ["session", "statement"])
def test_a_pooler_that_shares_in_another_way_is_found(box: Box, mode: str) -> None:
    need("pgbouncer")
    with PgBouncer(box.superuser_url, pool_mode=mode) as pooler:
        result = box.doctor("--only", "pooler", "--json", DATABASE_URL=pooler.through(box.url))
    assert found(result) == {f"pooler.{mode}"}


def test_a_proxy_that_gives_out_numbers_of_its_own_and_shares_nothing_is_no_pooler(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Renumbered(psycopg2.extensions.connection):
        @property
        def info(self) -> Any:
            return SimpleNamespace(backend_pid=1, ssl_in_use=False)

    options = pool.connect_options
    monkeypatch.setattr(
        "app.db.pool.connect_options",
        lambda settings: {**options(settings), "connection_factory": Renumbered},
    )
    result = box.doctor("--json", "--only", "pooler", "--only", "migrations")
    assert found(result) == set()
    assert "none stands between" in result.stdout


def test_migrations_that_would_go_through_a_pooler_are_found(box: Box) -> None:
    need("pgbouncer")
    pooled = {"DATABASE_URL": box.pooler.through(box.url)}
    only = ("--only", "migrations", "--json")
    assert found(box.doctor(*only, **pooled)) == {"migrations.unset"}
    unpooled = box.pooler.through(box.superuser_url)
    result = box.doctor(*only, DATABASE_URL_UNPOOLED=unpooled)
    assert found(result) == {"migrations.pooled"}


# Whatever happens


def test_a_database_that_is_away_is_one_finding(box: Box) -> None:
    result = box.doctor(DATABASE_URL=NOWHERE)
    lines = [line for line in result.output.splitlines() if line.startswith(("fail", "warn"))]
    assert lines == [
        "fail  database    127.0.0.1:1/tasks is not to be had: it is not to be reached"
    ]
    assert "hidden" not in result.output


def test_a_database_that_takes_connections_and_says_nothing_is_one_finding(box: Box) -> None:
    with Proxy(box.url) as proxy:
        proxy.faults.asleep = True
        result = box.doctor("--json", DATABASE_URL=proxy.url, DB_CONNECT_TIMEOUT="1")
    assert found(result) == {"database.unreachable"}


def test_a_check_that_does_not_end_is_given_up_and_what_needs_its_connection_left_out(
    app: APIFlask, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = Event()

    def hang(_deployment: Deployment) -> list[Finding]:
        ended.wait(60)
        return []

    def fail(_deployment: Deployment) -> list[Finding]:
        raise KeyError

    checks = (
        Check("database", lambda _: [Finding("answers")]),
        Check("breaks", fail, Needs.DATABASE),
        Check("hangs", hang, Needs.DATABASE),
        Check("needs it", lambda _: [Finding("asked")], Needs.DATABASE),
        Check("needs nothing", lambda _: [Finding("asked")]),
    )
    monkeypatch.setattr(examination, "CHECKS", checks)
    monkeypatch.setattr(examination, "SECONDS", 1.0)
    monkeypatch.setattr(examination, "PARTING_SECONDS", 0.0)
    try:
        results = [(name, each.code) for name, each in examination.examine(Deployment(app))]
    finally:
        ended.set()
    assert results == [
        ("database", None),
        ("breaks", "unfinished"),
        ("hangs", "unfinished"),
        ("needs nothing", None),
    ]


def test_a_connection_that_dies_ends_what_needs_it(box: Box) -> None:
    with Proxy(box.url) as proxy:
        proxy.faults.cut_within = b"server_encoding"
        result = box.doctor("--json", DATABASE_URL=proxy.url)
    assert found(result) == {"unfinished"}
    checked = [check["check"] for check in json.loads(result.stdout)["checks"]]
    assert checked[-1] == "encoding"


def test_only_what_is_named_is_looked_at_and_what_it_needs_is_told_if_it_is_not_there(
    box: Box,
) -> None:
    result = box.doctor("--only", "keys", "--only", "clock")
    assert [line.split()[1] for line in result.stdout.splitlines()[:-1]] == ["keys", "clock"]
    result = box.doctor("--only", "grants", DATABASE_URL=NOWHERE)
    assert result.exit_code == 1
    assert result.stdout.splitlines()[0].split()[:2] == ["fail", "database"]
    assert box.doctor("--only", "nothing").exit_code == 2


def test_advice_stands_below_each_finding(box: Box) -> None:
    first, second, counts = box.doctor("--only", "hosts", TRUSTED_HOSTS="").stdout.splitlines()
    assert first == "warn  hosts       the service answers to whatever host it is called by"
    assert second.strip() == f"{REMEDIES['hosts.any'][1]} (hosts.any)"
    assert counts == "0 ok, 1 warn, 0 fail"


# What is expected


def test_what_is_expected_is_what_the_migrations_make(box: Box) -> None:
    deployment = Deployment(
        create_app(Settings.from_environment({**HEALTHY, "DATABASE_URL": box.url}))
    )
    made: dict[str, set[str]] = {}
    try:
        for query in (rights.POLICIES, rights.GRANTS):
            for table, lines in rights.in_force(deployment, query).items():
                made.setdefault(table, set()).update(lines)
    finally:
        deployment.close()
    assert made == {table: set(lines) for table, lines in RIGHTS.items()}
    assert {line.split()[1] for t in made.values() for line in t if "grant" in line} == set(ROLES)


def test_a_table_of_ones_own_has_to_keep_users_apart(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = {table: lines for table, lines in RIGHTS.items() if table != "tasks"}
    monkeypatch.setattr(rights, "RIGHTS", known)
    only = ("--only", "policies", "--json")
    assert found(box.doctor(*only)) == set()
    drop, make = (
        "drop policy own_rows on tasks",
        "create policy own_rows on tasks to tasks_app"
        f" using {TASKS_POLICY} with check {TASKS_POLICY}",
    )
    with box.altered(drop, back=(make,)):
        assert found(box.doctor(*only)) == {"policies.different"}


OTHERS = {
    "issuer.unusable",
    "version.old",
    "encoding.other",
    "encoding.letters",
    "latency.high",
    "clock.skewed",
    "clock.wrong",
    "tls.plain",
    "tls.unverified",
    "pooler.session",
    "pooler.statement",
    "migrations.unset",
    "migrations.pooled",
    "schema.unmigrated",
}


def test_each_finding_has_been_made_here() -> None:
    assert {*SETTINGS, *OTHERS, *(code for code, _, _ in ALTERED)} == set(REMEDIES)


def test_the_document_lists_each_finding_with_its_remedy() -> None:
    document = (ROOT / "docs" / "operations" / "doctor.md").read_text()
    rows = re.findall(r"^\| `([\w.]+)` \| (warn|fail) \| .+? \| (.+) \|$", document, re.M)
    assert [(code, Level(level), advice) for code, level, advice in rows] == [
        (code, *remedy) for code, remedy in REMEDIES.items()
    ]
    looked_at = document.split("## What is looked at")[1].split("## ")[0]
    named = re.findall(r"^\| `(\w+)` \|", looked_at, re.M)
    assert named == [check.name for check in CHECKS]
