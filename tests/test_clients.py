"""Clients that are generated from the contract, and those of the page, do what it shows."""

import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT, Account
from tests.node import CLIENTS, need_node, run
from tests.unreliable import RETRY_AFTER, Front, unreliable

pytestmark = pytest.mark.slow

PAGE = (ROOT / "docs" / "clients.md").read_text()
ADDRESS = "http://127.0.0.1:8000"
CLUMSY = re.compile(
    r"type_?\d|response_?\d|s_item$|_body$|^(get|post|put|patch|delete)_v\d|value_\d"
)


@pytest.fixture
def front(server: str) -> Iterator[Front]:
    """The service, on the way to which answers get lost."""
    with unreliable(server) as listening:
        yield listening


def blocks() -> Iterator[tuple[str, str]]:
    """Each block of the page in order: its language, its text."""
    yield from re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.M | re.S)


def written(directory: Path, front: Front) -> dict[str, str]:
    """The files that the page shows, written with the front's address; what each is to print.

    A block whose first line is a comment with a file's name begins it, those that follow
    continue it, and text is what it prints.
    """
    files: dict[str, str] = {}
    printed: dict[str, str] = {}
    name = ""
    for language, text in blocks():
        if named := re.match(r"(?:#|//) (\S+\.\w+)\n", text):
            name = named[1]
        if language == "text":
            printed[name] = printed.get(name, "") + text
        elif name:
            files[name] = files.get(name, "") + text
    for each, text in files.items():
        (directory / each).write_text(text.replace(ADDRESS, front.url))
    return printed


def assert_done_once(front: Front) -> None:
    """The first creation was sent until it was answered: alike, with one key, and not too soon."""
    lost, refused, answered = front.attempts[:3]
    assert lost.key
    assert (lost.key, lost.body) == (refused.key, refused.body) == (answered.key, answered.body)
    assert answered.at - refused.at >= RETRY_AFTER
    assert lost.key not in [other.key for other in front.attempts[3:]]


def assert_one_task(alice: Account) -> None:
    """There is one, though it was sent three times and done at the first."""
    tasks = alice.get("/v1/tasks").json["items"]
    assert [task["title"] for task in tasks] == ["Water the plants"]


def script(directory: Path, name: str) -> None:
    """Run a shell block of the page, but for what it installs."""
    lines = (directory / name).read_text().splitlines()
    commands = "\n".join(line for line in lines if not re.match(r"npm |python3 -m pip ", line))
    commands = commands.replace("npx ", "node_modules/.bin/")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    ended = run(["bash", "-euc", commands], directory, PATH=path)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "WARNING" not in ended.stdout + ended.stderr


def test_curl_creates_once_however_often_it_is_sent(
    front: Front, alice: Account, tmp_path: Path
) -> None:
    (command,) = (text for language, text in blocks() if "curl" in text and language == "sh")
    ended = run(["bash", "-euc", command], tmp_path, API=front.url, TOKEN=alice.token)
    assert (ended.returncode, ended.stdout.splitlines()[-1]) == (0, "201"), ended.stderr
    assert json.loads((tmp_path / "task.json").read_text())["title"] == "Water the plants"
    assert_done_once(front)
    assert_one_task(alice)


def test_httpx_creates_once_however_often_it_is_sent(
    front: Front, alice: Account, tmp_path: Path
) -> None:
    written(tmp_path, front)
    ended = run([sys.executable, "plants.py"], tmp_path, TOKEN=alice.token)
    assert (ended.stdout, ended.stderr) == ("201 Water the plants\n", "")
    assert_done_once(front)
    assert_one_task(alice)


PARALLEL = """
import json
from concurrent.futures import ThreadPoolExecutor
from signed_in import API, Retrying, Session, httpx
pair = json.load(open("session.json"))
json.dump({**pair, "access_token": "expired"}, open("session.json", "w"))
with httpx.Client(base_url=API, auth=Session(API, "session.json"), transport=Retrying()) as client:
    with ThreadPoolExecutor(5) as threads:
        print({answer.status_code for answer in threads.map(client.get, ["/v1/me"] * 10)})
    here = json.load(open("session.json"))["refresh_token"]  # and somebody signs out elsewhere
    httpx.post(f"{API}/v1/auth/logout", json={"refresh_token": here})
    try:
        client.get("/v1/me")
    except Exception as error:
        print(type(error).__name__)
session = Session(API, "session.json")
session.sign_in("dorothy@example.com", "correct horse battery")
ended = {"refresh_token": json.load(open("session.json"))["refresh_token"]}
session.sign_out()
print(httpx.post(f"{API}/v1/auth/refresh", json=ended).status_code)
"""


