"""The files for containers fit the service, and each other, where no engine runs."""

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg2
import pytest
import yaml

from app import create_app
from app.core.config import Settings
from tests.conftest import ROOT, settings_for
from tests.databases import migrate, opened, own_database
from tests.locks import until
from tests.nginx import AROUND
from tests.rig.programs import Program, answers, free_port, need, write

HERE = ROOT / "docs" / "operations" / "containers"
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
DOCKERFILE = (ROOT / "Dockerfile").read_text()
PAGE = (ROOT / "docs" / "operations" / "containers.md").read_text()


@pytest.fixture
def secrets() -> dict[str, str]:
    """What the page's command writes."""
    (command,) = re.findall(r"^    (docs/\S+secrets\.sh) > \.env\.compose$", PAGE, re.M)
    printed = subprocess.run([ROOT / command], capture_output=True, text=True, check=True)
    return dict(line.split("=", 1) for line in printed.stdout.splitlines())


@pytest.fixture
def certificates(tmp_path: Path) -> Path:
    """The folder that certificates.py has filled."""
    for _ in range(2):  # the second time changes nothing
        subprocess.run([sys.executable, HERE / "certificates.py", tmp_path], check=True)
    return tmp_path


@pytest.mark.parametrize("service", ["release", "web", "worker"])
def test_the_service_takes_the_settings_of_compose(
    service: str, secrets: dict[str, str], certificates: Path
) -> None:
    variables = {"APP_ENV": "production", **COMPOSE["services"][service]["environment"]}
    filled = {
        name: re.sub(r"\$\{(\w+)[^}]*\}", lambda found: secrets[found[1]], value).replace(
            "/certificates", str(certificates)
        )
        for name, value in variables.items()
    }
    settings = Settings.from_environment(filled)
    assert settings.production
    assert "sslmode=verify-full" in str(settings.database_url)


def test_all_secrets_of_compose_are_made(secrets: dict[str, str]) -> None:
    named = set(re.findall(r"\$\{(\w+)", (ROOT / "compose.yaml").read_text()))
    assert named == set(secrets)
    assert all(len(secret) >= 32 for secret in secrets.values())


def test_the_commands_of_the_page_fit_the_files() -> None:
    """No test runs an engine; this is what can be checked without one."""
    commands = re.findall(r"^    docker (.+)$", PAGE.replace("\\\n", " "), re.M)
    build, release, run, up, copy = (shlex.split(command) for command in commands)
    web = COMPOSE["services"]["web"]
    assert build == ["build", "-t", web["image"], web["build"]]
    assert release[-4:] == [web["image"], *COMPOSE["services"]["release"]["command"]]
    options = dict(zip(run[2:-1:2], run[3:-1:2], strict=True))
    assert (run[:2], run[-1]) == (["run", "--read-only"], web["image"])
    assert (web["read_only"], web["tmpfs"]) == (True, [options["--tmpfs"]])
    assert web["cap_drop"] == [options["--cap-drop"]]
    assert web["security_opt"] == [f"{options['--security-opt']}:true"]
    assert web["stop_grace_period"] == f"{options['--stop-timeout']}s"
    assert options["--publish"].split(":")[1] == re.findall(r"^EXPOSE (\d+)$", DOCKERFILE, re.M)[0]
    assert f"`docker {shlex.join(up)}` again" in PAGE
    assert copy[:4] == [*up[:3], "cp"]
    service, _, path = copy[4].partition(":")
    mounted = [volume.split(":")[1] for volume in COMPOSE["services"][service]["volumes"]]
    assert str(Path(path).parent) in mounted
    (port,) = re.findall(r"https://localhost:(\d+)", PAGE)
    assert COMPOSE["services"][service]["ports"] == [f"127.0.0.1:{port}:{port}"]


def test_the_image_has_what_the_commands_need() -> None:
    copied = [
        name
        for line in re.findall(r"^COPY (?!--)(.+) \S+$", DOCKERFILE, re.M)
        for name in line.split()
    ]
    admitted = re.findall(r"^!(\S+)$", (ROOT / ".dockerignore").read_text(), re.M)
    assert sorted(copied) == sorted(admitted)
    assert all((ROOT / name).exists() for name in copied)
    web = re.findall(r"^web: (\S+)", (ROOT / "Procfile").read_text(), re.M)
    assert re.findall(r'^CMD \["(\S+)"\]$', DOCKERFILE, re.M) == web


