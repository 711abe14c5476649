"""Clients that wait for changes are held by Pushpin: they miss nothing, and cost nothing until
there is something. Pushpin is the real one, with the configuration that is shipped.
"""

import json
import re
import signal
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from http.client import HTTPException
from typing import Any

import jwt
import pytest

from app.core.ids import new_id
from tests.conftest import PASSWORD, ROOT, Account
from tests.haproxy import HAProxy
from tests.instances import listening
from tests.live import TOGETHER, Live, Waiting, living, polling, streaming, titles
from tests.locks import until
from tests.raw import HOST, ask, connections
from tests.rig.programs import free_port
from tests.rig.pushpin import KEY, Pushpin
from tests.rig.service import served
from tests.scrapes import scraped

pytestmark = pytest.mark.slow

STREAM = "/streams/changes/<ticket>"
"""The route that Pushpin goes on with a stream by."""

CHANGES = b"GET /v1/changes HTTP/1.1\r\n" + HOST + b"\r\n"


@pytest.fixture(scope="module")
def live(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with living(database_url, tmp_path_factory.mktemp("live") / "log") as running:
        yield running


@pytest.fixture
def own(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """One of the test's own, to stop and freeze."""
    with living(database_url, tmp_path_factory.mktemp("live") / "log") as running:
        yield running


def held(live: Live, before: int, count: int = 1) -> None:
    """Return when so many clients more than before are held."""
    until(lambda: live.pushpin.holds() >= before + count)


def settled(live: Live, *users: Account) -> None:
    """Return when Pushpin has looked again for the stream of each user.

    That is a second after a user's first stream began, in case that news came just before it.
    """
    for user in users:
        until(lambda user=user: live.asked(user)[STREAM])


# Long polls


def test_a_long_poll_is_answered_when_its_user_writes(live: Live, alice: Account) -> None:
    before, since = live.pushpin.holds(), live.token(alice)
    with polling(live, alice, since) as poll:
        held(live, before)
        task = live.create_task(alice)
        answer = poll.json()
    assert [item["id"] for item in answer["items"]] == [task["id"]]
    assert answer == live.call(alice, "GET", f"/v1/changes?since={since}")
    assert not [name for name in poll.headers if name.startswith("grip")]


def test_a_long_poll_takes_no_thread_and_no_place(live: Live, auth: Any) -> None:
    users = [auth() for _ in range(20)]
    before = live.pushpin.holds()
    waiting = [polling(live, user, live.token(user)) for user in users]
    held(live, before, len(users))
    assert scraped(live.base).sum("tasks_http_long_polls") == 0
    for user, poll in zip(users, waiting, strict=True):
        task = live.create_task(user)
        with poll:
            assert [item["id"] for item in poll.json()["items"]] == [task["id"]]


def test_a_long_poll_without_news_is_answered_when_its_time_is_over(
    live: Live, alice: Account
) -> None:
    since = live.token(alice)
    with polling(live, alice, since, wait=5) as poll:
        answer = poll.json()
    assert answer == {"items": [], "next_token": since, "has_more": False}


def test_a_short_wait_is_not_made_longer(live: Live, alice: Account) -> None:
    before = live.pushpin.holds()
    with polling(live, alice, live.token(alice), wait=1) as poll:
        assert poll.json()["items"] == []
    assert live.pushpin.holds() == before


# Streams


def test_each_page_is_an_event_whose_id_is_its_token(live: Live, alice: Account) -> None:
    first = live.create_task(alice)
    with streaming(live, alice) as stream:
        event = stream.event()
        assert (stream.response.status, stream.headers["content-type"]) == (
            200,
            "text/event-stream",
        )
        assert stream.headers["cache-control"] == "no-store"
        assert not [name for name in stream.headers if name.startswith("grip")]
        assert json.loads(event["data"]) == live.call(alice, "GET", "/v1/changes")
        second = live.create_task(alice)
        later = stream.event()
    assert json.loads(later["data"]) == live.call(alice, "GET", f"/v1/changes?since={event['id']}")
    assert [json.loads(each["data"])["items"][0]["id"] for each in (event, later)] == [
        first["id"],
        second["id"],
    ]
    assert later["id"] == json.loads(later["data"])["next_token"]


def test_without_changes_a_stream_begins_with_its_token_alone(live: Live, alice: Account) -> None:
    live.create_task(alice)
    since = live.token(alice)
    with streaming(live, alice, f"?since={since}") as stream:
        event = stream.event()
    assert event.keys() == {"retry", "id"}
    assert event["id"] == since


def test_a_client_that_was_cut_off_goes_on_with_its_last_event(live: Live, alice: Account) -> None:
    live.create_task(alice, "one")
    beginning = live.token(alice)
    live.create_task(alice, "two")
    with streaming(live, alice) as stream:
        last = stream.event()["id"]
    live.create_task(alice, "three")
    with streaming(live, alice, f"?since={beginning}", Last_Event_ID=last) as stream:
        assert titles(stream.event()) == ["three"]


@pytest.mark.parametrize("last", ["x", "a" * 201, "\xe4", "VhH0rXyHbqCvMw0uFQk5nTgtMA="])
def test_what_is_no_token_is_refused_as_the_last_event(
    live: Live, alice: Account, last: str
) -> None:
    with streaming(live, alice, "", Last_Event_ID=last) as stream:
        assert stream.response.status == 422
        problem = stream.json()
    assert problem["type"] == "/problems/validation-failed"
    assert problem["errors"][0]["header"] == "Last-Event-ID"


def test_another_accounts_last_event_is_gone(live: Live, alice: Account, bob: Account) -> None:
    with streaming(live, alice, "", Last_Event_ID=live.token(bob)) as stream:
        assert stream.response.status == 410
        assert stream.json()["type"] == "/problems/changes-gone"


def test_pages_follow_each_other_at_once_and_then_the_stream_is_held(
    live: Live, alice: Account
) -> None:
    for number in range(7):
        live.create_task(alice, str(number))
    with streaming(live, alice, "?limit=2") as stream:
        events = [stream.event() for _ in range(4)]
        assert [titles(event) for event in events] == [["0", "1"], ["2", "3"], ["4", "5"], ["6"]]
        assert [json.loads(event["data"])["has_more"] for event in events] == [True] * 3 + [False]
        live.create_task(alice, "7")
        assert titles(stream.event()) == ["7"]


def test_a_page_of_a_megabyte_comes_whole(live: Live, alice: Account) -> None:
    long = {"description": "\xfc" * 5000}
    operations = [
        {"op": "create", "type": "task", "id": new_id(), "body": {"title": str(n), **long}}
        for n in range(100)
    ]
    for start in range(0, 100, 25):
        live.call(alice, "POST", "/v1/batch", {"operations": operations[start : start + 25]})
    with streaming(live, alice, "?limit=1000") as stream:
        assert titles(stream.event()) == [str(number) for number in range(100)]
        live.create_task(alice, "last")
        assert titles(stream.event()) == ["last"]


def test_whoever_prefers_json_gets_it(live: Live, alice: Account) -> None:
    for accept in ("*/*", "application/json", "application/json, text/event-stream", "text/html"):
        with Waiting(live.pushpin.url, alice.token, "/v1/changes", Accept=accept) as answer:
            assert answer.headers["content-type"] == "application/json"
            assert answer.json()["items"] == []


@pytest.mark.longest
def test_what_is_held_is_kept_alive_and_asks_for_nothing(
    live: Live, alice: Account, bob: Account
) -> None:
    before = live.pushpin.holds()
    with streaming(live, alice) as stream, streaming(live, bob) as other:
        stream.event(), other.event()
        held(live, before, 2)
        settled(live, alice, bob)
        asked = [live.asked(user) for user in (alice, bob)]
        assert stream.comment() == other.comment() == ": keep-alive"  # 20 seconds later
        assert [live.asked(user) for user in (alice, bob)] == asked


def test_the_writes_of_others_are_not_told(live: Live, alice: Account, bob: Account) -> None:
    before = live.pushpin.holds()
    with streaming(live, alice) as stream, streaming(live, bob) as other:
        stream.event(), other.event()
        held(live, before, 2)
        settled(live, alice, bob)
        asked = live.asked(alice)
        for _ in range(3):
            live.create_task(bob)
        other.event()
        until(lambda: live.hints(bob) >= 2)
    assert live.asked(alice) == asked
    assert live.hints(alice) == 0


def test_a_user_is_told_of_at_most_once_a_second(live: Live, alice: Account) -> None:
    started = time.monotonic()
    for _ in range(60):
        live.create_task(alice)
    taken = time.monotonic() - started
    hints = live.hints(alice)
    assert 1 <= hints <= taken + 2
    until(lambda: live.hints(alice) > hints)  # one more follows the last write


def test_whoever_is_told_at_once_reads_their_own_pages_alone(live: Live, auth: Any) -> None:
    users = [auth() for _ in range(20)]
    before = live.pushpin.holds()
    with ExitStack() as stack:
        streams = [stack.enter_context(streaming(live, user)) for user in users]
        for stream in streams:
            stream.event()
        held(live, before, len(users))
        for number in range(3):
            write = partial(live.create_task, title=str(number))
            with ThreadPoolExecutor(len(users)) as threads:
                tasks = [*threads.map(write, users)]
            for stream, task in zip(streams, tasks, strict=True):
                items = json.loads(stream.event()["data"])["items"]
                assert [item["id"] for item in items] == [task["id"]]


# Who may read on


def signed_in(live: Live, user: Account) -> tuple[Account, str]:
    """The user with the tokens of a sign-in, and the id of its session."""
    body = {"email": user.email, "password": PASSWORD}
    pair = live.call(user, "POST", "/v1/auth/token", body)
    signed = user._replace(token=pair["access_token"])
    (session,) = [
        each for each in live.call(signed, "GET", "/v1/sessions")["items"] if each["current"]
    ]
    return signed, session["id"]


def test_ending_a_session_ends_its_stream_and_no_other(live: Live, alice: Account) -> None:
    (one, session), (two, _) = signed_in(live, alice), signed_in(live, alice)
    before = live.pushpin.holds()
    with streaming(live, one) as ended, streaming(live, two) as kept:
        ended.event(), kept.event()
        held(live, before, 2)
        live.call(two, "DELETE", f"/v1/sessions/{session}")
        assert ended.event() == {}
        live.create_task(two)
        assert titles(kept.event()) == ["Buy milk"]
    with streaming(live, one) as refused:
        assert refused.response.status == 401


def test_revoking_a_personal_token_ends_its_stream(live: Live, alice: Account) -> None:
    body = {"name": "A script", "scopes": ["tasks:read"]}
    made = live.call(alice, "POST", "/v1/tokens", body)
    before = live.pushpin.holds()
    with streaming(live, alice._replace(token=made["token"])) as stream:
        stream.event()
        held(live, before)
        live.call(alice, "DELETE", f"/v1/tokens/{made['id']}")
        assert stream.event() == {}


def test_a_disabled_account_reads_nothing_more(live: Live, alice: Account, connection: Any) -> None:
    before = live.pushpin.holds()
    with streaming(live, alice) as stream:
        stream.event()
        held(live, before)
        live.create_task(alice)
        assert titles(stream.event()) == ["Buy milk"]
        with connection.cursor() as cursor:
            cursor.execute("update users set disabled_at = now() where id = %s", (alice.user_id,))
        live.hint(alice)
        assert stream.event() == {}


def test_after_the_end_of_its_access_token_a_stream_gets_nothing_more(
    live: Live, alice: Account, app: Any
) -> None:
    end = time.time() + 3
    brief = app.extensions["token_verifier"].issue(alice.user_id, seconds=3)
    before = live.pushpin.holds()
    with streaming(live, alice._replace(token=brief)) as stream:
        assert stream.event()
        held(live, before)
        until(lambda: time.time() > end)
        live.create_task(alice)
        assert stream.event() == {}


def test_what_a_client_says_of_grip_itself_changes_nothing(live: Live, alice: Account) -> None:
    live.create_task(alice)
    lies = {"Grip_Sig": "forged", "Grip_Hold": "stream", "Grip_Last": "x", "Grip_Channel": "x"}
    with streaming(live, alice, **lies) as stream:
        assert titles(stream.event()) == ["Buy milk"]
    with Waiting(live.base, alice.token, "/v1/changes", Accept="text/event-stream", **lies) as it:
        assert it.response.status == 406
        assert it.json()["type"] == "/problems/not-acceptable"


# What fails


def holds(live: Live, user: Account) -> bool:
    """Whether Pushpin holds streams; its parts have yet to find each other at first."""
    with suppress(OSError, HTTPException), streaming(live, user) as stream:
        return bool(stream.event())
    return False


def test_a_client_misses_nothing_while_pushpin_is_away(own: Live, alice: Account) -> None:
    with streaming(own, alice) as stream:
        last = stream.event()["id"]
        own.pushpin.stop()
        with suppress(OSError, HTTPException):
            assert stream.event() == {}
    own.create_task(alice, "meanwhile")
    own.pushpin.start()
    until(lambda: holds(own, alice))
    with streaming(own, alice, "", Last_Event_ID=last) as stream:
        assert titles(stream.event()) == ["meanwhile"]
        own.create_task(alice, "later")
        assert titles(stream.event()) == ["later"]


def test_those_who_wait_are_served_by_the_next_release(
    own: Live, alice: Account, database_url: str, tmp_path: Any
) -> None:
    before = own.pushpin.holds()
    port = int(own.base.rpartition(":")[2])
    with streaming(own, alice) as stream, polling(own, alice, own.token(alice)) as poll:
        stream.event()
        held(own, before, 2)
        own.program.process.terminate()
        assert own.program.process.wait(60) == 0
        settings = {"DATABASE_URL": database_url, "GRIP_URL": own.pushpin.grip_url}
        with served(tmp_path / "log", port, **settings, WEB_CONCURRENCY="1"):
            own.create_task(alice)
            assert titles(stream.event()) == ["Buy milk"]
            assert len(poll.json()["items"]) == 1


def test_a_frozen_pushpin_delays_no_write_and_hints_are_counted_as_dropped(
    own: Live, alice: Account
) -> None:
    own.pushpin.send(signal.SIGSTOP)
    try:
        for _ in range(20):
            own.create_task(alice)
        until(lambda: dropped(own) > 0)
    finally:
        own.pushpin.send(signal.SIGCONT)
    warnings = [line for line in own.log.read_text().splitlines() if '"WARNING"' in line]
    assert len([line for line in warnings if "Pushpin was not told" in line]) == 1
    with streaming(own, alice) as stream:
        assert len(titles(stream.event())) == 20


def dropped(live: Live) -> float:
    return scraped(live.base).sum("tasks_live_hints_total", outcome="dropped")


# Without Pushpin


def test_without_pushpin_a_stream_is_refused_with_the_reason(server: str, alice: Account) -> None:
    with Waiting(server, alice.token, "/v1/changes", Accept="text/event-stream") as answer:
        assert answer.response.status == 406
        problem = answer.json()
    assert problem["type"] == "/problems/not-acceptable"
    assert "Pushpin" in problem["detail"]
    assert "wait" in problem["detail"]


# As the page sets it up


def page_of_operators() -> list[str]:
    """The blocks of the page for HAProxy's configuration."""
    page = (ROOT / "docs" / "operations" / "pushpin.md").read_text()
    return re.findall(r"^```haproxy\n(.*?)^```$", page, re.M | re.S)


@contextmanager
def balanced(service: int, pushpin: Pushpin, pushpins_way: int) -> Iterator[HAProxy]:
    """HAProxy as it is shipped, with what the page adds to it."""
    frontend, end = page_of_operators()
    end = end.replace("127.0.0.1:7999", f"127.0.0.1:{pushpin.port}")
    end = end.replace("127.0.0.1:8001", f"127.0.0.1:{pushpins_way}")

    def edit(shipped: str) -> str:
        before, default, after = shipped.partition("    default_backend instances\n")
        return f"{before}{frontend}{default}{after}\n{end}"

    with HAProxy(service, edit=edit) as balancer:
        yield balancer


def test_the_service_sees_clients_as_haproxy_does_through_pushpin() -> None:
    way = free_port()
    lies = {"X_Forwarded_For": "192.0.2.1", "X_Forwarded_Proto": "https", "Grip_Sig": "forged"}
    with (
        listening() as instance,
        Pushpin(way) as pushpin,
        balanced(instance.server_port, pushpin, way) as balancer,
    ):
        for path in ("/v1/changes", "/v1/tasks"):
            with Waiting(balancer.url, "token", path, **lies) as answer:
                assert answer.response.status == 200
    changes, tasks = (
        {name.lower(): value for name, value in headers.items()} for _, headers in instance.seen
    )
    for told in (changes, tasks):
        assert told["x-forwarded-for"] == "127.0.0.1"
        assert told["x-forwarded-proto"] == "http"
        assert told["x-forwarded-host"] == "localhost"
        assert told["authorization"] == "Bearer token"
    assert jwt.decode(changes["grip-sig"], KEY, algorithms=["HS256"])["iss"] == "pushpin"
    assert tasks["grip-sig"] == "forged"  # which counts for nothing


def test_changes_come_through_haproxy_and_pushpin(
    database_url: str, alice: Account, tmp_path: Any
) -> None:
    way, port = free_port(), free_port()
    with Pushpin(way) as pushpin:
        settings = {"DATABASE_URL": database_url, "GRIP_URL": pushpin.grip_url, **TOGETHER}
        settings |= {"TRUSTED_PROXIES": "1", "RATELIMIT_PER_ADDRESS": "1000"}
        with (
            served(tmp_path / "log", port, **settings) as (base, program),
            balanced(port, pushpin, way) as balancer,
        ):
            live = Live(pushpin, base, tmp_path / "log", program)
            accept = {"Accept": "text/event-stream"}
            with Waiting(balancer.url, alice.token, "/v1/changes", **accept) as stream:
                stream.event()
                held(live, 0)
                live.create_task(alice)
                assert titles(stream.event()) == ["Buy milk"]
                assert stream.comment() == ": keep-alive"


def test_one_address_has_a_hundred_who_wait() -> None:
    with (
        socket.create_server(("127.0.0.1", 0), backlog=200) as silent,
        listening() as instance,
        Pushpin(silent.getsockname()[1]) as pushpin,
        balanced(instance.server_port, pushpin, free_port()) as balancer,
        connections(balancer.url, 100, CHANGES),
    ):
        until(lambda: pushpin.printed().count("GET http://localhost/v1/changes") == 100)
        assert ask(balancer.url, CHANGES)[0] == 429
        assert ask(balancer.url, CHANGES.replace(b"/changes", b"/tasks"))[0] == 200
