"""The steps of docs/operations/production-like.md do what is shown, on other ports."""

import os
import re
import shlex
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.databases import opened
from tests.rig.cluster import Cluster
from tests.rig.programs import free_port, need, output_of, own_directory

pytestmark = pytest.mark.slow

PAGE = (ROOT / "docs" / "operations" / "production-like.md").read_text()
STEPS = re.findall(r"^```sh\n(.*?)^```\n(?:\n```text\n(.*?)^```$)?", PAGE, re.M | re.S)
MARK = "--- the next step ---"


@pytest.mark.longest
def test_the_steps_print_what_is_shown_and_leave_nothing(tmp_path: Path) -> None:
    for program in ("pgbouncer", "haproxy", "openssl", "curl"):
        need(program)
    script = f"\necho '{MARK}'\n".join(commands for commands, _ in STEPS)
    for shipped in ("6432", "8001", "8002", "8080"):
        script = script.replace(shipped, str(free_port()))
    script = script.replace(".venv/bin/python", shlex.quote(sys.executable))
    with Cluster.throwaway() as cluster, directory() as place:
        output = run(script, cluster.url, tmp_path / "log", place)
        printed = [step.strip() for step in output.split(MARK)]
        shown = [text.strip() for _, text in STEPS]
        assert [text for text, expected in zip(printed, shown, strict=True) if expected] == [
            text for text in shown if text
        ], output
        with opened(cluster.url) as cursor:
            cursor.execute("select datname from pg_database where not datistemplate")
            assert cursor.fetchall() == [("postgres",)]
        assert list(place.iterdir()) == []


def test_the_command_for_a_lost_terminal_finds_both_programs() -> None:
    (word,) = re.findall(r"`pkill -f (\S+)`", PAGE)
    commands = "".join(step for step, _ in STEPS)
    assert f"mktemp -d -t {word}." in commands
    started = re.findall(r"^(?:pgbouncer|haproxy) [^>]*\$DIR/.*&$", commands, re.M)
    assert [line.split()[0] for line in started] == ["pgbouncer", "haproxy"]


@contextmanager
def directory() -> Iterator[Path]:
    """One that PgBouncer can pass through, which refuses to be root."""
    made = own_directory()
    try:
        yield made
    finally:
        shutil.rmtree(made)


def run(script: str, database_url: str, log: Path, place: Path) -> str:
    """What it prints; whatever it starts has ended afterwards."""
    return output_of(
        [sys.executable, "-m", "app.dev.embedded", "bash", "-euo", "pipefail", "-c", script],
        log,
        600,
        cwd=ROOT,
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(place),
            "TMPDIR": str(place),
            "FLASK_SKIP_DOTENV": "1",
            "DATABASE_URL": database_url,
        },
    )
