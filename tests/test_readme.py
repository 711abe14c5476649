"""The commands of README, tour, Neon page and Procfile do what those pages say."""

import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pytest
from apiflask import APIFlask

from app import create_app
from app.core.config import Settings
from app.db.base import db
from app.dev import embedded
from tests.conftest import PASSWORD, ROOT, SECRET, settings_for, wait_until_ready
from tests.rig.programs import free_port

README = (ROOT / "README.md").read_text()
TOUR = (ROOT / "docs" / "tour.md").read_text()
NEON = (ROOT / "docs" / "operations" / "neon.md").read_text()
RUNNING = (ROOT / "docs" / "operations" / "running.md").read_text()

ADDRESS = "http://127.0.0.1:8000"
MARK = "--- the next block ---"
CHANGING = {
    "<id>": r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}",
    "<time>": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z",
    '"position": "<position>"': r'"position": "[0-9A-Za-z]+"',
    '"next_token": "<token>"': r'"next_token": "[\w-]+"',
    "_<secret>": r"_[\w-]{64}(?![\w-])",
}


def code(text: str, language: str) -> list[str]:
    """The fenced blocks in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.M | re.S)


def steps(page: str) -> list[tuple[str, str]]:
    """The shell blocks of a page, each with the output that is shown below it."""
    pattern = r"^```sh\n(.*?)^```\n(?:\n```(?:text|json)\n(.*?)^```$)?"
    return re.findall(pattern, page, re.M | re.S)


def settled(output: str) -> str:
    """Output with marks in place of what differs from run to run."""
    for mark, pattern in CHANGING.items():
        output = re.sub(pattern, mark, output)
    return output.replace("\r", "").strip()


@pytest.mark.parametrize("page", [README, TOUR], ids=["README", "tour"])
def test_the_tour_prints_what_it_shows(page: str, server: str, tmp_path: Path) -> None:
    tour = steps(page)
    script = f"\necho '{MARK}'\n".join(block for block, _ in tour).replace(ADDRESS, server)
    run = subprocess.run(
        ["bash", "-c", f"set -euo pipefail\n{script}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (run.returncode, run.stderr) == (0, "")
    printed = run.stdout.split(MARK)
    assert [settled(output) for output in printed] == [settled(shown) for _, shown in tour]
    assert list(tmp_path.iterdir()) == []


def test_the_variables_for_neon_are_accepted_in_production() -> None:
    (block,) = code(NEON, "env")
    variables = dict(pair.split("=", 1) for pair in shlex.split(block))
    variables["JWT_SECRET"] = SECRET
    settings = Settings.from_environment(variables)
    assert settings.production
    assert set(variables) == {"APP_ENV", "DATABASE_URL", "DATABASE_URL_UNPOOLED", "JWT_SECRET"}
    assert "sslmode=verify-full" in str(settings.migration_url)


def test_without_a_database_url_the_embedded_database_is_used(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Running(embedded.Server):
        def start(self) -> str:
            return database_url

    monkeypatch.setattr(embedded, "Server", Running)
    application = create_app(Settings(app_env="test", jwt_secret=SECRET))
    assert application.test_client().get("/v1/tasks").status_code == 401
    health = application.test_client().get("/health/db")
    assert (health.status_code, health.json["revision"]["up_to_date"]) == (200, True)
    listed = application.test_cli_runner().invoke(args=["users", "list"])
    assert listed.exit_code == 0, listed.output
    close(application)


@pytest.fixture
def least_privileged(database_url: str, connection: Any) -> Iterator[str]:
    """The database's URL for the login role that the Neon page has made."""
    (statements,) = code(NEON, "sql")
    name, password = re.findall(r"create role (\w+) login noinherit password '(.*)';", statements)[
        0
    ]
    secret = "of-the-tests"
    with connection.cursor() as cursor:
        cursor.execute(statements.replace(password, secret))
        try:
            parts = urlsplit(database_url)
            yield urlunsplit(
                parts._replace(netloc=f"{name}:{secret}@{parts.hostname}:{parts.port}")
            )
        finally:
            cursor.execute(f"drop role {name}")


def test_the_login_role_of_the_neon_page_is_all_the_service_needs(
    least_privileged: str, connection: Any
) -> None:
    application = create_app(settings_for(least_privileged))
    client = application.test_client()
    credentials = {"email": "least@example.com", "password": PASSWORD}
    assert client.post("/v1/auth/register", json=credentials).status_code == 201
    pair = client.post("/v1/auth/token", json=credentials).json
    headers = {"Authorization": f"Bearer {pair['access_token']}"}
    renewed = client.post("/v1/auth/refresh", json={"refresh_token": pair["refresh_token"]}).json
    sign_out = {"refresh_token": renewed["refresh_token"]}
    task = client.post("/v1/tasks", json={"title": "Buy milk"}, headers=headers)
    answers = [
        task,
        client.get("/v1/tasks", headers=headers),
        client.get("/v1/tasks?q=milk", headers=headers),
        client.patch(task.headers["Location"], json={"complete": True}, headers=headers),
        client.delete(task.headers["Location"], headers=headers),
        client.post("/v1/categories", json={"name": "Home"}, headers=headers),
        client.get("/v1/sessions", headers=headers),
        client.post("/v1/auth/logout", json=sign_out),
        client.get("/health/db"),
        client.delete("/v1/me", headers=headers),
    ]
    assert [answer.status_code for answer in answers] == [
        201, 200, 200, 200, 204, 201, 200, 204, 200, 401,
    ]  # fmt: skip
    again = client.post("/v1/auth/token", json=credentials).json["access_token"]
    erased = client.delete(
        "/v1/me",
        json={"current_password": PASSWORD},
        headers={"Authorization": f"Bearer {again}"},
    )
    assert erased.status_code == 204
    for command in (["purge"], ["users", "list"]):
        assert application.test_cli_runner().invoke(args=command).exit_code == 0
    close(application)


