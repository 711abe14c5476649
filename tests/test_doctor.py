"""`flask doctor` finds what is wrong with a deployment, and nothing where nothing is."""

import json
import re
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from click.testing import Result

from app import create_app
from app.api.health.probe import head_revision
from app.core.config import Settings
from app.core.secrets import Keys
from app.db.base import Base
from app.ops.doctor import command, configured, rights
from app.ops.doctor.command import CHECKS
from app.ops.doctor.deployment import Deployment
from app.ops.doctor.findings import REMEDIES
from tests.conftest import ROOT
from tests.databases import MIGRATIONS, migrate, opened, own_database
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
    def altered(self, statement: str, *, back: str) -> Iterator[None]:
        """With the database so, and then back again."""
        with opened(self.superuser_url) as cursor:
            try:
                cursor.execute(statement)
                yield
            finally:
                cursor.execute(back)


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


@pytest.fixture(scope="module")
def box(cluster: str) -> Iterator[Box]:
    with own_database(cluster) as url, ExitStack() as stack, opened(url) as cursor:
        migrate(url)
        cursor.execute(f"create role {SERVICE} login noinherit password '{PASSWORD}'")
        cursor.execute(
            "grant tasks_app, tasks_auth, tasks_links, tasks_maintenance, tasks_worker"
            f" to {SERVICE}"
        )
        try:
            yield Box(url, as_service(url), stack)
        finally:
            cursor.execute("alter table tasks owner to current_user")
            cursor.execute(f"drop role {SERVICE}")


def as_service(url: str) -> str:
    """The same database for the login of few rights."""
    parts = urlsplit(url)
    return parts._replace(netloc=f"{SERVICE}:{PASSWORD}@{parts.hostname}:{parts.port}").geturl()


# Nothing is wrong


def test_a_healthy_deployment_is_told_that_all_is_well(box: Box) -> None:
    result = box.doctor()
    lines = result.stdout.splitlines()
    assert [line.split()[:2] for line in lines[:-1]] == [["ok", check] for check in CHECKS]
    assert (result.exit_code, lines[-1]) == (0, f"{len(CHECKS)} ok, 0 warn, 0 fail")


def test_a_healthy_deployment_behind_a_pooler_with_tls_is_told_the_same(box: Box) -> None:
    need("pgbouncer")
    pooled = box.pooler.through(box.url)
    result = box.doctor(DATABASE_URL=pooled, DATABASE_URL_UNPOOLED=box.superuser_url)
    assert result.exit_code == 0, result.stdout
    assert {line.split()[0] for line in result.stdout.splitlines()[:-1]} == {"ok"}, result.stdout
    assert "sslmode=verify-full" in result.stdout


def test_nothing_stays_of_an_examination(box: Box) -> None:
    counts = [f"(select count(*) from {table})" for table in Base.metadata.tables]
    with opened(box.superuser_url) as cursor:
        cursor.execute(f"select {', '.join(counts)}")
        before = cursor.fetchall()
        assert box.doctor().exit_code == 0
        cursor.execute(f"select {', '.join(counts)}")
        assert cursor.fetchall() == before
        cursor.execute("select count(*) from pg_stat_activity where state like 'idle in%'")
        assert cursor.fetchall() == [(0,)]


# What is wrong with the settings

NOWHERE = "postgresql://tasks:hidden@127.0.0.1:1/tasks"

SETTINGS: dict[str, dict[str, str]] = {
    "environment.development": {"APP_ENV": "development"},
    "hosts.any": {"TRUSTED_HOSTS": ""},
    "proxies.none": {"TRUSTED_PROXIES": "0"},
    "counters.apart": {"WEB_CONCURRENCY": "2"},
    "limits.off": {"RATELIMIT_PER_USER": "0"},
    "database.unreachable": {"DATABASE_URL": NOWHERE},
}


@pytest.mark.parametrize("code", SETTINGS)
def test_a_setting_that_is_wrong_is_found(box: Box, code: str) -> None:
    assert found(box.doctor("--json", **SETTINGS[code])) == {code}


