"""What docs/operations ships for systemd and for platforms: units that hold up to its checks and
start what they say, files whose commands and variables are the service's own.
"""

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tomllib
from contextlib import ExitStack
from pathlib import Path

import pytest
import yaml

from app.core.config import FAILED_TO_LOAD, ConfigurationError, Settings, variable_of
from tests.conftest import ROOT, SECRET, wait_until_ready
from tests.instances import served_here
from tests.locks import until
from tests.rig.programs import Program, free_port, need

pytestmark = pytest.mark.slow

OPERATIONS = ROOT / "docs" / "operations"
UNITS = OPERATIONS / "systemd"
DEPLOY = (OPERATIONS / "deploy.md").read_text()
INSTALLED = "/opt/tasks-api/current"
SERVICES = sorted(UNITS.glob("*.service"))
VARIABLES = {variable_of(item) for item in Settings.__dataclass_fields__.values()}


def unit(path: Path) -> dict[str, list[str]]:
    """The settings of a unit, of each all of its values."""
    found: dict[str, list[str]] = {}
    for name, value in re.findall(r"^(\w+)=(.*)$", path.read_text(), re.M):
        found.setdefault(name, []).append(value)
    return found


def installed(text: str) -> str:
    """As it would be with this checkout in place of the installed release."""
    python = f'"{sys.executable}"'  # there may be a space in it
    return text.replace(f"{INSTALLED}/.venv/bin/python", python).replace(INSTALLED, str(ROOT))


def started(path: Path, port: int, **variables: str) -> tuple[list[str], dict[str, str]]:
    """The command of a unit and all of the environment that systemd gives it."""
    settings = unit(path)
    environment = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin", "LANG": "C.UTF-8"}
    for line in settings["Environment"]:
        environment |= dict(pair.split("=", 1) for pair in line.replace("%i", str(port)).split())
    (command,) = settings["ExecStart"]
    return shlex.split(installed(command)), environment | variables


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """The units where they could be installed, the template with a port."""
    for path in UNITS.iterdir():
        name = path.name.replace("@.", "@8001.")
        (tmp_path / name).write_text(installed(path.read_text()))
    return tmp_path


def test_systemd_finds_nothing_wrong_with_the_units(units: Path) -> None:
    command = [need("systemd-analyze"), "verify", "--man=no", *map(str, sorted(units.iterdir()))]
    checked = subprocess.run(command, capture_output=True, text=True)
    complaints = [line for line in checked.stderr.splitlines() if "tasks-api" in line]
    assert (checked.returncode, complaints) == (0, [])


@pytest.mark.parametrize("name", [path.name for path in SERVICES])
def test_systemd_rates_the_confinement_of_each_unit_as_good(units: Path, name: str) -> None:
    path = units / name.replace("@.", "@8001.")
    (said,) = re.findall(r"rates that better than ([\d.]+) of 10", DEPLOY)
    most = f"--threshold={round(float(said) * 10)}"
    command = [need("systemd-analyze"), "security", "--offline=yes", most, str(path)]
    rated = subprocess.run(command, capture_output=True, text=True)
    assert rated.returncode == 0, rated.stdout + rated.stderr


def test_the_unit_waits_as_long_as_the_service_needs_to_end() -> None:
    settings, service = Settings(), unit(UNITS / "tasks-api@.service")
    needed = settings.shutdown_grace + settings.request_deadline + 5
    assert int(service["TimeoutStopSec"][0]) > needed
    assert service["KillSignal"] == ["SIGTERM"]
    assert service["RestartPreventExitStatus"] == [str(FAILED_TO_LOAD)]


