"""The programs of docs/clients.md that follow changes miss none, however often they are cut off."""

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Account
from tests.live import Live, living
from tests.locks import until
from tests.node import need_node, run
from tests.rig.programs import Program
from tests.rig.proxy import Proxy
from tests.test_clients import ADDRESS, blocks

pytestmark = pytest.mark.slow

COMMAND = "--strict --skipLibCheck --target es2022 --module nodenext"


@pytest.fixture(scope="module")
def live(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with living(database_url, tmp_path_factory.mktemp("following") / "log") as running:
        yield running


@pytest.fixture
def cutting(live: Live) -> Iterator[Proxy]:
    """A proxy before Pushpin, which cuts connections."""
    with Proxy(f"{live.pushpin.url}/") as forwarding:
        yield forwarding


def written(directory: Path, proxy: Proxy) -> None:
    """The programs of the page that follow changes, with the proxy's address."""
    for _, text in blocks():
        named = re.match(r"(?:#|//) ((?:live|following)\.\w+)\n", text)
        if named:
            text = text.replace(ADDRESS, proxy.url.rstrip("/"))
            (directory / named[1]).write_text(text)


def assert_follows(
    command: list[str], directory: Path, live: Live, user: Account, proxy: Proxy
) -> None:
    """Whatever is cut off, the program prints each task once, in order."""
    log = directory / "printed"
    environment = {"TOKEN": user.token, "PATH": "/usr/bin:/bin"}
    with log.open("w") as output:
        program = Program(
            command, cwd=directory, env=environment, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        for number in range(12):
            live.create_task(user, str(number))
            if number % 3 == 2:
                until(lambda number=number: str(number) in log.read_text().split())
                proxy.cut()
        live.create_task(user, "Stop")
        until(lambda: not program.runs)
    finally:
        program.end(signal.SIGKILL)
    assert log.read_text().split() == [*map(str, range(12)), "Stop"]


def test_the_python_of_the_page_misses_nothing(
    live: Live, alice: Account, cutting: Proxy, tmp_path: Path
) -> None:
    written(tmp_path, cutting)
    assert_follows([sys.executable, "following.py"], tmp_path, live, alice, cutting)


def test_the_typescript_of_the_page_misses_nothing(
    live: Live, alice: Account, cutting: Proxy, tmp_path: Path
) -> None:
    (tmp_path / "node_modules").symlink_to(need_node())
    (tmp_path / "package.json").write_text('{"type": "module"}')
    written(tmp_path, cutting)
    compiler = ["node_modules/.bin/tsc", *COMMAND.split(), "following.ts"]
    compiled = run(compiler, tmp_path)
    assert compiled.returncode == 0, compiled.stdout
    (node,) = re.findall(r"\S+", run(["which", "node"], tmp_path).stdout)
    assert_follows([node, "following.js"], tmp_path, live, alice, cutting)


def test_where_nothing_is_streamed_the_programs_say_so(
    server: str, alice: Account, tmp_path: Path
) -> None:
    with Proxy(f"{server}/") as straight:
        written(tmp_path, straight)
        ended = run([sys.executable, "following.py"], tmp_path, TOKEN=alice.token)
    assert ended.returncode == 1
    assert "Ended: 406" in ended.stderr