def test_the_health_check_tells_a_service_that_answers_from_one_that_does_not(server: str) -> None:
    (check,) = re.findall(r'^    CMD \["python3", "-c", "(.+)"\]$', DOCKERFILE, re.M)
    code = check.replace('\\"', '"')
    for port, expected in ((server.rpartition(":")[2], 0), (str(free_port()), 1)):
        run = subprocess.run([sys.executable, "-c", code], env={"PORT": port}, capture_output=True)
        assert run.returncode == expected


@pytest.fixture
def proxy(server: str, certificates: Path) -> Iterator[str]:
    """nginx with the configuration of compose, before the service."""
    binary, port, directory = need("nginx"), free_port(), certificates
    shipped = (HERE / "proxy.conf").read_text()
    changes = {
        "listen 8443": f"listen 127.0.0.1:{port}",
        "http://web:8000": server,
        "/certificates/": f"{directory}/",
    }
    for old, new in changes.items():
        assert old in shipped
        shipped = shipped.replace(old, new)
    write(directory / "tasks.conf", shipped.encode())
    around = write(directory / "nginx.conf", AROUND.format(directory=directory).encode())
    program = Program([binary, "-e", "stderr", "-c", str(around)], directory)
    try:
        until(lambda: answers(port) or not program.runs)
        yield f"https://localhost:{port}"
    finally:
        program.end()


@pytest.mark.slow
def test_the_proxy_speaks_tls_with_the_certificate_that_is_made(
    proxy: str, certificates: Path
) -> None:
    need("curl")
    (command,) = re.findall(r"^    (curl --cacert .+)$", PAGE, re.M)
    asking = shlex.split(command.replace("https://localhost:8443", proxy))
    done = subprocess.run(asking, cwd=certificates, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["status"] == "ok"


@pytest.mark.slow
def test_the_login_that_is_made_before_the_migration_is_all_the_service_needs(
    database_url: str, secrets: dict[str, str]
) -> None:
    """The roles are there already when the migration comes."""
    text = (HERE / "login.sh").read_text()
    (statements,) = re.findall(r"<<'SQL'\n(.*?)^SQL$", text, re.M | re.S)
    login = [line for line in statements.splitlines() if "tasks_service" in line]
    made = "\n".join(login).replace(":'password'", f"'{secrets['SERVICE_PASSWORD']}'")
    assert re.findall(r"^create role (\w+) nologin;$", statements, re.M) == [
        "tasks_app",
        "tasks_auth",
        "tasks_links",
        "tasks_maintenance",
        "tasks_worker",
    ]
    with own_database(database_url) as url, opened(url) as cursor:
        migrate(url)
        cursor.execute(made)
        try:
            service = psycopg2.extensions.make_dsn(
                url, user="tasks_service", password=secrets["SERVICE_PASSWORD"]
            )
            parts = psycopg2.extensions.parse_dsn(service)
            least = "postgresql://{user}:{password}@{host}:{port}/{dbname}".format(**parts)
            client = create_app(settings_for(least)).test_client()
            body = {"email": "alice@example.com", "password": "correct horse battery"}
            assert client.post("/v1/auth/register", json=body).status_code == 201
        finally:
            cursor.execute("drop role tasks_service")


def test_the_worker_of_compose_is_that_of_the_procfile_and_has_a_check_of_its_own() -> None:
    (line,) = re.findall(r"^worker: (.+)$", (ROOT / "Procfile").read_text(), re.M)
    worker, web = COMPOSE["services"]["worker"], COMPOSE["services"]["web"]
    assert worker["command"] == line.split()
    assert worker["healthcheck"]["test"] == ["CMD", *line.split(), "--check"]
    assert worker["environment"].items() <= web["environment"].items()
    assert worker["stop_grace_period"] == web["stop_grace_period"]


def test_every_path_that_compose_mounts_is_there() -> None:
    for service in COMPOSE["services"].values():
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            assert (ROOT / source).exists() or source in COMPOSE["volumes"]