def test_the_login_role_of_the_neon_page_can_do_nothing_by_itself(
    least_privileged: str, connection: Any
) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            """
            select rolsuper or rolinherit or rolcreaterole or rolcreatedb or rolbypassrls,
                has_table_privilege(rolname, 'tasks', 'select')
            from pg_roles where rolname = %s
            """,
            (urlsplit(least_privileged).username,),
        )
        assert cursor.fetchone() == (False, False)


def close(application: Any) -> None:
    """Close the connections of a test's own application."""
    with application.app_context():
        db.engine.dispose()


@pytest.fixture
def platform(database_url: str) -> dict[str, str]:
    """The environment that a platform gives to the commands of the Procfile."""
    port = free_port()
    return {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "HOME": os.environ.get("HOME", "/"),
        "APP_ENV": "production",
        "DATABASE_URL": database_url,
        "JWT_SECRET": SECRET,
        "PORT": str(port),
        "WEB_CONCURRENCY": "1",
    }


def honcho(process: str) -> list[str]:
    """The Neon page's command that runs one line of the Procfile, without its variables."""
    (command,) = re.findall(rf"^    PATH=\S+ (?:PORT=8000 )?(.+ start {process})$", NEON, re.M)
    options = f"honcho --no-prefix --env {os.devnull} start"
    return shlex.split(command.replace("honcho start", options))


@pytest.mark.slow
def test_the_procfile_migrates_before_it_serves(platform: dict[str, str]) -> None:
    released = subprocess.run(
        honcho("release"), cwd=ROOT, env=platform, capture_output=True, text=True, timeout=60
    )
    assert released.returncode == 0, released.stdout + released.stderr


@pytest.mark.slow
def test_the_procfile_serves_on_the_platforms_port_and_logs_as_shown(
    platform: dict[str, str], tmp_path: Path
) -> None:
    log = tmp_path / "log"
    with log.open("w") as output:
        web = subprocess.Popen(
            honcho("web"), cwd=ROOT, env=platform, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        base = f"http://127.0.0.1:{platform['PORT']}"
        wait_until_ready(base, web)
        (command,) = re.findall(r"^    (curl https://.+/health/db)$", NEON, re.M)
        asking = command.replace("https://tasks.example.com", base).split()
        health = json.loads(subprocess.check_output(asking, timeout=60))
    finally:
        web.terminate()
        web.wait(timeout=40)
    assert (health["status"], health["revision"]["up_to_date"]) == ("ok", True)
    (shown,) = code(RUNNING, "json")
    assert {tuple(line) for line in requests_in(log)} == {tuple(json.loads(shown))}


def requests_in(log: Path) -> list[dict[str, Any]]:
    """The lines of a log that are about requests."""
    lines = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    return [line for line in lines if line["logger"] == "app.access"]


def routes(app: APIFlask) -> str:
    """The table of routes: each path with its methods."""
    contract = app.test_client().get("/openapi.json").json
    found: dict[str, dict[str, list[str]]] = {tag["name"]: {} for tag in contract["tags"]}
    for path, methods in contract["paths"].items():
        for method, operation in methods.items():
            found[operation["tags"][0]].setdefault(path, []).append(method.upper())
    lines = ["| | |", "|---|---|"]
    for tag, paths in found.items():
        shown = (f"`{' '.join(methods)} {path}`" for path, methods in paths.items())
        lines.append(f"| {tag} | {' · '.join(shown)} |")
    return "\n".join(lines)


def test_the_table_of_routes_is_complete(app: APIFlask) -> None:
    table = README.split("<!-- routes -->\n")[1].split("\n<!-- end of routes -->")[0]
    assert table == routes(app)


def test_the_readme_is_short() -> None:
    assert len(README.split()) <= 1500


def test_the_badges_are_true() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pythons = [line.split()[-1] for line in project["classifiers"] if " 3." in line]
    badges = {path.stem: path.read_text() for path in (ROOT / "docs" / "images").glob("*.svg")}
    assert f">{pythons[0]} to {pythons[-1]}<" in badges["python"]
    assert f">{project['license']}<" in badges["license"]
    assert set(badges) == set(re.findall(r"docs/images/(\w+)\.svg", README))
