"""A real PostgreSQL, its schema made by `flask db upgrade`, and callers of the API."""

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.request import urlopen

import hypothesis
import psycopg2
import psycopg2.extensions
import pytest
from apiflask import APIFlask
from argon2 import PasswordHasher
from flask.testing import FlaskClient
from flask_migrate import upgrade
from sqlalchemy import event
from werkzeug.test import TestResponse

from app import create_app
from app.auth import passwords
from app.core.config import Settings
from app.core.ids import new_id
from app.db.base import db
from app.dev.embedded import throwaway
from tests import citus
from tests.issuer import AUDIENCE, NAME, Issuer, running_issuer
from tests.rig.pgbouncer import PgBouncer
from tests.rig.programs import free_port
from tests.rig.proxy import Proxy
from tests.rig.statements import LOGGING, outlasting

ROOT = Path(__file__).parent.parent
PASSWORD = "correct horse battery"
CHEAP_HASH = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)
"""A hash of it that is cheap to check; the first sign-in renews it."""
SECRET = "a secret of the tests, longer than it must be"


# How fast a machine is, no test depends on.
hypothesis.settings.register_profile(
    "any machine",
    deadline=None,
    suppress_health_check=[
        hypothesis.HealthCheck.too_slow,
        hypothesis.HealthCheck.function_scoped_fixture,
    ],
)
hypothesis.settings.load_profile("any machine")


class Account(NamedTuple):
    """A user of the API, and how they call it."""

    user_id: str
    email: str
    token: str
    client: FlaskClient

    def call(self, method: str, path: str, **options: Any) -> TestResponse:
        headers = {"Authorization": f"Bearer {self.token}", **options.pop("headers", {})}
        return self.client.open(path, method=method, headers=headers, **options)

    def get(self, path: str, **options: Any) -> TestResponse:
        return self.call("GET", path, **options)

    def post(self, path: str, **options: Any) -> TestResponse:
        return self.call("POST", path, **options)

    def put(self, path: str, **options: Any) -> TestResponse:
        return self.call("PUT", path, **options)

    def patch(self, path: str, **options: Any) -> TestResponse:
        return self.call("PATCH", path, **options)

    def delete(self, path: str, **options: Any) -> TestResponse:
        return self.call("DELETE", path, **options)

    def erase(self, **options: Any) -> TestResponse:
        return self.delete("/v1/me", json={"current_password": PASSWORD}, **options)

    def create_task(self, **fields: Any) -> dict[str, Any]:
        response = self.post("/v1/tasks", json={"title": "Buy milk", **fields})
        assert response.status_code == 201, response.text
        return response.json

    def create_category(self, **fields: Any) -> dict[str, Any]:
        response = self.post("/v1/categories", json={"name": new_id(), **fields})
        assert response.status_code == 201, response.text
        return response.json

    def create_label(self, **fields: Any) -> dict[str, Any]:
        response = self.post("/v1/labels", json={"name": new_id(), **fields})
        assert response.status_code == 201, response.text
        return response.json

    def create_token(self, **fields: Any) -> dict[str, Any]:
        body = {"name": "A script", "scopes": ["tasks:read", "tasks:write", "account"], **fields}
        response = self.post("/v1/tokens", json=body)
        assert response.status_code == 201, response.text
        return response.json


def insert_user(cursor: Any, user_id: str, email: str, password_hash: str = CHEAP_HASH) -> None:
    """Insert an account as a superuser: first the address, as a cluster has no trigger for it."""
    address = "insert into sign_in_addresses (address, user_id) values (lower(%s), %s)"
    cursor.execute(address, (email, user_id))
    account = "insert into users (id, email, password_hash) values (%s, %s, %s)"
    cursor.execute(account, (user_id, email, password_hash))


@contextmanager
def sending(application: APIFlask, look: Callable[[str], str]) -> Iterator[None]:
    """While entered, every statement of this application is what `look` makes of it."""

    class Cursor(psycopg2.extensions.cursor):
        def execute(self, statement: Any, parameters: Any = None) -> Any:
            text = statement if isinstance(statement, str) else statement.decode()
            return super().execute(look(text), parameters)

    with cursors(application, Cursor):
        yield


@contextmanager
def cursors(application: APIFlask, kind: type[psycopg2.extensions.cursor]) -> Iterator[None]:
    """While entered, the connections of this application have cursors of this kind."""

    def watch(connection: Any, *_: object) -> None:
        connection.cursor_factory = kind

    def leave(connection: Any, *_: object) -> None:
        if connection:
            connection.cursor_factory = psycopg2.extensions.cursor

    with application.app_context():
        engine = db.engine
    event.listen(engine, "checkout", watch)
    event.listen(engine, "checkin", leave)
    try:
        yield
    finally:
        event.remove(engine, "checkout", watch)
        event.remove(engine, "checkin", leave)


