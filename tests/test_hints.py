"""Telling Pushpin of news: bounded, at most once a second for each user, and never in the way."""

import json
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from threading import Event, Thread
from typing import Any

import pytest
from apiflask import APIFlask
from hypothesis import given
from hypothesis import strategies as st

from app import create_app
from app.core.grip_url import Grip
from app.core.metrics import tally
from app.core.metrics.families import HINTS, PLAIN
from app.core.metrics.tally import Ledger
from app.web.hint_queue import BETWEEN_SECONDS, MOST_AT_ONCE, HintQueue
from app.web.hints import Hints, post_to
from tests.conftest import Account, settings_for
from tests.locks import until
from tests.rig.programs import free_port

KEY = "0b7e4d1a92c35f68e0d4a7b3c9f1265d8e7a0c4b"


# Who is told when


def test_news_are_told_at_once_and_once_more_a_second_later() -> None:
    queue = HintQueue()
    assert queue.add("a")
    assert queue.seconds(0) == 0
    assert queue.take(0) == ["a"]
    assert queue.seconds(0) == BETWEEN_SECONDS
    assert queue.take(0.9) == []
    assert queue.take(1) == ["a"]
    assert queue.take(2) == []
    assert queue.seconds(2) is None


def test_news_right_after_the_last_hint_wait_for_the_end_of_its_second() -> None:
    queue = HintQueue()
    queue.add("a")
    assert [queue.take(0), queue.take(1)] == [["a"], ["a"]]
    queue.add("a")
    assert [queue.take(at) for at in (1.1, 2, 3, 4)] == [[], ["a"], ["a"], []]


def test_news_of_the_same_second_are_told_at_its_end_and_once_more() -> None:
    queue = HintQueue()
    queue.add("a")
    assert queue.take(0) == ["a"]
    for _ in range(100):
        assert queue.add("a")
    assert len(queue) == 1
    assert [queue.take(at) for at in (0.5, 1, 1.5, 2, 3)] == [[], ["a"], [], ["a"], []]


def test_beyond_its_room_further_users_are_refused_and_known_ones_are_not() -> None:
    queue = HintQueue(most=2)
    assert [queue.add(user) for user in "abcab"] == [True, True, False, True, True]
    assert queue.take(0) == ["a", "b"]
    assert not queue.add("c")  # the others are to be told once more
    assert queue.take(1) == ["a", "b"]
    assert queue.take(2) == []
    assert queue.add("c")


def test_many_users_are_told_of_in_several_requests() -> None:
    queue = HintQueue()
    users = [str(number) for number in range(MOST_AT_ONCE + 1)]
    for user in users:
        queue.add(user)
    assert [queue.take(0), queue.take(0), queue.take(0)] == [users[:-1], users[-1:], []]


def test_when_the_process_ends_all_is_told_without_waiting() -> None:
    queue = HintQueue()
    queue.add("a")
    assert queue.take(0) == ["a"]
    assert queue.take(0, all_of_them=True) == ["a"]
    assert queue.take(0, all_of_them=True) == []


@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 0.7)), max_size=40))
def test_all_news_are_told_twice_within_two_seconds_and_no_user_twice_in_one(
    steps: list[tuple[str, float]],
) -> None:
    queue, now = HintQueue(), 0.0
    added: list[tuple[str, float]] = []
    told: list[tuple[str, float]] = []

    def pass_until(end: float) -> None:
        nonlocal now
        while (pause := queue.seconds(now)) is not None and now + pause <= end:
            now += pause
            told.extend((user, now) for user in queue.take(now))
        now = end

    for user, pause in steps:
        pass_until(now + pause)
        assert queue.add(user)
        added.append((user, now))
    pass_until(now + 4)
    for user, at in added:
        after = [when for who, when in told if who == user and when >= at]
        assert after[0] <= at + BETWEEN_SECONDS + 1e-6
        assert after[1] <= at + 2 * BETWEEN_SECONDS + 1e-6
    for user in "abc":
        times = [when for who, when in told if who == user]
        assert all(b - a >= BETWEEN_SECONDS - 1e-6 for a, b in pairwise(times))
    assert len(queue) == 0


# The thread


@pytest.fixture
def ledger() -> Any:
    tally.use(Ledger(PLAIN))
    yield tally.ledger()
    tally.use(None)