def test_the_keys_that_sign_and_are_accepted_are_named(box: Box) -> None:
    accepted = {"JWT_SECRETS_ACCEPTED": RANDOM[::-1]}
    ids = [key.id for key in (Keys.derive(RANDOM), Keys.derive(RANDOM[::-1]))]
    shown = box.doctor(**accepted).stdout
    assert f"signed with {ids[0]}, those of {ids[1]} are taken as well" in shown


# What is wrong with the database

OWN_ROWS = "(user_id = nullif(current_setting('app.user_id', true), '')::uuid)"
LOGIN, POLICY = f"alter role {SERVICE}", "alter policy own_rows on tasks"
REVISION, HEAD = (
    "update alembic_version set version_num =",
    head_revision(Path(MIGRATIONS, "versions")),
)

ALTERED = [
    ("unfinished", f"{LOGIN} set default_transaction_read_only = on"),
    ("unfinished", "revoke select on alembic_version from tasks_app"),
    ("server_log.values", f"{LOGIN} set log_min_error_statement = error"),
    ("server_log.values", f"{LOGIN} set log_min_duration_statement = 500"),
    ("login.powerful", f"{LOGIN} superuser"),
    ("login.powerful", f"{LOGIN} bypassrls"),
    ("login.powerful", f"alter table tasks owner to {SERVICE}"),
    ("login.stranger", f"revoke tasks_auth from {SERVICE}"),
    ("schema.behind", f"{REVISION} '0001'"),
    ("schema.ahead", f"{REVISION} '9999'"),
    ("roles.powerful", "alter role tasks_app bypassrls"),
    ("roles.powerful", "alter role tasks_auth login"),
    ("policies.off", "alter table users no force row level security"),
    ("policies.different", "alter policy purge on tasks using (true)"),
    ("policies.different", "alter policy find on users rename to seek"),
    ("policies.different", "create policy more on refresh_tokens to tasks_auth using (false)"),
    ("policies.different", "create policy more on tasks as restrictive to tasks_app using (true)"),
    ("isolation.broken", "create policy leak on tasks to tasks_app using (true)"),
    ("isolation.broken", "create policy leak on users for select to public using (true)"),
    ("isolation.blind", f"{POLICY} using (false)"),
    ("isolation.blind", f"{POLICY} with check (false)"),
    ("grants.missing", "revoke delete on tasks from tasks_maintenance"),
    ("grants.excess", "grant delete on tasks to tasks_app"),
    ("grants.excess", "grant insert on users to public"),
    ("grants.excess", "grant execute on function search_tasks to public"),
    ("grants.others", "grant select on tasks to pg_monitor"),
]

MENDED = (
    (r"(alter role \w+) set .*", r"\1 reset all"),
    (r"(alter role \w+) (\w+)", r"\1 no\2"),
    (r"(alter table tasks owner to) .*", r"\1 current_user"),
    (r"(alter table users) no (.*)", r"\1 \2"),
    (r"(alter policy purge .*)\(true\)", r"\1(deleted_at is not null)"),
    (r"alter policy find on users rename to seek", "alter policy seek on users rename to find"),
    (r"(alter policy own_rows .*)\(false\)", rf"\1{OWN_ROWS}"),
    (r"create (policy \w+ on \w+) .*", r"drop \1"),
    (r"grant (.*) to (\w+)", r"revoke \1 from \2"),
    (r"revoke (.*) from (\w+)", r"grant \1 to \2"),
    (rf"({REVISION}) .*", rf"\1 '{HEAD}'"),
)
"""How each of those statements is undone."""

BESIDE: dict[str, set[str]] = {
    "login.stranger": {"unfinished"},
    "roles.powerful": {"isolation.broken"},
    "isolation.broken": {"policies.different", "grants.excess"},
    "isolation.blind": {"policies.different"},
    "login.powerful": {"grants.excess", "grants.missing", "grants.others"},
}
"""What else may be found, as it is the cause of this or follows from it."""