def assert_refreshed_once(front: Front) -> None:
    """One refresh was sent again after its answer was lost, with the same key."""
    lost, again = front.refreshes[:2]
    assert lost.key
    assert (lost.key, lost.body) == (again.key, again.body)


def test_a_session_in_python_is_refreshed_once_for_all_threads(
    front: Front, tmp_path: Path
) -> None:
    printed = written(tmp_path, front)
    (tmp_path / "parallel.py").write_text(PARALLEL)
    ended = run([sys.executable, "parallel.py"], tmp_path)
    said = f"{printed['signed_in.py']}{{200}}\nSignedOut\n401\n"
    assert (ended.stdout, ended.stderr) == (said, "")
    assert_refreshed_once(front)
    keys = {attempt.key for attempt in front.refreshes if attempt.key}
    assert len(keys) == 2  # the second one is refused
    assert not (tmp_path / "session.json").exists()


def test_a_session_in_typescript_is_refreshed_once_for_all_requests(
    compiled: tuple[Path, str], front: Front, tmp_path: Path
) -> None:
    printed = written(tmp_path, front)
    assert call(compiled, "signed-in.js", front) == printed["signed-in.ts"]
    assert_refreshed_once(front)
    assert len(front.refreshes) == 2


def test_an_offline_app_keeps_what_is_newest_whatever_is_sent_again(
    compiled: tuple[Path, str], front: Front, tmp_path: Path
) -> None:
    printed = written(tmp_path, front)
    assert call(compiled, "devices.js", front) == printed["devices.ts"]
    lost, again = front.batches[:2]
    assert lost.key
    assert (lost.key, lost.body) == (again.key, again.body)
    assert front.batches[-1][1:] == lost[1:]  # the phone that was closed sends it once more


def test_the_python_client_does_what_the_page_shows(front: Front, tmp_path: Path) -> None:
    printed = written(tmp_path, front)
    script(tmp_path, "generate.sh")
    ended = run([sys.executable, "tour.py"], tmp_path)
    assert (ended.stdout, ended.stderr) == (printed["tour.py"], "")
    assert_done_once(front)
    modules = [path.stem for path in (tmp_path / "tasks_client").rglob("*.py")]
    assert {"list_tasks", "create_task", "task", "task_page", "priority"} <= set(modules)
    assert [name for name in modules if CLUMSY.search(name)] == []


@pytest.fixture(scope="module")
def compiled(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """Where the TypeScript of the page is, type-checked and compiled, and the address it calls."""
    modules = need_node()
    directory = tmp_path_factory.mktemp("typescript")
    (directory / "node_modules").symlink_to(modules)
    (directory / "package.json").write_text('{"type": "module"}')
    with unreliable(server) as front:
        written(directory, front)
        script(directory, "generate-types.sh")
        script(directory, "compile.sh")
        yield directory, front.url


def call(compiled: tuple[Path, str], program: str, front: Front, **environment: str) -> str:
    """What the program prints that calls this front instead."""
    directory, url = compiled
    text = (directory / program).read_text().replace(url, front.url)
    own = directory / f"{front.server_port}-{program}"
    own.write_text(text)
    ended = run(["node", own.name], directory, **environment)
    assert (ended.returncode, ended.stderr) == (0, "")
    return ended.stdout


def test_fetch_creates_once_however_often_it_is_sent(
    compiled: tuple[Path, str], front: Front, alice: Account
) -> None:
    assert call(compiled, "plants.js", front, TOKEN=alice.token) == "201 Water the plants\n"
    assert_done_once(front)
    assert_one_task(alice)


def test_the_typescript_client_does_what_the_page_shows(
    compiled: tuple[Path, str], front: Front, tmp_path: Path
) -> None:
    printed = written(tmp_path, front)
    assert call(compiled, "tour.js", front) == printed["tour.ts"]
    assert_done_once(front)
    types = (compiled[0] / "tasks.d.ts").read_text()
    assert "Record<string, never>;" not in re.sub(r"webhooks.*|\$defs.*", "", types)


def test_the_lock_names_no_registry() -> None:
    lock = json.loads((CLIENTS / "package-lock.json").read_text())
    assert not any("resolved" in package for package in lock["packages"].values())
    assert all("integrity" in package for path, package in lock["packages"].items() if path)
