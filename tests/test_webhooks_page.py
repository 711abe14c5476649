"""docs/webhooks.md: its programs and commands do what it shows, with the service and a worker."""

import json
import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import httpx
import pytest
from standardwebhooks import Webhook

from app.api.webhooks.statements import MOST
from app.core.ids import new_id
from app.core.webhook_urls import LEAST_PORT, LONGEST
from app.ops.hooks.calling import MOST_BYTES, SECONDS
from app.ops.hooks.dispatcher import JITTER, LONGEST_PAUSE, PAUSES
from tests.conftest import PASSWORD, ROOT, gunicorn
from tests.databases import migrate, own_database
from tests.hooks import HERE, Hooks, hook, state
from tests.locks import until
from tests.node import need_node, run
from tests.outbox import working
from tests.rig.programs import free_port, need
from tests.rig.receiver import Receiver
from tests.test_readme import ADDRESS, MARK, settled, steps

pytestmark = pytest.mark.slow

PAGE = (ROOT / "docs" / "webhooks.md").read_text()
SIGN_IN = """
API={api}
JSON='Content-Type: application/json'
field() {{ sed -n "s/.*\\"$1\\":\\"\\([^\\"]*\\)\\".*/\\1/p"; }}
AUTH='Authorization: Bearer {token}'
"""


class Service(NamedTuple):
    """The service, whose worker calls webhooks on this host."""

    api: str
    token: str

    def ask(self, method: str, path: str, **body: Any) -> Any:
        """What it answers to the user."""
        headers = {"Authorization": f"Bearer {self.token}"}
        answer = httpx.request(method, self.api + path, json=body or None, headers=headers)
        return answer.raise_for_status().json() if answer.content else None


