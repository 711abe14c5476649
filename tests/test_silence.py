"""No secret is told: by no program, whatever is wrong, in no log, answer, traceback or `ps`."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import jwt
import pytest

from app.core.logs import redact
from tests.conftest import ROOT
from tests.databases import migrate, own_database
from tests.issuer import FromNow, claims_of
from tests.locks import until
from tests.redis_server import PASSWORD as REDIS_PASSWORD
from tests.redis_server import RedisServer
from tests.rig import programs

pytestmark = pytest.mark.slow

DATABASE_PASSWORD = "hunter2/p@ss:w0rd+of=the database"
JWT_SECRET = "jwt-hunter2-and-so-on-until-it-is-long-enough"
USER_PASSWORD = "user-hunter2-horse"
AWAY_REDIS = "redis-hunter2-open-sesame"
ACCESS_TOKEN = jwt.encode(
    claims_of(
        iss="tasks-api",
        aud="tasks-api",
        sub="00000000-0000-7000-8000-000000000000",
        exp=FromNow(12 * 60 * 60),  # longer than any run of the suite
    ),
    JWT_SECRET,
    "HS256",
)
SECRETS = [
    DATABASE_PASSWORD,
    quote(DATABASE_PASSWORD, safe=""),
    JWT_SECRET,
    USER_PASSWORD,
    AWAY_REDIS,
    REDIS_PASSWORD,
    ACCESS_TOKEN,
    "hunter2",
]


def told(text: str, *others: str) -> list[str]:
    """The secrets that the text tells."""
    return [secret for secret in [*SECRETS, *others] if secret in text]


def faulty(cluster: str) -> dict[str, str]:
    """What can be wrong with DATABASE_URL, and such a URL."""
    parts = urlsplit(cluster)
    password = quote(DATABASE_PASSWORD, safe="")
    here = f"postgresql://{parts.username}:{password}@{parts.hostname}:{parts.port}{parts.path}"
    return {
        "wrong password": here,
        "no TLS": f"{here}?sslmode=require",
        "no such host": f"postgresql://app:{password}@nowhere.invalid/tasks?sslmode=require",
        "half an address": f"postgresql://app:{password}@[::1/tasks",
    }


FAULTS = ["wrong password", "no TLS", "no such host", "half an address"]


@pytest.fixture
def environment(cluster: str) -> Callable[..., dict[str, str]]:
    """Makes the variables of a process, with this fault."""

    def make(fault: str, **settings: str) -> dict[str, str]:
        return variables(faulty(cluster)[fault], **settings)

    return make


def variables(url: str, **settings: str) -> dict[str, str]:
    return {
        **{name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ},
        "APP_ENV": "test",
        "FLASK_SKIP_DOTENV": "1",
        "DATABASE_URL": url,
        "DB_CONNECT_TIMEOUT": "1",
        "JWT_SECRET": JWT_SECRET,
        "RATELIMIT_STORAGE_URI": f"redis://:{AWAY_REDIS}@127.0.0.1:1/0",
        "LOG_LEVEL": "DEBUG",
        "SHUTDOWN_GRACE": "0",
        **settings,
    }


COMMANDS = {
    "flask db upgrade": ["-m", "flask", "db", "upgrade"],
    "flask users list": ["-m", "flask", "users", "list"],
    "create_app": ["-c", "from app import create_app; create_app()"],
}


@pytest.mark.parametrize("fault", FAULTS)
def test_no_command_tells_a_secret(environment: Callable[..., dict[str, str]], fault: str) -> None:
    processes = {
        name: subprocess.Popen(
            [sys.executable, *arguments],
            cwd=ROOT,
            env=environment(fault),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for name, arguments in COMMANDS.items()
    }
    try:
        said = {name: each.communicate(timeout=120)[0] for name, each in processes.items()}
    finally:
        for process in processes.values():
            process.kill()
    for name in ("flask db upgrade", "flask users list"):
        assert processes[name].returncode != 0
        assert "Traceback" not in said[name], said[name]
    assert {name: told(text) for name, text in said.items()} == {name: [] for name in COMMANDS}


@pytest.mark.parametrize("password", ["it's-hunter2", 'say"hunter2"', "a/hunter2?b#c", "a@hunter2"])
def test_a_url_is_masked_whatever_its_password_holds(password: str) -> None:
    assert "hunter2" not in redact(f"cannot use postgresql://app:{password}@db.example.com/tasks")


# The service


@contextmanager
def serving(log: Path, settings: dict[str, str]) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """gunicorn with these settings, when it listens or has ended: its port and its process."""
    port = programs.free_port()
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "gunicorn"],
            cwd=ROOT,
            env={**settings, "PORT": str(port), "WEB_CONCURRENCY": "1"},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        until(lambda: process.poll() is not None or programs.answers(port))
        yield port, process
    finally:
        process.terminate()
        process.wait(timeout=60)


def ask(port: int, method: str, path: str, body: object = None, token: str = "") -> tuple[int, str]:
    """The status, and all that is answered."""
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    headers = {"Content-Type": "application/json", "Cookie": f"session={USER_PASSWORD}"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    try:
        connection.request(method, path, json.dumps(body) if body else None, headers)
        answer = connection.getresponse()
        return answer.status, f"{answer.headers}\n{answer.read().decode()}"
    finally:
        connection.close()


def arguments_of_all_processes() -> str:
    """What everybody on this machine can read of a process."""
    listing = [programs.need("ps"), "-A", "-o", "args="]
    return subprocess.run(listing, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("fault", FAULTS)
def test_the_service_tells_no_secret_of_a_database_that_it_cannot_use(
    environment: Callable[..., dict[str, str]], fault: str, tmp_path: Path
) -> None:
    log, answers = tmp_path / "log", []
    credentials = {"email": "a@example.com", "password": USER_PASSWORD}
    with serving(log, environment(fault)) as (port, process):
        listing = arguments_of_all_processes()
        if process.poll() is None:
            try:
                answers = [
                    ask(port, "POST", "/v1/auth/register", credentials),
                    ask(port, "POST", "/v1/auth/token", credentials),
                    ask(port, "GET", "/v1/me", token=ACCESS_TOKEN),
                    ask(port, "POST", "/v1/tasks", {"title": "x"}, token=ACCESS_TOKEN),
                    ask(port, "GET", f"/health/db?password={USER_PASSWORD}"),
                ]
            except OSError:  # it listens before it finds out that it cannot be
                assert process.wait(timeout=60) == 4
    assert all(status == 503 for status, _ in answers), answers
    assert told(listing) == []
    assert told("\n".join(text for _, text in answers)) == []
    assert told(log.read_text()) == []
    assert "Traceback" not in log.read_text(), log.read_text()
    assert answers or log.read_text().count("Configuration: DATABASE_URL") >= 1


def test_the_service_tells_no_secret_while_all_is_well(cluster: str, tmp_path: Path) -> None:
    log = tmp_path / "log"
    credentials = {"email": "a@example.com", "password": USER_PASSWORD}
    with RedisServer.running() as redis, own_database(cluster) as url:
        migrate(url)
        settings = variables(url, RATELIMIT_STORAGE_URI=redis.url)
        with serving(log, settings) as (port, _):
            status, answer = ask(port, "POST", "/v1/auth/register", credentials)
            assert (status, told(answer)) == (201, [])
            pairs = [pair(ask(port, "POST", "/v1/auth/token", credentials))]
            refresh = {"refresh_token": pairs[0]["refresh_token"]}
            pairs.append(pair(ask(port, "POST", "/v1/auth/refresh", refresh)))
            token = pairs[1]["access_token"]
            forged = {"refresh_token": refresh["refresh_token"][:-9] + "A" * 9}
            wrong = {**credentials, "password": f"wrong {USER_PASSWORD}"}
            for status, answer in (
                ask(port, "GET", "/v1/me", token=token),
                ask(port, "GET", f"/v1/me?access_token={token}", token=token[:-9] + "A" * 9),
                ask(port, "POST", "/v1/auth/token", wrong),
                ask(port, "POST", "/v1/auth/refresh", forged),
                ask(port, "POST", f"/v1/tasks?password={USER_PASSWORD}", {"title": 1}, token),
                ask(port, "GET", "/health/db"),
            ):
                assert status < 500
                assert told(answer, token, password_of(url)) == []
            listing = arguments_of_all_processes()
    issued = [value for each in pairs for name, value in each.items() if name.endswith("_token")]
    assert len(set(issued)) >= 3  # two access tokens of one second are the same
    assert told(listing, *issued) == []
    assert told(log.read_text(), *issued, password_of(url)) == []


def pair(answer: tuple[int, str]) -> dict[str, Any]:
    status, text = answer
    assert status == 200
    tokens: dict[str, Any] = json.loads(text[text.index("{") :])
    return tokens


def password_of(url: str) -> str:
    return urlsplit(url).password or "none"