@pytest.mark.parametrize(("code", "statement"), ALTERED)
def test_what_is_wrong_in_the_database_is_found(box: Box, code: str, statement: str) -> None:
    with box.altered(statement, back=mending(statement)):
        codes = found(box.doctor("--json"))
    assert code in codes
    assert codes - {code} <= BESIDE.get(code, set())


def mending(statement: str) -> str:
    """The statement that undoes this one."""
    matches = ((re.fullmatch(pattern, statement), mended) for pattern, mended in MENDED)
    [undoing] = [match.expand(mended) for match, mended in matches if match]
    return undoing


@pytest.mark.parametrize("table", rights.owned_tables())
def test_row_level_security_is_looked_for_on_each_table_with_an_owner(box: Box, table: str) -> None:
    off, on = (f"alter table {table} {word} row level security" for word in ("disable", "enable"))
    with box.altered(off, back=on):
        assert "policies.off" in found(box.doctor("--json"))


def test_a_database_without_the_schema_is_found(box: Box, cluster: str) -> None:
    with own_database(cluster) as url:
        assert found(box.doctor("--json", DATABASE_URL=as_service(url))) == {"schema.behind"}


@pytest.mark.parametrize("encoding", ["SQL_ASCII", "UTF8"])
def test_a_database_that_does_not_know_every_letter_is_found(box: Box, encoding: str) -> None:
    name = f"test_{uuid4().hex}"
    how = f"encoding '{encoding}' locale_provider libc locale 'C' template template0"
    with box.altered(f"create database {name} {how}", back=f"drop database {name}"):
        url = urlsplit(box.url)._replace(path=f"/{name}").geturl()
        result = box.doctor("--json", DATABASE_URL=url)
    assert found(result) == {"encoding.letters", "schema.behind"}


# What is wrong on the way


@pytest.mark.parametrize(("seconds", "code"), [(5, "clock.skewed"), (45, "clock.wrong")])
def test_a_clock_that_is_wrong_is_found(
    box: Box, monkeypatch: pytest.MonkeyPatch, seconds: float, code: str
) -> None:
    now = time.time
    for direction in (1, -1):
        monkeypatch.setattr(time, "time", lambda: now() + seconds * direction)  # noqa: B023
        assert found(box.doctor("--json")) == {code}


def test_a_connection_to_elsewhere_without_tls_is_found(box: Box) -> None:
    settings = Settings.from_environment({**HEALTHY, "DATABASE_URL": box.url})
    # Another spelling of this host, which to the service is another one: it would not start so.
    url = str(settings.database_url).replace("127.0.0.1", "127.1")
    plain = replace(settings, database_url=f"{url}?sslmode=disable")
    assert found(run(plain, "--json")) == {"tls.plain"}


def test_a_server_that_is_not_verified_is_found(box: Box) -> None:
    need("pgbouncer")
    url = box.pooler.through(box.url, sslmode="require").replace("localhost", "127.1")
    result = box.doctor("--json", DATABASE_URL=url, DATABASE_URL_UNPOOLED=box.superuser_url)
    assert found(result) == {"tls.unverified"}


def test_a_pooler_that_lets_no_transaction_through_is_found(box: Box) -> None:
    need("pgbouncer")
    with PgBouncer(box.superuser_url, pool_mode="statement") as pooler:
        result = box.doctor("--json", DATABASE_URL=pooler.through(box.url))
    assert "pooler.statement" in found(result)


def test_a_pooler_that_gives_each_client_a_connection_of_its_own_is_none(box: Box) -> None:
    need("pgbouncer")
    with PgBouncer(box.superuser_url, pool_mode="session") as pooler:
        result = box.doctor(DATABASE_URL=pooler.through(box.url))
    assert result.stdout.splitlines()[-1] == f"{len(CHECKS)} ok, 0 warn, 0 fail"


