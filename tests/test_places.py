"""What takes long by nature, long polls, exports and imports, never takes the last thread, and no
user takes the last place.
"""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from threading import Semaphore, Thread
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app import create_app
from app.api.transfer import importing
from app.api.transfer.capacity import FREE_SECONDS
from app.core.places import (
    POLLS,
    TRANSFERS,
    NoPlace,
    OwnPlaceTaken,
    Place,
    Places,
    for_polls,
    for_transfers,
)
from app.server.lanes import Lanes
from tests.conftest import Account, gunicorn, settings_for
from tests.contract import LINES
from tests.lines import counts, exported, jsonl, send, task
from tests.locks import held, until, waiting
from tests.parallel import callers
from tests.raw import MEGABYTE, PROMPT, answered, asking, connect, connections, seconds
from tests.scrapes import TOKEN, scraped
from tests.test_export import fill

# Which threads a request gets


@pytest.fixture(scope="module")
def lanes() -> Lanes:
    return Lanes(1)


REST = b" HTTP/1.1\r\nHost: localhost\r\n\r\n"
BODY = b" HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\n"


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b"GET /v1/changes?wait=25" + REST, "polls"),
        (b"HEAD /v1/changes?wait=25" + REST, "polls"),
        (b"GET /streams/changes/ticket" + REST, "polls"),
        (b"GET /streams/changes/ticket" + BODY, "ordinary"),
        (b"POST /streams/changes/ticket" + BODY, "ordinary"),
        (b"GET /v1/export" + REST, "transfers"),
        (b"HEAD /v1/export" + REST, "transfers"),
        (b"POST /v1/import" + BODY, "transfers"),
        (b"POST /v1/auth/token" + BODY, "passwords"),
        (b"POST /v1/auth/password-reset/confirm" + BODY, "passwords"),
        (b"POST /v1/auth/email-verification/confirm" + BODY, "passwords"),
        (b"GET /v1/changes" + REST, "ordinary"),
        (b"GET /v1/changes?since=await=1" + REST, "ordinary"),
        (b"POST /v1/changes?wait=1" + BODY, "ordinary"),
        (b"GET /v1/changes?wait=25" + BODY, "ordinary"),
        (b"GET /v1/changes?%77ait=25" + REST, "ordinary"),
        (b"GET /v1/%65xport" + REST, "ordinary"),
        (b"GET http://localhost/v1/export" + REST, "ordinary"),
        (b"GET /v1/export HTTP/1.1\r\nHost: loc", "ordinary"),
        (b"GET /v1/export" + BODY, "ordinary"),
        (b"GET /v1/export/" + REST, "ordinary"),
        (b"GET /v1/import" + REST, "ordinary"),
        (b"\r\nGET /v1/export" + REST, "ordinary"),
        (b"GET /v1/tasks" + REST, "ordinary"),
    ],
)
def test_a_request_that_may_take_long_gets_a_thread_that_is_there_for_such(
    lanes: Lanes, head: bytes, name: str
) -> None:
    assert lanes.choose(head) is getattr(lanes, name)


# Places


