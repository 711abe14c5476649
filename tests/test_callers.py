"""The threads of a worker: nobody has all of them, and whose a request is nobody can pretend."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from http.client import HTTPConnection
from pathlib import Path
from threading import Event, Lock
from typing import Any
from urllib.parse import urlsplit

import pytest

from app import callers
from app.server.lanes import FairLane
from tests.conftest import Account, gunicorn
from tests.locks import held, until, waiting


class Work:
    """Holds a thread until it is let go, and counts how much of it is under way and done."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.go = Event()
        self.begun = 0
        self.done = 0

    def __call__(self) -> None:
        with self.lock:
            self.begun += 1
        self.go.wait(60)
        with self.lock:
            self.done += 1


@pytest.fixture
def lane() -> Iterator[Callable[[int], FairLane]]:
    """Makes lanes whose threads end with the test."""
    with ExitStack() as stack:

        def make(threads: int) -> FairLane:
            made = FairLane(threads)
            stack.callback(made.shutdown)
            return made

        yield make


def test_one_caller_never_has_all_threads(lane: Callable[[int], FairLane]) -> None:
    threads, greedy, modest = lane(4), Work(), Work()
    try:
        for _ in range(20):
            threads.submit(greedy, "greedy")
        until(lambda: greedy.begun == 3)
        modest.go.set()
        threads.submit(modest, "modest")
        until(lambda: modest.done == 1)
        assert greedy.begun == 3
        assert threads.size() == 17
    finally:
        greedy.go.set()
    until(lambda: greedy.done == 20)
    assert threads.size() == 0
    assert threads.admitted == {}


def test_a_single_thread_serves_everybody(lane: Callable[[int], FairLane]) -> None:
    threads, works = lane(1), [Work() for _ in range(3)]
    for number, work in enumerate(works):
        work.go.set()
        threads.submit(work, f"caller {number}")
        threads.submit(work, f"caller {number}")
    until(lambda: [work.done for work in works] == [2, 2, 2])


def test_strangers_do_not_wait_for_each_other(lane: Callable[[int], FairLane]) -> None:
    threads, work = lane(2), Work()
    try:
        for _ in range(2):
            threads.submit(work, callers.NOBODY)
        until(lambda: work.begun == 2)
    finally:
        work.go.set()


class Claimed(Work):
    """Work that turns out to be a caller's in its thread, and comes again if it may not go on."""

    def __init__(self, lane: FairLane, caller: str) -> None:
        super().__init__()
        self.lane = lane
        self.caller = caller

    def __call__(self) -> None:
        try:
            callers.claim(self.caller)
        except callers.NotYet as not_yet:
            self.lane.submit(super().__call__, not_yet.caller)
        else:
            super().__call__()


def test_strangers_work_that_becomes_a_callers_counts_as_that_callers(
    lane: Callable[[int], FairLane],
) -> None:
    threads, modest = lane(4), Work()
    greedy = Claimed(threads, "greedy")
    modest.go.set()
    try:
        for _ in range(20):
            threads.submit(greedy, callers.NOBODY)
        until(lambda: greedy.begun == 3 and threads.size() == 17)
        for number in range(20):
            threads.submit(modest, f"modest {number}")
        until(lambda: modest.done == 20)
        assert greedy.begun == 3
    finally:
        greedy.go.set()
    until(lambda: greedy.done == 20)
    until(lambda: threads.admitted == {} and not threads.held and threads.waiting == {})


def test_known_work_waits_for_strangers_work_that_became_the_callers(
    lane: Callable[[int], FairLane],
) -> None:
    threads, first, modest = lane(4), Work(), Work()
    known, greedy = Work(), Claimed(threads, "greedy")
    modest.go.set()
    try:
        for _ in range(4):
            threads.submit(first, callers.NOBODY)
        until(lambda: first.begun == 4)
        for _ in range(5):
            threads.submit(greedy, callers.NOBODY)
            threads.submit(known, "greedy")
        first.go.set()
        threads.submit(modest, "modest")
        until(lambda: modest.done == 1)
        until(lambda: known.begun + greedy.begun == 3)
        threads.submit(modest, "modest")
        until(lambda: modest.done == 2)
        assert known.begun + greedy.begun == 3
    finally:
        for work in (first, greedy, known):
            work.go.set()
    until(lambda: (greedy.done, known.done) == (5, 5))
    until(lambda: threads.admitted == {} and not threads.held and threads.waiting == {})


