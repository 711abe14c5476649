"""The threads of a worker: nobody has all of them, and whose a request is nobody can pretend."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event, Lock
from typing import Any

import pytest

from app.core import principal
from app.server.lanes import KNOWN_TOKENS, NOBODY, Caller, Lane, caller_of
from tests.conftest import Account, gunicorn
from tests.locks import held, until, waiting
from tests.raw import ask, asking

TOKEN, OTHER_TOKEN = 1, 2


class Work:
    """Holds a thread until it is let go, and counts how much of it is under way and done.

    Where it is somebody's, that shows in its thread; what may not go on is refused.
    """

    def __init__(self, user_id: str | None = None) -> None:
        self.user_id = user_id
        self.lock = Lock()
        self.go = Event()
        self.begun = self.done = self.refused = 0

    def __call__(self) -> None:
        if self.user_id and not principal.may_go_on(self.user_id):
            with self.lock:
                self.refused += 1
            return
        with self.lock:
            self.begun += 1
        self.go.wait(60)
        with self.lock:
            self.done += 1

    def give(self, lane: Lane, times: int, caller: Caller = NOBODY) -> None:
        for _ in range(times):
            lane.submit(caller, self)


def at_once(user_id: str | None = None) -> Work:
    """Work that takes no time."""
    work = Work(user_id)
    work.go.set()
    return work


@pytest.fixture
def lane() -> Lane:
    """Four threads, of which a caller has three at most."""
    return Lane(4, 3)


def test_one_caller_never_has_all_threads(lane: Lane) -> None:
    greedy, modest = Work(), at_once()
    greedy.give(lane, 20, TOKEN)
    until(lambda: greedy.begun == 3)
    modest.give(lane, 10, OTHER_TOKEN)
    until(lambda: modest.done == 10)
    assert (greedy.begun, lane.load()) == (3, (3, 17))
    greedy.go.set()
    until(lambda: greedy.done == 20)
    until(lambda: lane.load() == (0, 0))
    assert (lane.waiting, lane.running) == ({}, {})


def test_callers_who_wait_take_turns() -> None:
    lane, first, order = Lane(1), Work(), list[str]()
    first.give(lane, 1)
    until(lambda: first.begun == 1)
    for caller in ("a", "a", "a", "b", "c"):
        lane.submit(caller, lambda caller=caller: order.append(caller))
    first.go.set()
    until(lambda: len(order) == 5)
    assert order == ["a", "b", "c", "a", "a"]


def test_strangers_do_not_wait_for_each_other(lane: Lane) -> None:
    work = Work()
    work.give(lane, 4)
    until(lambda: work.begun == 4)
    work.go.set()


def test_a_users_tokens_count_together_once_they_are_verified(lane: Lane) -> None:
    one, other, modest = Work("greedy"), Work("greedy"), at_once("modest")
    for token, work in ((TOKEN, one), (OTHER_TOKEN, other)):
        done = at_once("greedy")
        done.give(lane, 1, token)
        until(lambda done=done: done.done == 1)
        work.give(lane, 10, token)
    modest.give(lane, 10, 3)
    until(lambda: modest.done == 10)
    assert one.begun + other.begun == 3
    for work in (one, other):
        work.go.set()
    until(lambda: (one.done, other.done) == (10, 10))
    assert one.refused == other.refused == 0


def test_a_token_that_is_new_to_the_process_is_refused_nothing(lane: Lane) -> None:
    for token in range(1, 50):
        work, other = at_once(f"user {token}"), Work()
        other.give(lane, 1)  # so that three threads are left
        work.give(lane, 12, token)
        until(lambda work=work: work.done + work.refused == 12)
        other.go.set()
        assert work.refused == 0


def test_a_users_new_token_takes_no_more_threads_and_what_is_behind_it_waits(lane: Lane) -> None:
    known, new, modest = Work("greedy"), Work("greedy"), at_once("modest")
    known.give(lane, 3, TOKEN)
    until(lambda: known.begun == 3)
    new.give(lane, 10, OTHER_TOKEN)
    until(lambda: new.refused == 1 and lane.load() == (3, 9))
    modest.give(lane, 10)
    until(lambda: modest.done == 10)
    for work in (known, new):
        work.go.set()
    until(lambda: (known.done, new.done, new.refused) == (3, 9, 1))


def test_strangers_who_turn_out_to_be_one_user_have_no_more_threads(lane: Lane) -> None:
    greedy, modest = Work("greedy"), at_once("modest")
    greedy.give(lane, 20)
    until(lambda: (greedy.begun, greedy.refused) == (3, 17))
    modest.give(lane, 20)
    until(lambda: modest.done == 20)
    greedy.go.set()
    until(lambda: lane.load() == (0, 0))


@pytest.mark.parametrize("threads", [1, 2])
def test_few_threads_serve_everybody(threads: int) -> None:
    lane = Lane(threads, max(1, threads - 1))
    works = [at_once(f"user {number}") for number in range(3)]
    for number, work in enumerate(works):
        work.give(lane, 2, number + 1)
    until(lambda: [work.done for work in works] == [2, 2, 2])


def test_no_more_tokens_are_remembered_than_there_is_room_for(lane: Lane) -> None:
    work = at_once("somebody")
    for number in range(KNOWN_TOKENS + 10):
        work.give(lane, 1, number + 1)
    until(lambda: work.done + work.refused == KNOWN_TOKENS + 10)
    assert len(lane.users) == KNOWN_TOKENS


@pytest.mark.parametrize(
    "line",
    [
        b"Authorization: Bearer abc",
        b"authorization:Bearer    abc \t",
        b"AUTHORIZATION: \t bearer\tabc",
    ],
)
def test_a_token_is_the_same_however_the_header_is_written(line: bytes) -> None:
    plain = caller_of(b"GET / HTTP/1.1\r\nAuthorization: Bearer abc\r\nHost: x\r\n\r\n")
    assert caller_of(b"GET / HTTP/1.1\r\nHost: x\r\n" + line + b"\r\n\r\n") == plain != NOBODY


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nAuthorization: Bearer ab",
        b"GET / HTTP/1.1\r\nAuthorization: \r\n\r\n",
        b"GET / HTTP/1.1\r\nX-Authorization: Bearer abc\r\n\r\n",
    ],
)
def test_a_request_without_a_whole_token_is_nobodys(head: bytes) -> None:
    assert caller_of(head) == NOBODY


@pytest.fixture(scope="module")
def base(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a server with one process."""
    log = tmp_path_factory.mktemp("callers") / "log"
    with gunicorn(database_url, log, WEB_CONCURRENCY="1") as started:
        yield started


