"""One account that asks for all that is slow, at once and as often as it may, slows nobody much."""

import json
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from functools import partial
from http.client import HTTPConnection, HTTPException, HTTPResponse
from pathlib import Path
from statistics import median
from threading import Event, Lock
from typing import Any
from urllib.parse import quote, urlsplit

import pytest

from app.core.ids import new_id
from tests.conftest import Account, gunicorn
from tests.locks import until

pytestmark = pytest.mark.slow

A_MINUTE = 1000
"""RATELIMIT_PER_USER, as it is unless set."""

ROUNDS = 4
QUIET_SECONDS = 1.0
ATTACK_SECONDS = 2.0
LOOK_SECONDS = 0.02
"""Between two looks of the other user, who would otherwise meet RATELIMIT_PER_USER in a minute."""

MANY = 2000
TEXT = ("a" * 99 + "b") * 50
SEARCH = f"/v1/tasks?limit=1&q={quote('a' * 100 + 'b' + 'a' * 98)}"


class Caller:
    """A user on a connection that is kept."""

    def __init__(self, base: str, account: Account) -> None:
        self.connection = HTTPConnection(urlsplit(base).netloc, timeout=60)
        self.headers = {"Authorization": f"Bearer {account.token}"}

    def send(self, method: str, path: str, body: bytes | None, media_type: str) -> HTTPResponse:
        headers = {**self.headers, "Content-Type": media_type} if body else self.headers
        self.connection.request(method, path, body, headers)
        return self.connection.getresponse()

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        media_type: str = "application/json",
    ) -> tuple[int, bytes]:
        answer = self.send(method, path, body, media_type)
        return answer.status, answer.read()

    def close(self) -> None:
        self.connection.close()


class Attack:
    """Requests of one account, in threads that pause between the rounds and keep to its limit."""

    def __init__(self, base: str, account: Account) -> None:
        self.base = base
        self.account = account
        self.going = Event()
        self.over = Event()
        self.lock = Lock()
        self.under_way = 0
        self.next = 0.0
        self.answers: Counter[tuple[str, int]] = Counter()

    def repeat(self, name: str, one: Callable[[Caller], int]) -> None:
        """Do it again and again while the attack goes on."""
        while not self.over.is_set():
            if not self.going.wait(0.1):
                continue
            with self.lock:
                self.under_way += 1
                now = time.monotonic()
                self.next = max(now, self.next) + 60 / A_MINUTE
                pause = self.next - now
            try:
                if self.over.wait(pause):
                    return
                with closing(Caller(self.base, self.account)) as caller:
                    status = one(caller)
            except (OSError, HTTPException):
                status = 0
            finally:
                with self.lock:
                    self.under_way -= 1
            with self.lock:
                self.answers[name, status] += 1

    @contextmanager
    def round(self) -> Iterator[None]:
        """While entered it goes on; afterwards all that was sent has been answered."""
        self.going.set()
        try:
            yield
        finally:
            self.going.clear()
            until(lambda: self.under_way == 0)


def search(caller: Caller) -> int:
    return caller.ask("GET", SEARCH)[0]


def batch(caller: Caller) -> int:
    """A hundred new tasks in a megabyte, no two with the same pieces."""
    operations = [
        {
            "op": "create",
            "type": "task",
            "id": new_id(),
            "body": {"title": "x", "description": text},
        }
        for text in ("\xe9" * 1000 + random.randbytes(2000).hex() for _ in range(100))
    ]
    body = json.dumps({"operations": operations}).encode()
    assert len(body) > 1_000_000
    return caller.ask("POST", "/v1/batch", body)[0]


def newest(caller: Caller) -> str:
    """A token of changes that have been read to their end."""
    feed = json.loads(caller.ask("GET", "/v1/changes?limit=200")[1])
    while feed["has_more"]:
        path = f"/v1/changes?limit=200&since={feed['next_token']}"
        feed = json.loads(caller.ask("GET", path)[1])
    return str(feed["next_token"])