def counted(ledger: Ledger, outcome: str) -> float:
    return ledger.totals()[ledger.offsets[(HINTS.name, outcome)]]


def test_whoever_writes_never_waits_for_pushpin(ledger: Ledger) -> None:
    stuck, told = Event(), []

    def post(users: Sequence[str]) -> None:
        told.append([*users])
        stuck.wait(30)

    hints = Hints(post)
    hints.tell("first")
    until(lambda: told)
    for number in range(hints.queue.most + 10):
        hints.tell(str(number))
    assert len(hints.queue) == hints.queue.most
    assert counted(ledger, "dropped") == 10 + 1  # `first` is to be told once more
    stuck.set()
    hints.close()


def test_what_pushpin_does_not_take_is_counted_and_warned_of_once(
    ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    grip = Grip("127.0.0.1", free_port(), KEY, "pushpin")
    hints = Hints(post_to(grip))
    for user in "ab":
        hints.tell(user)
        until(lambda: not hints.queue.first)
    until(lambda: counted(ledger, "dropped") >= 2)
    hints.close()
    assert counted(ledger, "sent") == 0
    warnings = [each.getMessage() for each in caplog.records if each.levelname == "WARNING"]
    assert len(warnings) == 1
    assert "Pushpin was not told" in warnings[0]
    assert KEY not in caplog.text


def test_at_the_end_of_the_process_the_last_hints_are_told() -> None:
    told: list[str] = []
    hints = Hints(told.extend)
    hints.tell("a")
    hints.close()
    assert told == ["a", "a"]


class Control(ThreadingHTTPServer):
    """Pushpin's control port, which answers with a status."""

    def __init__(self, status: int) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.status = status
        self.items: list[Any] = []


class Handler(BaseHTTPRequestHandler):
    server: Control

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.items += json.loads(body)["items"]
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def control() -> Any:
    """Starts a control port with a status."""
    running: list[Control] = []

    def start(status: int = 200) -> Control:
        running.append(Control(status))
        Thread(target=running[-1].serve_forever, daemon=True).start()
        return running[-1]

    yield start
    for each in running:
        each.shutdown()
        each.server_close()


def test_another_status_than_200_is_a_failure(
    control: Callable[[int], Control], ledger: Ledger
) -> None:
    server = control(500)
    hints = Hints(post_to(Grip("127.0.0.1", server.server_port, KEY, "pushpin")))
    hints.tell("a")
    hints.close()
    assert (counted(ledger, "sent"), counted(ledger, "dropped")) == (0, 2)


# What is news


@pytest.fixture
def telling(database_url: str, control: Callable[[], Control]) -> tuple[APIFlask, Control]:
    """An application with a Pushpin that notes what it is told."""
    server = control()
    url = f"http://127.0.0.1:{server.server_port}/?key={KEY}"
    return create_app(settings_for(database_url, GRIP_URL=url)), server


def told(control: Control) -> list[str]:
    return [item["channel"] for item in control.items]


def test_each_write_of_a_user_is_told_and_what_is_no_write_is_not(
    telling: tuple[APIFlask, Control], auth: Callable[..., Account]
) -> None:
    application, server = telling
    alice, bob = auth(application), auth(application)
    assert bob.get("/v1/tasks").status_code == 200
    assert bob.get("/v1/changes").status_code == 200
    assert bob.post("/v1/tasks", json={"title": ""}).status_code == 422
    task = alice.create_task()
    until(lambda: told(server).count(alice.user_id) == 2)
    for write in (
        lambda: alice.patch(f"/v1/tasks/{task['id']}", json={"title": "Buy oat milk"}),
        lambda: alice.post("/v1/batch", json={"operations": []}),
        lambda: alice.delete(f"/v1/tasks/{task['id']}"),
    ):
        before = told(server).count(alice.user_id)
        if write().status_code < 300:
            until(lambda before=before: told(server).count(alice.user_id) >= before + 2)
    assert {*told(server)} == {alice.user_id}
    assert server.items[0]["formats"] == {
        "http-stream": {"action": "hint"},
        "http-response": {"action": "hint"},
    }


def test_without_pushpin_nobody_is_told(app: APIFlask, alice: Account) -> None:
    alice.create_task()
    assert "news" not in app.extensions