class Manager:
    """What listens for the notices of a service of type notify."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "notify"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(self.path))
        self._socket.settimeout(60)

    def __enter__(self) -> "Manager":
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def told(self) -> str:
        return self._socket.recv(4096).decode()


def test_the_unit_starts_the_service_says_when_and_reloads_and_ends_it(
    database_url: str, tmp_path: Path
) -> None:
    path, port = UNITS / "tasks-api@.service", free_port()
    secrets = {"DATABASE_URL": database_url, "JWT_SECRET": SECRET, "SHUTDOWN_GRACE": "0"}
    with ExitStack() as stack:
        manager = stack.enter_context(Manager(tmp_path))
        command, environment = started(path, port, NOTIFY_SOCKET=str(manager.path), **secrets)
        output = stack.enter_context((tmp_path / "log").open("w"))
        program = Program(command, cwd=ROOT, env=environment, stdout=output, stderr=output)
        stack.callback(program.end)
        assert "READY=1" in manager.told()
        wait_until_ready(f"http://127.0.0.1:{port}", program.process)
        shown = re.findall(r"^    (curl -fsS http://\S+)$", DEPLOY, re.M)[0]
        asking = shown.replace("8001", str(port)).split()
        assert json.loads(subprocess.check_output(asking, timeout=60))["status"] == "ok"
        (reload,) = unit(path)["ExecReload"]
        subprocess.run(reload.replace("$MAINPID", str(program.pid)).split(), check=True)
        program.process.send_signal(signal.SIGTERM)
        assert program.process.wait(30) == 0
    assert "Handling signal: hup" in (tmp_path / "log").read_text()


def test_the_unit_of_the_release_migrates_and_ends(database_url: str) -> None:
    secrets = {"DATABASE_URL": database_url, "JWT_SECRET": SECRET}
    command, environment = started(UNITS / "tasks-api-release.service", 0, **secrets)
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_unit_of_the_worker_starts_it_and_ends_it(database_url: str, tmp_path: Path) -> None:
    path, health = UNITS / "tasks-api-worker.service", tmp_path / "health"
    secrets = {"DATABASE_URL": database_url, "JWT_SECRET": SECRET}
    command, environment = started(path, 0, **secrets, WORKER_HEALTH_FILE=str(health))
    with (tmp_path / "log").open("w") as output:
        program = Program(command, cwd=ROOT, env=environment, stdout=output, stderr=output)
    try:
        until(lambda: health.exists() or not program.runs)
        program.process.send_signal(signal.SIGTERM)
        assert program.process.wait(30) == 0
    finally:
        program.end()
    assert int(unit(path)["TimeoutStopSec"][0]) > Settings().shutdown_grace + 20
    assert unit(path)["RestartPreventExitStatus"] == [str(FAILED_TO_LOAD)]


def test_a_release_is_got_from_a_repository_that_has_no_tags(tmp_path: Path) -> None:
    (step,) = re.findall(r"^```bash\n(.*?)^```", DEPLOY, re.M | re.S)
    repository, releases = tmp_path / "repository", tmp_path / "releases"
    for name in ("app", "migrations"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, repository / name, ignore=ignored)
    git = ["git", "-C", str(repository), "-c", "user.name=a", "-c", "user.email=a@example.com"]
    for command in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "-m", "First"]):
        subprocess.run([*git, *command], check=True)
    releases.mkdir()
    installing = ("python3 -m venv", ".venv/bin/python -m pip")  # as `make smoke` does
    commands = [line for line in step.splitlines() if not line.startswith(installing)]
    assert len(step.splitlines()) - len(commands) == 2
    commands += re.findall(r"`(git log --oneline [^`]+)`", DEPLOY)
    script = "\n".join(commands).replace("/opt/tasks-api", str(releases))
    script = script.replace("REPOSITORY", str(repository))
    script = script.replace(".venv/bin/python", shlex.quote(sys.executable))
    run = ["bash", "-euo", "pipefail", "-c", script]
    done = subprocess.run(run, check=True, cwd=tmp_path, capture_output=True, text=True)
    assert re.fullmatch(r"[0-9a-f]+ First\n", done.stdout)
    head = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True)
    assert (releases / "current").resolve() == releases / head.stdout.strip()
    assert (releases / "current" / "app" / "core" / "version.py").exists()


def test_the_units_are_installed_and_enabled_as_shown(tmp_path: Path) -> None:
    """In a directory, as if it were another machine's; no manager runs, so nothing is started."""
    need("systemctl")
    copy, *commands = re.findall(r"^    ((?:cp|systemctl) .+)$", DEPLOY, re.M)
    (tmp_path / "etc" / "systemd" / "system").mkdir(parents=True)
    (enable,) = (line for line in commands if "enable" in line)
    root = shlex.quote(str(tmp_path))
    script = f"{copy}\n{enable}".replace(" /etc/", f" {root}/etc/")
    script = script.replace("systemctl enable --now", f"systemctl --root={root} enable")
    subprocess.run(["bash", "-euc", script], cwd=ROOT, check=True, capture_output=True)
    wants = {path.name for path in tmp_path.rglob("*.wants/*")}
    assert wants == {
        "tasks-api@8001.service",
        "tasks-api@8002.service",
        "tasks-api-worker.service",
    }
    restarted = re.findall(r"systemctl restart (\S+)", DEPLOY)
    assert {f"{name}.service" for name in restarted} == wants
    for name in re.findall(r"systemctl start ([\w-]+)", DEPLOY):
        assert (UNITS / f"{name}.service").exists()