def long_poll(since: str, caller: Caller) -> int:
    """Wait for a change."""
    return caller.ask("GET", f"/v1/changes?wait=2&limit=1&since={since}")[0]


def slow_export(caller: Caller) -> int:
    answer = caller.send("GET", "/v1/export", None, "")
    for _ in range(40):
        if not answer.read(4096):
            break
        time.sleep(0.05)  # what makes this reader slow
    return answer.status


def flushing_import(caller: Caller) -> int:
    """Lines that are alternately two titles of one task."""
    task = {"id": new_id(), "description": None}
    lines = [
        json.dumps({"type": "task", "data": {**task, "title": f"Title {number % 2}"}})
        for number in range(2000)
    ]
    body = "\n".join(lines).encode()
    return caller.ask("POST", "/v1/import", body, "application/x-ndjson")[0]


@pytest.fixture
def hoarder(alice: Account, connection: Any) -> Account:
    """A user with texts that take long to look through."""
    with connection.cursor() as cursor:
        cursor.execute("update users set change_seq = %s where id = %s", (MANY, alice.user_id))
        cursor.execute(
            "insert into tasks (user_id, id, title, description, complete, priority, version,"
            " created_at, updated_at) select %s, gen_random_uuid(), 'A task', %s, false, 0, n,"
            " now(), now() from generate_series(1, %s) n",
            (alice.user_id, TEXT, MANY),
        )
        cursor.execute("analyze tasks")
    return alice


def looks(victim: Caller, seconds: float) -> list[float]:
    """How long each answer took that a user got in so many seconds."""
    times, end = [], time.monotonic() + seconds
    while (started := time.monotonic()) < end:
        assert victim.ask("GET", "/v1/me")[0] == 200
        times.append(time.monotonic() - started)
        Event().wait(LOOK_SECONDS)
    return times


def test_one_account_that_does_all_at_once_slows_another_threefold_at_most(
    database_url: str, tmp_path: Path, hoarder: Account, bob: Account
) -> None:
    limits = {"RATELIMIT_PER_USER": str(A_MINUTE), "WEB_CONCURRENCY": "2", "WEB_THREADS": "4"}
    quiet: list[float] = []
    attacked: list[float] = []
    with (
        gunicorn(database_url, tmp_path / "log", **limits) as base,
        ThreadPoolExecutor(12) as pool,
        closing(Caller(base, bob)) as victim,
        closing(Caller(base, bob)) as mover,
    ):
        attack = Attack(base, hoarder)
        looks(victim, QUIET_SECONDS)
        with closing(Caller(base, hoarder)) as caller:
            polls = partial(long_poll, newest(caller))
        slow = {
            "search": [search] * 6,
            "batch": [batch] * 2,
            "poll": [polls] * 2,
            "export": [slow_export],
            "import": [flushing_import],
        }
        for name, threads in slow.items():
            for one in threads:
                pool.submit(attack.repeat, name, one)
        try:
            for _ in range(2):  # other programs may have had the cores the first time
                quiet, attacked = [], []
                for _ in range(ROUNDS):
                    quiet += looks(victim, QUIET_SECONDS)
                    with attack.round():
                        attacked += looks(victim, ATTACK_SECONDS)
                if median(attacked) <= 3 * median(quiet):
                    break
            with attack.round():
                status, export = mover.ask("GET", "/v1/export")
                assert status == 200
                status, report = mover.ask("POST", "/v1/import", export, "application/x-ndjson")
                assert status == 200, report
        finally:
            attack.over.set()
    print(
        sorted(attack.answers.items()), median(quiet), median(attacked), len(quiet), len(attacked)
    )
    for name in slow:
        assert attack.answers[name, 200] + attack.answers[name, 422], attack.answers
    assert median(attacked) <= 3 * median(quiet), attack.answers