def settings_for(database_url: str, **environment: str) -> Settings:
    """Settings of a test's own application."""
    return Settings.from_environment(
        {
            "APP_ENV": "test",
            "DATABASE_URL": database_url,
            "JWT_SECRET": SECRET,
            "LOG_LEVEL": "INFO",
            "RATELIMIT_PER_USER": "0",
            "RATELIMIT_PER_ADDRESS": "0",
            **(citus.PATIENCE if citus.GIVEN else {}),
            **environment,
        }
    )


def trusting(database_url: str, issuer: Issuer, **environment: str) -> Settings:
    """Settings of a service that takes the issuer's tokens beside its own."""
    names = {"JWT_JWKS_URL": issuer.url, "JWT_ISSUER": NAME, "JWT_AUDIENCE": AUDIENCE}
    return settings_for(database_url, **names, **environment)


def pytest_configure(config: pytest.Config) -> None:
    """Note the cluster that is given, and heed what nohup or a shell's background job ignores:
    programs that are tested inherit it.
    """
    if given := config.getoption("cluster"):
        citus.GIVEN["url"] = given
    for number in (signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out what is for a cluster, where none is given."""
    return (collection_path.name == "test_cluster.py" and not config.getoption("cluster")) or None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Start the longest tests first, so that none runs alone once all others are done. On a
    cluster, leave out those that use no database, or cannot run there.

    pytest-xdist gives each process an equal part of the list: each part begins with some of them.
    """
    if config.getoption("cluster"):
        items[:] = [item for item in items if citus.runs(item)]
    count = getattr(config, "workerinput", {}).get("workercount", 1)
    longest = [item for item in items if item.get_closest_marker("longest")]
    others = [item for item in items if not item.get_closest_marker("longest")]
    left, items[:] = len(items), []
    for part in range(count):
        size, first = left // (count - part), longest[part::count]
        items += [*first, *others[: max(0, size - len(first))]]
        del others[: max(0, size - len(first))]
        left -= size
    items += others


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test that is skipped for want of a program has proved nothing: in CI that is a failure."""
    report = yield
    wanting = report.skipped and "is not installed" in report.longreprtext
    if wanting and os.environ.get("CI") == "true":
        report.outcome = "failed"
        report.longrepr = f"skipped, which CI does not allow: {report.longreprtext}"
    return report


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--pooled` runs the suite as on Neon."""
    parser.addoption("--pooled", action="store_true", help="reach the database through PgBouncer")
    parser.addoption("--cluster", help="URL of a cluster of Citus, for a superuser")


@pytest.fixture(autouse=True)
def _log_level() -> None:
    """Each test begins with all that is logged, whatever an application before it was told."""
    logging.root.setLevel(logging.INFO)


@pytest.fixture(autouse=True)
def _cheap_hashes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hash and check passwords cheaply in this process, but where their cost is what is tested."""
    if request.node.get_closest_marker("costly") is None:
        monkeypatch.setattr(passwords, "HASHER", PasswordHasher(1, 8, 1))
        monkeypatch.setattr(passwords, "NOBODY", (CHEAP_HASH,))


@pytest.fixture(scope="session")
def cluster(pytestconfig: pytest.Config) -> Iterator[str]:
    """The URL of an empty database, with a superuser's rights."""
    if given := citus.GIVEN.get("url"):
        with citus.database(given) as url:
            yield url
        return
    statements = LOGGING if pytestconfig.getoption("pooled") else ""
    with throwaway(f"-c max_connections=200 {statements}") as url:
        yield url


@pytest.fixture(scope="session")
def database_url(cluster: str, pytestconfig: pytest.Config) -> Iterator[str]:
    """The URL of a database with this release's schema."""
    application = create_app(settings_for(cluster))
    with application.app_context():
        upgrade(directory=str(ROOT / "migrations"))
    if citus.GIVEN:
        citus.spread(cluster)
        recorder = citus.Recorder()
        with recorder.noting():
            yield cluster
        assert recorder.spreading(cluster) == set()
        return
    if not pytestconfig.getoption("pooled"):
        yield cluster
        return
    with PgBouncer(cluster, pool_size=50) as pooler:
        yield pooler.through(cluster)
    assert outlasting(cluster) == []


@pytest.fixture(scope="module")
def own_url(cluster: str) -> Iterator[str]:
    """The URL of a database of the module's own, with this release's schema."""
    from tests.databases import migrate, own_database  # which need this module

    with own_database(cluster) as url:
        migrate(url)
        yield url


@pytest.fixture(scope="session")
def app(database_url: str) -> APIFlask:
    """The application, as `create_app` makes it."""
    return create_app(settings_for(database_url))


@pytest.fixture(scope="session")
def patient(database_url: str) -> APIFlask:
    """An application that waits for a slow machine: no answer of it depends on speed."""
    return create_app(settings_for(database_url, DB_POOL_TIMEOUT="60", DB_STATEMENT_TIMEOUT="60"))


@pytest.fixture
def client(app: APIFlask) -> FlaskClient:
    """A client that is nobody yet."""
    return app.test_client()


@pytest.fixture(scope="session")
def connection(cluster: str, database_url: str) -> Iterator[Any]:
    """A superuser's connection, to look behind the API."""
    opened = psycopg2.connect(cluster)
    opened.autocommit = True
    yield opened
    opened.close()


@pytest.fixture
def auth(app: APIFlask, client: FlaskClient, connection: Any) -> Callable[[], Account]:
    """Makes accounts with PASSWORD, whose hash is cheap to check."""

    def make(application: APIFlask = app) -> Account:
        user_id = new_id()
        email = f"{user_id}@example.com"
        with connection.cursor() as cursor:
            insert_user(cursor, user_id, email)
        token = application.extensions["token_verifier"].issue(user_id)
        return Account(user_id, email, token, application.test_client())

    return make


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Moves every clock of the process forward."""
    moved = 0.0
    now, monotonic = time.time, time.monotonic

    def forward(seconds: float) -> None:
        nonlocal moved
        moved += seconds

    monkeypatch.setattr(time, "time", lambda: now() + moved)
    monkeypatch.setattr(time, "monotonic", lambda: monotonic() + moved)
    return forward


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    """Another issuer of access tokens, which answers."""
    with running_issuer() as running:
        yield running


@pytest.fixture
def alice(auth: Callable[[], Account]) -> Account:
    return auth()


@pytest.fixture
def bob(auth: Callable[[], Account]) -> Account:
    return auth()


@pytest.fixture
def sql(app: APIFlask) -> Callable[[], AbstractContextManager[list[str]]]:
    """Records the statements that are sent while it is entered."""

    @contextmanager
    def record() -> Iterator[list[str]]:
        statements: list[str] = []
        with sending(app, lambda statement: statements.append(statement) or statement):
            yield statements

    return record


@pytest.fixture
def proxy(database_url: str) -> Iterator[Proxy]:
    """A proxy before the database, which counts flights."""
    with Proxy(database_url) as forwarding:
        yield forwarding


@pytest.fixture
def cutting(cluster: str, database_url: str) -> Iterator[Proxy]:
    """A proxy that knows messages by their text: past the pooler, which is spoken to in TLS."""
    with Proxy(cluster) as forwarding:
        yield forwarding


@pytest.fixture(scope="session")
def server(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The base URL of gunicorn with the application, as it is started in production."""
    with gunicorn(database_url, tmp_path_factory.mktemp("server") / "log") as base:
        yield base


@contextmanager
def gunicorn(database_url: str, log: Path, **environment: str) -> Iterator[str]:
    """gunicorn on a free port, with its standard output in the log; yields its base URL."""
    with gunicorn_process(database_url, log, **environment) as (base, _):
        yield base


@contextmanager
def gunicorn_process(
    database_url: str,
    log: Path,
    module: str = "gunicorn",
    root: Path = ROOT,
    **environment: str,
) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """As `gunicorn`, with the process to send signals to; by another module with its arguments, or
    of another release at `root`, if one is named.
    """
    port = free_port()
    variables = {
        **{k: v for k, v in os.environ.items() if k in {"PATH", "HOME", "LANG"}},
        "APP_ENV": "test",
        "FLASK_SKIP_DOTENV": "1",
        "DATABASE_URL": database_url,
        "JWT_SECRET": SECRET,
        "PORT": str(port),
        "GRANIAN_PORT": str(port),
        "RATELIMIT_PER_USER": "0",
        "RATELIMIT_PER_ADDRESS": "0",
        "SHUTDOWN_GRACE": "0",
        **environment,
    }
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", *module.split()],
            cwd=root,
            env=variables,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    base = f"http://127.0.0.1:{port}"
    try:
        wait_until_ready(base, process)
        yield base, process
    finally:
        process.terminate()
        process.wait(timeout=40)


def wait_until_ready(base: str, process: subprocess.Popen[bytes]) -> None:
    """Return when the server answers. Raises AssertionError if it ends or takes a minute."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urlopen(f"{base}/health", timeout=5):
                return
        except OSError:
            time.sleep(0.05)
    raise AssertionError("the server did not start")