def test_the_variables_that_are_set_on_platforms_are_settings() -> None:
    commands = re.findall(r"^    ((?:heroku config:set|fly secrets set) .+)$", DEPLOY, re.M)
    assert len(commands) == 2
    for command in commands:
        assert set(re.findall(r"(\w+)=", command)) <= VARIABLES


def test_the_settings_shown_for_the_machine_are_taken_in_production() -> None:
    blocks = re.findall(r"^```env\n(.*?)^```", DEPLOY, re.M | re.S)
    pairs = dict(pair.split("=", 1) for block in blocks for pair in shlex.split(block))
    pairs["APP_ENV"] = "production"
    with pytest.raises(ConfigurationError, match="JWT_SECRET"):  # a command stands in its place
        Settings.from_environment(pairs)
    pairs["JWT_SECRET"] = SECRET
    settings = Settings.from_environment(pairs)
    assert settings.production
    assert "verify-full" in str(settings.migration_url)
    assert set(pairs) <= VARIABLES


def test_the_files_for_platforms_run_the_procfile_and_name_settings_that_exist() -> None:
    lines = (ROOT / "Procfile").read_text().splitlines()
    procfile = dict(line.split(": ", 1) for line in lines)
    fly = tomllib.loads((OPERATIONS / "platforms" / "fly.toml").read_text())
    services = yaml.safe_load((OPERATIONS / "platforms" / "render.yaml").read_text())["services"]
    render, worker = services
    railway = json.loads((OPERATIONS / "platforms" / "railway.json").read_text())["deploy"]
    assert fly["processes"] == {name: procfile[name] for name in ("web", "worker")}
    assert worker["startCommand"] == procfile["worker"]
    for pair in worker["envVars"]:
        source = pair.get("fromService", {"envVarKey": pair["key"], "name": render["name"]})
        assert (source["envVarKey"], source["name"]) == (pair["key"], render["name"])
        assert pair["key"] in {each["key"] for each in render["envVars"]}
    assert render["startCommand"] == railway["startCommand"] == procfile["web"]
    assert fly["deploy"]["release_command"] == procfile["release"]
    assert [render["preDeployCommand"]] == railway["preDeployCommand"] == [procfile["release"]]
    given = {pair["key"]: pair.get("value", "") for pair in render["envVars"]}
    for variables in (fly["env"], {key: value for key, value in given.items() if value}):
        assert set(variables) <= VARIABLES
        Settings.from_environment({**variables, "DATABASE_URL": "postgresql://db.example.com/tasks",
                                   "JWT_SECRET": SECRET})  # fmt: skip
    assert set(given) <= VARIABLES
    assert fly["http_service"]["internal_port"] == int(fly["env"]["PORT"])
    checks = {fly["http_service"]["checks"][0]["path"], render["healthCheckPath"]}
    assert checks | {railway["healthcheckPath"]} == {"/health"}
    kept = Settings().shutdown_grace + Settings().request_deadline + 5
    for given_to_end in (
        fly["kill_timeout"], render["maxShutdownDelaySeconds"], railway["drainingSeconds"],
        worker["maxShutdownDelaySeconds"],
    ):  # fmt: skip
        assert given_to_end > kept


@pytest.fixture
def script() -> str:
    """The commands that tell how many proxies there are."""
    (found,) = re.findall(r"^```sh\n(.*?)^```", DEPLOY, re.M | re.S)
    return str(found)


@pytest.mark.parametrize(("proxies", "goes_down"), [("0", True), ("1", False)])
def test_three_lies_tell_if_too_many_proxies_are_trusted(
    database_url: str, script: str, proxies: str, goes_down: bool
) -> None:
    limits = {"RATELIMIT_PER_ADDRESS": "100", "TRUSTED_PROXIES": proxies}
    with served_here(database_url, **limits) as base:
        run = subprocess.run(
            ["bash", "-c", script], env={**os.environ, "API": base}, capture_output=True, text=True
        )
    remaining = re.findall(r";r=(\d+)", run.stdout)
    assert len(remaining) == 3
    assert (len(set(remaining)) > 1) == goes_down