def asked(base: str, account: Account, method: str = "GET", body: bytes = b"") -> int:
    """The status that this user's account is answered with, on a connection of its own."""
    return ask(base, asking("/v1/me", account, method, body))[0]


def test_a_user_whose_requests_all_wait_keeps_nobody_else_waiting(
    base: str, connection: Any, alice: Account, bob: Account
) -> None:
    with ThreadPoolExecutor(8) as pool:
        assert [asked(base, account) for account in (alice, bob)] == [200, 200]
        with held(connection, alice.user_id):
            writes = [pool.submit(asked, base, alice, "PATCH", b'{"name": "A"}') for _ in range(8)]
            until(lambda: len(waiting(connection)) == 3)
            assert [asked(base, bob) for _ in range(5)] == [200] * 5
            assert not any(write.done() for write in writes)
        assert [write.result(timeout=30) for write in writes] == [200] * 8


def test_nobody_has_more_threads_by_many_tokens(
    base: str, connection: Any, alice: Account, bob: Account
) -> None:
    tokens = [alice, *(alice._replace(token=alice.create_token()["token"]) for _ in range(3))]
    with ThreadPoolExecutor(8) as pool:
        with held(connection, alice.user_id):
            writes = [
                pool.submit(asked, base, account, "PATCH", b'{"name": "A"}')
                for account in tokens * 2
            ]
            until(lambda: len(waiting(connection)) == 3)
            assert [asked(base, bob) for _ in range(5)] == [200] * 5
            assert len(waiting(connection)) == 3
        # A token that is new to the process may be told to come again; the others have waited.
        assert {write.result(timeout=30) for write in writes} <= {200, 429}
        assert [asked(base, account, "PATCH", b'{"name": "A"}') for account in tokens] == [200] * 4