@pytest.fixture(scope="module")
def service(cluster: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    logs = tmp_path_factory.mktemp("webhooks")
    with own_database(cluster) as url:
        migrate(url)
        with (
            gunicorn(url, logs / "service", **HERE) as api,
            working(url, logs / "worker", **HERE),
        ):
            body = {"email": "grace@example.com", "password": PASSWORD}
            httpx.post(f"{api}/v1/auth/register", json=body).raise_for_status()
            pair = httpx.post(f"{api}/v1/auth/token", json=body).raise_for_status().json()
            yield Service(api, pair["access_token"])


@pytest.fixture
def port() -> int:
    return free_port()


def source(name: str) -> str:
    """The program of the page with this name."""
    (found,) = re.findall(rf"^```\w+\n((?:#|//) {re.escape(name)}\n.*?)^```$", PAGE, re.M | re.S)
    return str(found)


@pytest.fixture
def program(service: Service, tmp_path: Path, port: int) -> Path:
    """The receiver of the page, on a free port."""
    path = tmp_path / "receiver.py"
    text = source("receiver.py").replace(ADDRESS, service.api).replace("9000", str(port))
    path.write_text(text)
    return path


@contextmanager
def receiving(program: Path, **environment: str) -> Iterator[Path]:
    """The receiver as a process; yields its log."""
    log = program.with_suffix(".log")
    with log.open("a") as output:
        process = subprocess.Popen(
            [sys.executable, program],
            cwd=program.parent,
            env={**os.environ, **environment},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        yield log
    finally:
        process.kill()
        process.wait()


def test_the_walk_prints_what_it_shows(
    service: Service, program: Path, tmp_path: Path, port: int
) -> None:
    need("curl")
    walk = steps(PAGE)
    script = f"\necho '{MARK}'\n".join(commands for commands, _ in walk).replace("9000", str(port))
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    ran = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", SIGN_IN.format(**service._asdict()) + script],
        cwd=tmp_path,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    shown = [text.replace("9000", str(port)) for _, text in walk]
    assert [settled(text) for text in ran.stdout.split(MARK)] == [settled(text) for text in shown]


def posted(port: int, body: bytes, headers: dict[str, str]) -> int:
    """The status that the receiver answers with."""
    try:
        with urlopen(Request(f"http://127.0.0.1:{port}/", body, headers), timeout=30) as answer:
            return int(answer.status)
    except HTTPError as error:
        return error.code


def message(webhook: Webhook, name: str, kind: str, **data: str) -> tuple[bytes, dict[str, str]]:
    """A message as the service would send it now."""
    at = datetime.now(UTC)
    body = json.dumps({"type": kind, "timestamp": at.isoformat(), "data": data})
    headers = {
        "webhook-id": name,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": webhook.sign(name, at, body),
    }
    return body.encode(), headers


def has_read_all(service: Service, program: Path) -> bool:
    """Whether the receiver has stored the position after all changes."""
    with closing(sqlite3.connect(program.with_suffix(".db"))) as database:
        [(token,)] = database.execute("select max(token) from position")
    return token is not None and not service.ask("GET", f"/v1/changes?since={token}")["items"]


def test_the_receiver_verifies_reads_all_pages_and_continues_where_it_was(
    service: Service, program: Path, port: int
) -> None:
    url = f"http://127.0.0.1:{port}/"
    made = service.ask("POST", "/v1/webhooks", url=url, events=["changes"])
    environment = {"WEBHOOK_SECRET": made["secret"], "TOKEN": service.token}
    signing = Webhook(made["secret"])
    with receiving(program, **environment) as log:
        titles = [f"Number {number}" for number in range(450)]
        for start in range(0, len(titles), 90):
            creating = [
                {"op": "create", "type": "task", "id": new_id(), "body": {"title": title}}
                for title in titles[start : start + 90]
            ]
            service.ask("POST", "/v1/batch", operations=creating)
        until(lambda: log.read_text().count(" Number ") >= len(titles))
        until(lambda: has_read_all(service, program))
        body, headers = message(signing, "msg_1", "reminder", task_id="of this test")
        assert posted(port, body, headers) == 204
        assert posted(port, body, headers) == 204
        assert posted(port, body + b" ", headers) == 400
        assert posted(port, body, {**headers, "webhook-timestamp": "1"}) == 400
        assert posted(port, body, {**headers, "webhook-signature": "none"}) == 400
        assert posted(port, b"\xff", {}) == 400
        assert log.read_text().count("reminder of this test") == 1
    service.ask("POST", "/v1/tasks", title="Meanwhile")
    with receiving(program, **environment) as log:
        until(lambda: "Meanwhile" in log.read_text())
        body, headers = message(signing, "msg_1", "reminder", task_id="of this test")
        assert posted(port, body, headers) == 204
    text = log.read_text()
    assert sorted(re.findall(r" (Number \d+|Meanwhile)\n", text)) == sorted([*titles, "Meanwhile"])
    assert text.count("reminder of this test") == 1
    service.ask("PATCH", f"/v1/webhooks/{made['id']}", url="https://hooks.example.com/")


@pytest.fixture
def verifier(tmp_path: Path) -> Path:
    """The module of the page that verifies, compiled; a program prints what it returns."""
    modules = need_node()
    (tmp_path / "node_modules").symlink_to(modules)
    (tmp_path / "package.json").write_text('{"type": "module"}')
    (tmp_path / "verify.ts").write_text(source("verify.ts"))
    (tmp_path / "main.ts").write_text(
        'import { readFileSync } from "node:fs";\n'
        'import { verify } from "./verify.js";\n'
        'const { secret, headers, body } = JSON.parse(readFileSync(0, "utf8"));\n'
        "console.log(JSON.stringify(verify(secret, headers, Buffer.from(body))));\n"
    )
    options = ["--strict", "--noUncheckedIndexedAccess", "--skipLibCheck", "--types", "node"]
    command = ["node_modules/.bin/tsc", *options, "--target", "es2022", "--module", "nodenext"]
    compiled = run([*command, "main.ts"], tmp_path)
    assert compiled.returncode == 0, compiled.stdout
    return tmp_path / "main.js"


def verified(verifier: Path, **given: Any) -> Any:
    """What it returns; None if it throws."""
    ran = subprocess.run(
        ["node", verifier], input=json.dumps(given), capture_output=True, text=True, timeout=60
    )
    return json.loads(ran.stdout) if ran.returncode == 0 else None


def test_the_function_in_typescript_verifies_what_the_worker_sends(
    service: Service, verifier: Path
) -> None:
    with Receiver() as receiver:
        made = service.ask("POST", "/v1/webhooks", url=receiver.url(), events=["changes"])
        path = f"/v1/webhooks/{made['id']}"
        rotated = service.ask("POST", f"{path}/rotate-secret")
        service.ask("POST", f"{path}/test")
        until(lambda: receiver.of("test"))
        service.ask("PATCH", path, url="https://hooks.example.com/")
    sent = receiver.of("test")[0]
    body = sent.body.decode()
    for secret in (made["secret"], rotated["secret"]):
        assert verified(verifier, secret=secret, headers=sent.headers, body=body) == sent.content
    other = {**sent.headers, "webhook-id": "msg_other"}
    old, headers = message(Webhook(made["secret"]), "msg_1", "test")
    late = {**headers, "webhook-timestamp": str(int(headers["webhook-timestamp"]) - 400)}
    late["webhook-signature"] = Webhook(made["secret"]).sign(
        "msg_1", datetime.fromtimestamp(int(late["webhook-timestamp"]), UTC), old.decode()
    )
    assert verified(verifier, secret=made["secret"], headers=headers, body=old.decode())
    for given, text in (
        (other, body),
        (sent.headers, body + " "),
        ({}, body),
        (late, old.decode()),
    ):
        assert verified(verifier, secret=made["secret"], headers=given, body=text) is None


def test_after_a_resumption_all_that_was_missed_is_told_reminders_first(cluster: str) -> None:
    with own_database(cluster) as url, Receiver() as receiver:
        migrate(url)
        hooks = Hooks(url)
        made = hook(hooks.alice, receiver.url(), "changes", "reminder")
        hooks.call()
        receiver.reply = lambda _: (410, {}, b"")
        later = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
        missed = [hooks.alice.create_task(reminders=[{"at": later}])["id"] for _ in range(2)]
        hooks.call()
        hooks.ring(hooks.alice)
        moved = hooks.alice.patch(f"/v1/webhooks/{made['id']}", json={"url": receiver.url("/new")})
        assert moved.json["disabled_at"]
        hooks.call()
        assert len(receiver.received) == 1
        receiver.reply = lambda _: (200, {}, b"")
        assert hooks.alice.post(f"/v1/webhooks/{made['id']}/resume").status_code == 200
        hooks.call()
        hooks.begin()
        hooks.call()
        told = [each.content for each in receiver.received[1:]]
        assert [each["type"] for each in told] == ["reminder", "reminder", "changes"]
        assert {each["data"]["task_id"] for each in told[:2]} == {*missed}
        assert state(hooks.alice, made)["last_status"] == 200


def test_the_figures_of_the_page_are_those_of_the_code() -> None:
    text = " ".join(PAGE.split())
    assert PAUSES[:3] == (5, 300, 1800)
    assert [pause / 3600 for pause in PAUSES[3:]] == [2, 5, 10, 14, 20, 24]
    assert "after 5 s, 5 min, 30 min and 2, 5, 10, 14, 20 and 24 hours" in text
    assert (JITTER, LONGEST_PAUSE, len(PAUSES)) == ((0.9, 1.1), 86_400, 9)
    assert sum(PAUSES) / 86_400 == pytest.approx(3, abs=0.2)
    assert (SECONDS, MOST_BYTES, MOST) == (15, 64 * 1024, 10)
    assert (LEAST_PORT, LONGEST) == (1024, 2000)