def test_who_ends_claims_whatever_it_has() -> None:
    threads = FairLane(2)
    greedy = Claimed(threads, "greedy")
    greedy.go.set()
    for _ in range(10):
        threads.submit(greedy, callers.NOBODY)
        threads.submit(greedy, "greedy")
    threads.shutdown()
    for thread in threads.threads:
        thread.join(timeout=30)
        assert not thread.is_alive()
    assert greedy.done >= 10


def test_what_was_given_before_the_end_is_done() -> None:
    threads, work = FairLane(3), Work()
    for _ in range(10):
        threads.submit(work, "someone")
    threads.shutdown()
    work.go.set()
    until(lambda: work.done == 10)
    for thread in threads.threads:
        thread.join(timeout=30)
        assert not thread.is_alive()


@pytest.mark.parametrize(
    ("head", "value"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer abc\r\n\r\n", "Bearer abc"),
        (b"GET / HTTP/1.1\r\nauthorization:Bearer abc \t\r\nHost: x\r\n\r\n", "Bearer abc"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nAUTHORIZATION: b\xe9arer\r\n\r\n", "b\xe9arer"),
    ],
)
def test_a_caller_is_known_by_a_header_that_was_verified(head: bytes, value: str) -> None:
    assert callers.caller(head) == callers.NOBODY
    callers.note(value, "somebody")
    try:
        assert callers.caller(head) == "somebody"
        assert callers.caller(head.replace(b"arer", b"arar")) == callers.NOBODY
        assert callers.caller(head[:24]) == callers.NOBODY
    finally:
        callers._users.clear()


def test_no_more_callers_are_remembered_than_there_is_room_for() -> None:
    try:
        for number in range(callers.MOST + 10):
            callers.note(f"Bearer {number}", "somebody")
        assert len(callers._users) == callers.MOST
        assert callers.caller(b"\r\nauthorization: Bearer 0\r\n") == callers.NOBODY
        assert callers.caller(f"\r\nauthorization: Bearer {number}\r\n".encode()) == "somebody"
    finally:
        callers._users.clear()


def ask(
    base: str,
    account: Account,
    method: str = "GET",
    body: str | None = None,
    scheme: str = "Bearer ",
) -> int:
    """The status that this user's account is answered with, on a connection of its own."""
    with closing(HTTPConnection(urlsplit(base).netloc, timeout=30)) as connection:
        headers = {"Authorization": scheme + account.token, "Content-Type": "application/json"}
        connection.request(method, "/v1/me", body, headers)
        answer = connection.getresponse()
        answer.read()
        return answer.status


def test_a_user_whose_requests_all_wait_keeps_nobody_else_waiting(
    database_url: str, tmp_path: Path, connection: Any, alice: Account, bob: Account
) -> None:
    with (
        gunicorn(database_url, tmp_path / "log", WEB_CONCURRENCY="1") as base,
        ThreadPoolExecutor(8) as pool,
    ):
        assert [ask(base, account) for account in (alice, bob)] == [200, 200]
        with held(connection, alice.user_id):
            writes = [pool.submit(ask, base, alice, "PATCH", '{"name": "A"}') for _ in range(8)]
            until(lambda: len(waiting(connection)) == 3)
            assert [ask(base, bob) for _ in range(5)] == [200] * 5
            assert not any(write.done() for write in writes)
        assert [write.result(timeout=30) for write in writes] == [200] * 8


def test_nobody_has_more_threads_by_writing_the_same_token_in_many_ways(
    database_url: str, tmp_path: Path, connection: Any, alice: Account, bob: Account
) -> None:
    with (
        gunicorn(database_url, tmp_path / "log", WEB_CONCURRENCY="1") as base,
        ThreadPoolExecutor(8) as pool,
    ):
        with held(connection, alice.user_id):
            writes = [
                pool.submit(ask, base, alice, "PATCH", '{"name": "A"}', f"Bearer{n * ' '}")
                for n in range(1, 9)
            ]
            until(lambda: len(waiting(connection)) == 3)
            assert [ask(base, bob) for _ in range(5)] == [200] * 5
            assert len(waiting(connection)) == 3
            assert not any(write.done() for write in writes)
        assert [write.result(timeout=30) for write in writes] == [200] * 8