@given(st.integers(1, 5), st.lists(st.tuples(st.sampled_from("abc"), st.booleans(), st.booleans())))
def test_no_user_has_all_places_and_one_thread_stays_free(
    threads: int, steps: list[tuple[str, bool, bool]]
) -> None:
    common = Semaphore(threads - 1)
    polls = Places(for_polls(threads), for_polls(threads) // 2, common)
    transfers = Places(for_transfers(threads), 1, common)
    taken: list[tuple[Places, str, Place]] = []
    for user, polling, takes in steps:
        places = polls if polling else transfers
        before = [one for one in taken if one[0] is places]
        if not takes:
            if before:
                taken.remove(before[0])
                before[0][2].close()
                before[0][2].close()
            continue
        own = sum(holder == user for _, holder, _ in before)
        try:
            taken.append((places, user, places.take(user)))
        except OwnPlaceTaken:
            assert own == places.of_user < places.total
        except NoPlace:
            assert own < places.of_user
            assert len(before) == places.total or len(taken) == threads - 1
        assert len(taken) <= threads - 1
    for _, _, place in taken:
        place.close()
    assert (polls.free, transfers.free) == (polls.total, transfers.total)
    assert {*polls.taken, *transfers.taken} == set()
    assert sum(common.acquire(blocking=False) for _ in range(threads)) == threads - 1


def test_an_export_leaves_a_connection_to_others(database_url: str) -> None:
    small = {"DB_POOL_SIZE": "2", "DB_MAX_OVERFLOW": "0", "WEB_THREADS": "16"}
    assert create_app(settings_for(database_url, **small)).extensions[TRANSFERS].total == 1
    assert create_app(settings_for(database_url, WEB_THREADS="16")).extensions[TRANSFERS].total == 4


# Under a server that has no threads for them


@pytest.fixture
def single(database_url: str, auth: Callable[..., Account]) -> Account:
    """A user of a process with a single thread."""
    return auth(create_app(settings_for(database_url, WEB_THREADS="1")))


def test_a_single_thread_neither_waits_nor_transfers(single: Account) -> None:
    token = single.get("/v1/changes").json["next_token"]
    started = time.monotonic()
    assert single.get(f"/v1/changes?since={token}&wait=25").json["items"] == []
    assert time.monotonic() - started < 20
    for response in (single.get("/v1/export"), send(single, jsonl(task()))):
        assert (response.status_code, response.json["type"]) == (503, "/problems/overloaded")
        assert int(response.headers["Retry-After"]) >= 1
    assert single.call("HEAD", "/v1/export").status_code == 200


def test_of_two_threads_one_may_wait(
    database_url: str, alice: Account, bob: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    application = create_app(settings_for(database_url, WEB_THREADS="2"))
    alice, bob = (each._replace(client=application.test_client()) for each in (alice, bob))
    token = alice.get("/v1/changes").json["next_token"]
    [patient] = callers(alice, 1)
    thread = Thread(target=lambda: patient.get(f"/v1/changes?since={token}&wait=25"))
    thread.start()
    until(lambda: application.extensions[POLLS].free == for_polls(2) - 1)
    assert bob.get("/v1/export").status_code == 503
    alice.create_task()
    thread.join()
    assert bob.get("/v1/export").status_code == 200


# One user and others


def test_a_user_has_one_export_or_import_at_a_time_and_others_have_theirs(
    alice: Account, bob: Account, connection: Any
) -> None:
    fill(connection, alice, 3000)
    opened = alice.get("/v1/export")
    for response in (alice.get("/v1/export"), send(alice, jsonl(task()))):
        assert (response.status_code, response.json["type"]) == (429, "/problems/too-many-requests")
        assert int(response.headers["Retry-After"]) >= 1
    assert counts(send(bob, jsonl(task())).json) == (1, 0, 0, 0)
    assert exported(bob)
    opened.close()
    assert exported(alice)


class Trickle:
    """A body of which each piece takes its time to come."""

    def __init__(self, clock: Callable[[float], None], each: float) -> None:
        self.clock = clock
        self.each = each
        self.pieces = 0

    def read(self, _size: int = -1) -> bytes:
        self.pieces += 1
        self.clock(self.each)
        return b" " if self.pieces < 100 else b""


def test_a_body_that_trickles_in_gives_up_its_place(
    alice: Account, clock: Callable[[float], None]
) -> None:
    body = Trickle(clock, 9)
    response = alice.post(
        "/v1/import",
        headers={"Content-Type": LINES},
        environ_overrides={"wsgi.input": body, "CONTENT_LENGTH": "1000"},
    )
    assert (response.status_code, response.json["type"]) == (503, "/problems/overloaded")
    assert "slowly" in response.json["detail"]
    assert int(response.headers["Retry-After"]) >= 1
    assert body.pieces == FREE_SECONDS // 9 + 1
    assert counts(send(alice, jsonl(task())).json) == (1, 0, 0, 0)


# gunicorn with our worker


@pytest.fixture(scope="module")
def serving(
    database_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[int], str]]:
    """Starts a server with so many threads, or finds it when nobody waits there any more."""
    environment = {
        "WEB_CONCURRENCY": "1",
        "METRICS_TOKEN": TOKEN,
        "REQUEST_DEADLINE": "30",
        "DB_STATEMENT_TIMEOUT": "30",
    }
    started: dict[int, str] = {}
    with ExitStack() as stack:

        def serve(threads: int) -> str:
            if threads not in started:
                log = tmp_path_factory.mktemp("places") / "log"
                server = gunicorn(database_url, log, WEB_THREADS=str(threads), **environment)
                started[threads] = stack.enter_context(server)
            until(lambda: polls(started[threads]) == 0)
            return started[threads]

        yield serve


def polling(account: Account, path: str = "/v1/changes") -> bytes:
    token = account.get("/v1/changes").json["next_token"]
    return asking(f"{path}?since={token}&wait=25", account).replace(b"Content-Length: 0\r\n", b"")


def plain(path: str, account: Account) -> bytes:
    """A request without a body."""
    return asking(path, account).replace(b"Content-Length: 0\r\n", b"")


def importing_slowly(account: Account, path: str = "/v1/import") -> bytes:
    """The beginning of an import whose body does not come to its end."""
    whole = asking(path, account, "POST", b" " * MEGABYTE)
    return whole.replace(b"application/json", LINES.encode())[:-1000]


def polls(base: str) -> float:
    return scraped(base).sum("tasks_http_long_polls")


@pytest.mark.parametrize("threads", [1, 2])
def test_requests_are_answered_at_once_while_others_wait_export_and_import(
    serving: Callable[[int], str],
    auth: Callable[..., Account],
    alice: Account,
    connection: Any,
    threads: int,
) -> None:
    fill(connection, alice, 10_000, 1000)  # more than the buffers of a connection take
    bob, carol = auth(), auth()
    # What no lane is chosen for gets an ordinary thread, if that is not the last one.
    begun = [importing_slowly(auth(), "/v1/%69mport"), polling(auth(), "/v1/chang%65s")]
    begun += [plain("/v1/export", alice), importing_slowly(bob)]
    begun += [polling(each) for each in [auth() for _ in range(for_polls(threads) + 4)]]
    base = serving(threads)
    with ExitStack() as stack:
        for request in begun:
            stack.enter_context(connections(base, 1, request))
        until(lambda: polls(base) == for_polls(threads))
        times = [seconds(base, plain("/v1/me", carol)) for _ in range(10)]
        assert {status for status, _ in times} == {200}
        assert min(taken for _, taken in times) < PROMPT
        until(lambda: transfer(base, "GET", carol)[0] == 503)
        for method in ("GET", "POST"):
            status, headers, body = transfer(base, method, carol)
            assert (status, json.loads(body)["type"]) == (503, "/problems/overloaded")
            assert int(headers["retry-after"]) >= 1
        assert polls(base) == for_polls(threads)


def transfer(base: str, method: str, account: Account) -> tuple[int, dict[str, str], bytes]:
    """The answer to an export or an import."""
    request = plain("/v1/export", account) if method == "GET" else importing_slowly(account)
    with closing(connect(base)) as client:
        client.sendall(request)
        return answered(client)


def test_one_user_leaves_places_to_wait_to_others(
    serving: Callable[[int], str], alice: Account, bob: Account
) -> None:
    base = serving(2)
    with ExitStack() as stack:
        request = polling(alice)
        stack.enter_context(connections(base, 1, request))
        until(lambda: polls(base) == 1)
        status, taken = seconds(base, request)
        assert status == 200
        assert taken < 20  # it was not let wait
        stack.enter_context(connections(base, 1, polling(bob)))
        until(lambda: polls(base) == 2)


def test_who_hangs_up_waits_no_longer(serving: Callable[[int], str], alice: Account) -> None:
    base = serving(1)
    with connections(base, 1, polling(alice)):
        until(lambda: polls(base) == 1)
        started = time.monotonic()
    until(lambda: polls(base) == 0)
    assert time.monotonic() - started < 20  # of 25


def test_an_import_ends_when_its_client_has_gone(
    serving: Callable[[int], str], alice: Account, connection: Any
) -> None:
    size = importing.CHUNK_LINES
    data = jsonl(*(task() for _ in range(4 * size)))
    request = asking("/v1/import", alice, "POST", data).replace(b"application/json", LINES.encode())

    def is_over() -> bool:
        with closing(connect(base)) as client:
            client.sendall(plain("/v1/export", alice))
            return answered(client)[0] == 200

    base = serving(1)
    with held(connection, alice.user_id), connections(base, 1, request):
        until(lambda: waiting(connection))
    until(is_over)
    with connection.cursor() as cursor:
        cursor.execute("select count(*) from tasks where user_id = %s", (alice.user_id,))
        assert cursor.fetchone() == (size,)