def test_migrations_that_would_go_through_a_pooler_of_neon_are_found(box: Box) -> None:
    url = box.url.replace("127.0.0.1", "ep-x-pooler.example.com")
    settings = Settings.from_environment({**HEALTHY, "DATABASE_URL": url})
    with closing(Deployment(application(settings))) as deployment:
        [finding] = configured.migrations(deployment)
    assert finding.code == "migrations.pooled"


def test_migrations_that_get_to_no_database_are_found(box: Box) -> None:
    result = box.doctor("--json", DATABASE_URL_UNPOOLED=NOWHERE)
    assert found(result) == {"unfinished"}
    assert "hidden" not in result.output
    [failed] = [each for each in json.loads(result.stdout)["checks"] if each["code"]]
    assert failed["check"] == "migrations"
    assert "Connection refused" in failed["finding"]


def test_a_parameter_with_a_space_is_read_as_the_service_reads_it(box: Box) -> None:
    url = f"{box.url}?options=-c+search_path%3Dpublic"
    assert found(box.doctor("--json", DATABASE_URL=url, DATABASE_URL_UNPOOLED=url)) == set()


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


def test_a_statement_that_does_not_end_is_given_up_and_what_needs_its_connection_left_out(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "SECONDS", 2.0)
    with opened(box.superuser_url) as cursor:
        cursor.execute("begin; lock table alembic_version")
        result = box.doctor("--json")
    assert found(result) == {"unfinished"}
    assert [each["check"] for each in json.loads(result.stdout)["checks"]][-1] == "schema"


def test_a_connection_that_dies_ends_what_needs_it(box: Box) -> None:
    with Proxy(box.url) as proxy:
        proxy.faults.cut_within = b"getdatabaseencoding"
        result = box.doctor("--json", DATABASE_URL=proxy.url)
    assert found(result) == {"unfinished"}
    checked = [check["check"] for check in json.loads(result.stdout)["checks"]]
    assert checked[-1] == "encoding"


def test_advice_stands_below_each_finding(box: Box) -> None:
    lines = box.doctor(TRUSTED_HOSTS="").stdout.splitlines()
    place = list(CHECKS).index("hosts")
    first, second, counts = lines[place], lines[place + 1], lines[-1]
    assert first == "warn  hosts       the service answers to whatever host it is called by"
    assert second.strip() == f"{REMEDIES['hosts.any'][1]} (hosts.any)"
    assert counts == f"{len(CHECKS) - 1} ok, 1 warn, 0 fail"


# What is expected


def test_what_is_expected_is_what_the_migrations_make(box: Box) -> None:
    settings = Settings.from_environment({**HEALTHY, "DATABASE_URL": box.url})
    with closing(Deployment(application(settings))) as deployment:
        made = [rights.in_force(deployment, query) for query in (rights.POLICIES, rights.GRANTS)]
    assert set.union(*made) == rights.EXPECTED
    assert {line.split()[2] for line in made[1]} == set(rights.ROLES)


def test_a_table_of_ones_own_has_to_keep_users_apart(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rights, "KNOWN", rights.KNOWN - {"tasks"})
    known = {line for line in rights.EXPECTED if not line.startswith("tasks:")}
    monkeypatch.setattr(rights, "EXPECTED", known)
    assert found(box.doctor("--json")) == set()
    make = f"create policy own_rows on tasks to tasks_app using {OWN_ROWS} with check {OWN_ROWS}"
    with box.altered("drop policy own_rows on tasks", back=make):
        assert "policies.different" in found(box.doctor("--json"))


def test_the_document_lists_each_finding_with_its_remedy() -> None:
    document = (ROOT / "docs" / "operations" / "doctor.md").read_text()
    rows = re.findall(r"^\| `([\w.]+)` \| (warn|fail) \| .+? \| (.+) \|$", document, re.M)
    assert [(code, level, advice) for code, level, advice in rows] == [
        (code, *remedy) for code, remedy in REMEDIES.items()
    ]
    looked_at = document.split("## What is looked at")[1].split("## ")[0]
    named = re.findall(r"^\| `(\w+)` \|", looked_at, re.M)
    assert named == [*CHECKS]
