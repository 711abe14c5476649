"""Rate limits: so many requests a minute from one user and from one address, as answers tell."""

import io
import re
import socket
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any

import pytest
from apiflask import APIFlask
from werkzeug.test import TestResponse

from app import create_app
from app.auth.personal_tokens import PersonalToken
from app.core.ids import new_id
from app.core.problems import Problem
from app.web import counters, request_limits, shared_counts
from app.web.counters import Latest, PresentMinute
from app.web.networks import network
from app.web.shared_counts import Shared
from app.web.sign_in_limits import failed_sign_ins
from tests.conftest import Account, settings_for
from tests.parallel import at_once
from tests.redis_server import RedisServer

POLICY = re.compile(r'"(?:user|address)";q=[1-9]\d*;w=60')
STATE = re.compile(r'"(user|address)";r=(\d+);t=([1-9]|[1-5]\d|60)')


Member = Callable[..., Account]


class Clock:
    """The time as the process sees it; it stands still until it is moved."""

    def __init__(self) -> None:
        now = counters.time.time()
        # Ten seconds into this minute: tokens of then are good now, by every other clock.
        self.now, self.moved = now - now % 60 + 10, 0.0
        self.monotonic = counters.time.monotonic()

    def forward(self, seconds: float) -> None:
        self.moved += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Stops every clock of the process."""
    stopped = Clock()
    monkeypatch.setattr(counters.time, "time", lambda: stopped.now + stopped.moved)
    monkeypatch.setattr(counters.time, "monotonic", lambda: stopped.monotonic + stopped.moved)
    return stopped


@pytest.fixture
def limited(database_url: str, clock: Clock) -> Callable[..., APIFlask]:
    """Makes applications with limits, whose minute does not end by itself."""

    def make(user: int = 0, address: int = 0, **environment: str) -> APIFlask:
        given = {"RATELIMIT_PER_USER": str(user), "RATELIMIT_PER_ADDRESS": str(address)}
        return create_app(settings_for(database_url, **given, **environment))

    return make


@pytest.fixture
def member(limited: Callable[..., APIFlask], auth: Callable[..., Account]) -> Member:
    """Makes users of applications with limits."""
    return lambda **limits: auth(limited(**limits))


def comes_from(address: str) -> dict[str, Any]:
    return {"environ_overrides": {"REMOTE_ADDR": address}}


def told(answer: TestResponse) -> tuple[str, int, int]:
    """The limit that is nearest, what is left of it, and for how many seconds."""
    match = STATE.fullmatch(answer.headers["RateLimit"])
    assert match, answer.headers["RateLimit"]
    return match[1], int(match[2]), int(match[3])


def refused(answer: TestResponse, whose: str) -> bool:
    """Whether there was one request too many of this user or address."""
    if answer.status_code != 429:
        return False
    assert answer.mimetype == "application/problem+json"
    assert answer.json["type"] == "/problems/too-many-requests"
    assert f"from one {whose}" in answer.json["detail"]
    name, left, seconds = told(answer)
    assert (name, left, str(seconds)) == (whose, 0, answer.headers["Retry-After"])
    return True


# Whose requests


def test_a_user_has_so_many_requests_a_minute(member: Member) -> None:
    user = member(user=3)
    answers = [user.get("/v1/tasks") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200] * 3
    assert [told(answer)[1] for answer in answers] == [2, 1, 0]
    assert refused(user.get("/v1/tasks"), "user")


def test_requests_are_counted_by_user_whichever_token_they_come_with(member: Member) -> None:
    user = member(user=5)
    scripts = [user._replace(token=user.create_token()["token"]) for _ in range(2)]
    answers = [caller.get("/v1/tasks") for caller in (user, *scripts)]
    assert [told(answer)[1] for answer in answers] == [2, 1, 0]
    assert all(refused(caller.get("/v1/tasks"), "user") for caller in (user, *scripts))


@pytest.mark.parametrize("amount", [50, 620])
def test_an_address_has_fewer_passwords_hashed_than_it_has_requests(
    limited: Callable[..., APIFlask], monkeypatch: pytest.MonkeyPatch, amount: int
) -> None:
    monkeypatch.setattr(request_limits, "LEAST_PASSWORDS", 5)  # each costs a twentieth of a second
    monkeypatch.setattr(request_limits, "PASSWORD_SHARE", 100)
    client = limited(address=amount).test_client()
    most = max(5, amount // 100)

    def sign_up() -> TestResponse:
        body = {"email": f"{new_id()}@example.com", "password": "correct horse battery"}
        return client.post("/v1/auth/register", json=body)

    assert [sign_up().status_code for _ in range(most)] == [201] * most
    answer = sign_up()
    assert (answer.status_code, answer.json["type"]) == (429, "/problems/too-many-requests")
    assert f"At most {most} passwords" in answer.json["detail"]
    assert int(answer.headers["Retry-After"]) > 0
    assert client.post("/v1/auth/token", json={}).status_code == 422  # nothing is hashed
    assert client.get("/v1/tasks").status_code == 401


def test_a_guess_at_a_token_does_not_count_against_the_user_whom_it_names(member: Member) -> None:
    user = member(user=1)
    guess = user._replace(token=str(PersonalToken(user.user_id, bytes(24))))
    assert [guess.get("/v1/tasks").status_code for _ in range(3)] == [401] * 3
    assert user.get("/v1/tasks").status_code == 200


def test_the_next_minute_begins_anew(member: Member, clock: Clock) -> None:
    user = member(user=1)
    assert told(user.get("/v1/me")) == ("user", 0, 50)
    clock.forward(49)
    answer = user.get("/v1/me")
    assert refused(answer, "user")
    assert answer.headers["Retry-After"] == "1"
    clock.forward(1)
    assert told(user.get("/v1/me")) == ("user", 0, 60)


def test_one_users_requests_are_not_anothers(
    limited: Callable[..., APIFlask], auth: Callable[..., Account]
) -> None:
    application = limited(user=1)
    one, other = auth(application), auth(application)
    assert one.get("/v1/me").status_code == 200
    assert refused(one.get("/v1/me"), "user")
    assert other.get("/v1/me").status_code == 200


def test_a_user_has_no_more_from_several_addresses_and_with_several_tokens(member: Member) -> None:
    user = member(user=2)
    again = user.client.application.extensions["token_verifier"].issue(user.user_id, seconds=300)
    assert user.get("/v1/me", **comes_from("192.0.2.1")).status_code == 200
    assert user.get("/v1/me", **comes_from("192.0.2.2")).status_code == 200
    assert refused(user._replace(token=again).get("/v1/me", **comes_from("192.0.2.3")), "user")


def test_an_address_has_so_many_requests_whoever_sends_them_and_for_what(
    limited: Callable[..., APIFlask], auth: Callable[..., Account]
) -> None:
    application = limited(address=7)
    one, other = auth(application), auth(application)
    client = application.test_client()
    answers = [
        one.get("/v1/me"),
        other.get("/v1/me"),
        client.get("/v1/me"),
        client.get("/v1/me", headers={"Authorization": "Bearer x"}),
        client.post("/v1/auth/token", json={}),
        client.get("/v1/nothing"),
        client.delete("/v1/tasks"),
    ]
    statuses = [answer.status_code for answer in answers]
    assert statuses == [200, 200, 401, 401, 422, 404, 405]
    assert [told(answer)[:2] for answer in answers] == [
        ("address", left) for left in (6, 5, 4, 3, 2, 1, 0)
    ]
    for who in (one, other):
        assert refused(who.get("/v1/tasks"), "address")
    assert refused(client.get("/v1/nothing"), "address")
    assert one.get("/v1/me", **comes_from("192.0.2.7")).status_code == 200


def test_a_preflight_counts_for_its_address(limited: Callable[..., APIFlask]) -> None:
    client = limited(user=1, address=1, CORS_ORIGINS="https://app.example.com").test_client()
    asks = {"Origin": "https://app.example.com", "Access-Control-Request-Method": "GET"}
    assert client.options("/v1/tasks", headers=asks).status_code == 200
    assert refused(client.options("/v1/tasks", headers=asks), "address")


def test_an_address_past_its_limit_has_no_token_verified_and_no_statement_sent(
    limited: Callable[..., APIFlask],
    auth: Callable[..., Account],
    sql: Callable[[], Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    user = auth(limited(address=1))
    assert user.client.get("/v1/me").status_code == 401
    monkeypatch.delattr(type(user.client.application.extensions["token_verifier"]), "verify")
    with sql() as sent:
        assert refused(user.post("/v1/tasks", json={"title": "Buy milk"}), "address")
    assert sent == []


def test_a_forged_token_counts_for_no_user(member: Member) -> None:
    user = member(user=1)
    forged = user._replace(token=user.token[:-5] + "AAAAA")
    for _ in range(3):
        assert forged.get("/v1/me").status_code == 401
    assert user.get("/v1/me").status_code == 200


def test_a_replay_counts_as_any_request(member: Member) -> None:
    user = member(user=2)
    options = {"json": {"title": "Buy milk"}, "headers": {"Idempotency-Key": "once"}}
    assert told(user.post("/v1/tasks", **options))[1] == 1
    replayed = user.post("/v1/tasks", **options)
    assert replayed.headers["Idempotency-Replayed"] == "true"
    assert told(replayed)[1] == 0
    assert refused(user.post("/v1/tasks", **options), "user")


# What a request weighs


def of_length(length: int) -> bytes:
    """The body of a new task, of so many bytes."""
    body = b'{"title": "Buy milk"}'
    return body + b" " * (length - len(body))


def create(user: Account, length: int, **options: Any) -> TestResponse:
    body = of_length(length)
    return user.post("/v1/tasks", data=body, content_type="application/json", **options)


@pytest.mark.parametrize(
    ("length", "weight"), [(30, 1), (9999, 1), (16_384, 1), (16_385, 2), (32_769, 3), (1048576, 64)]
)
def test_a_request_counts_once_more_for_each_further_16_kib_of_its_body(
    limited: Callable[..., APIFlask], auth: Callable[..., Account], length: int, weight: int
) -> None:
    answer = create(auth(limited(user=100)), length)
    assert answer.status_code == 201
    assert told(answer)[1] == 100 - weight


def test_a_minute_takes_no_more_bytes_than_its_requests_weigh(member: Member, clock: Clock) -> None:
    user = member(user=10)
    assert [create(user, 65_536).status_code for _ in range(2)] == [201, 201]
    answer = create(user, 65_536)
    assert refused(answer, "user")
    assert "counts as 4" in answer.json["detail"]
    clock.forward(60)
    assert create(user, 65_536).status_code == 201


def test_a_body_that_outweighs_a_whole_minute_is_taken_once_in_it(
    member: Member, clock: Clock
) -> None:
    user = member(user=5)
    assert create(user, 1_000_000).status_code == 201
    assert refused(create(user, 30), "user")
    clock.forward(60)
    assert create(user, 1_000_000).status_code == 201


def test_a_body_of_unknown_length_weighs_what_was_read_of_it(member: Member) -> None:
    user = member(user=5)

    def send() -> TestResponse:
        chunked = {"Transfer-Encoding": "chunked"}
        options = {"content_type": "application/json", "headers": chunked}
        body = io.BytesIO(of_length(50_000))
        terminated = {"wsgi.input_terminated": True}
        return user.post("/v1/tasks", input_stream=body, environ_overrides=terminated, **options)

    first = send()
    assert first.status_code == 201, first.text
    assert told(first)[1] == 1
    assert send().status_code == 429


@pytest.mark.parametrize("path", ["/health", "/health/db", "/openapi.json", "/docs", "/problems/x"])
def test_health_and_documents_are_never_limited(
    limited: Callable[..., APIFlask], path: str
) -> None:
    client = limited(user=1, address=1).test_client()
    for _ in range(3):
        answer = client.get(path)
        assert answer.status_code != 429
        assert "RateLimit" not in answer.headers


def test_no_limit_is_none(limited: Callable[..., APIFlask], auth: Callable[..., Account]) -> None:
    user = auth(limited())
    for _ in range(20):
        answer = user.get("/v1/me")
        assert answer.status_code == 200
        assert "RateLimit" not in answer.headers
        assert "RateLimit-Policy" not in answer.headers


@pytest.mark.usefixtures("clock")
def test_threads_that_count_at_once_count_each_request_once() -> None:
    present = PresentMinute()
    counts = at_once([lambda: [present.hit("someone") for _ in range(500)]] * 20)
    assert sorted(chain.from_iterable(counts)) == list(range(1, 10_001))


# What clients are told


@pytest.mark.parametrize(
    ("method", "path", "options", "status"),
    [
        ("GET", "/v1/tasks", {}, 200),
        ("POST", "/v1/tasks", {"json": {"title": "Buy milk"}}, 201),
        ("GET", "/v1/tasks?limit=0", {}, 422),
        ("GET", "/v1/tasks?q=%ff", {}, 400),
        ("GET", "/v1/me", {"headers": {"Host": "a<b"}}, 400),
        ("GET", "/v1/me", {"headers": {"Authorization": "Bearer x"}}, 401),
        ("GET", "/v1/tasks/00000000-0000-7000-8000-000000000000", {}, 404),
        ("GET", "/v1/elsewhere", {}, 404),
        ("PUT", "/v1/tasks", {}, 405),
        ("PATCH", "/v1/me", {"json": {}, "headers": {"If-Match": '"99"'}}, 412),
        ("POST", "/v1/tasks", {"data": "a=b"}, 415),
        ("GET", "/v1/broken", {}, 500),
    ],
)
def test_every_answer_tells_what_is_left(
    limited: Callable[..., APIFlask],
    auth: Callable[..., Account],
    method: str,
    path: str,
    options: dict[str, Any],
    status: int,
) -> None:
    application = limited(user=100, address=100)

    @application.get("/v1/broken")
    def broken() -> str:
        raise RuntimeError("broken")

    answer = auth(application).call(method, path, **options)
    assert answer.status_code == status, answer.text
    assert told(answer)[1] == 99
    policies = answer.headers["RateLimit-Policy"].split(", ")
    assert all(POLICY.fullmatch(policy) for policy in policies)
    assert "Retry-After" not in answer.headers


def test_the_limit_that_is_nearest_is_told_and_all_that_were_met(
    limited: Callable[..., APIFlask], auth: Callable[..., Account]
) -> None:
    application = limited(user=5, address=7)
    one, other = auth(application), auth(application)
    answers = [who.get("/v1/me") for who in (one, one, other, other, one, other)]
    told_of = [told(answer)[:2] for answer in answers]
    assert told_of == [*(("user", left) for left in (4, 3, 4, 3, 2)), ("address", 1)]
    assert {answer.headers["RateLimit-Policy"] for answer in answers} == {
        '"address";q=7;w=60, "user";q=5;w=60'
    }
    stranger = application.test_client().get("/v1/me")
    assert stranger.headers["RateLimit-Policy"] == '"address";q=7;w=60'


# Addresses


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8::1", "2001:db8::ffff:ffff:ffff:ffff", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("fe80::1%eth0", "fe80::2%eth0", True),
        ("192.0.2.1", "192.0.2.1:40000", True),
        ("192.0.2.1:_hidden", ' "192.0.2.1" ', True),
        ("[2001:db8::1]", "2001:db8::1", True),
        ("[2001:DB8::1]:_port", '"[2001:db8::2]:80"', True),
        ("[2001:db8::1]:80", "[2001:db8:0:1::1]:80", False),
        ("2001:db8:0:0:0:0:0:1:4001", "2001:db8::1", True),
        ("[::ffff:192.0.2.1]:4001", "192.0.2.1", True),
        ("::ffff:192.0.2.1:4001", "192.0.2.1", True),
        ("::FFFF:C000:0201", "192.0.2.1", True),
        ("[fe80::1%25eth0]:80", "fe80::1%eth1", True),
        ("", "unix:", False),
        ("unknown", "unknown", True),
    ],
)
def test_an_address_is_a_host_or_what_one_subscriber_has_of_ipv6(
    one: str, other: str, same: bool
) -> None:
    assert (network(one) == network(other)) is same


@pytest.mark.parametrize(
    "form",
    [
        *("192.0.2.7:400{}", "[2001:db8::7]:400{}", "[2001:db8::{}]", '"[2001:DB8::7]:400{}"'),
        *("[::ffff:192.0.2.7]:400{}", "[fe80::1%{}]", '"{}, 192.0.2.1'),
        # What is no address is one client as well.
        *("unknown{}", "_hidden{}", "1.2.3.{}00", "{}", "'1.2.3.{}", "[{}", "x{}" * 1000),
        *("::{}::", "%{}"),
    ],
    ids=lambda form: form[:16],
)
def test_a_client_is_one_however_the_proxy_writes_its_address(
    limited: Callable[..., APIFlask], form: str
) -> None:
    client = limited(address=2, TRUSTED_PROXIES="1").test_client()
    nodes = [form.replace("{}", str(number)) for number in range(3, 6)]
    answers = [client.get("/v1/me", headers={"X-Forwarded-For": node}) for node in nodes]
    assert [answer.status_code for answer in answers] == [401, 401, 429], nodes


# Memory


def test_the_addresses_of_a_minute_are_forgotten_with_it(clock: Clock) -> None:
    present = PresentMinute()
    for number in range(10_000):
        present.hit(f"address:{number}")
    assert len(present.counts) == 10_000
    assert all(type(count) is int for count in present.counts.values())
    clock.forward(60)
    assert present.hit("address:1") == 1
    assert len(present.counts) == 1


def test_failed_sign_ins_are_forgotten_after_a_minute(clock: Clock) -> None:
    last = Latest(10, 60)
    for number in range(1000):
        last.hit(f"account:{number}")
    for _ in range(100):
        last.hit("account:0")
    assert len(last.times["account:0"]) == 10
    clock.forward(61)
    last.hit("account:1")
    assert list(last.times) == ["account:1"]


def test_a_key_is_held_back_until_its_tenth_last_time_is_a_minute_old(clock: Clock) -> None:
    last = Latest(10, 60)
    for _ in range(9):
        last.hit("someone")
        clock.forward(1)
    assert last.wait("someone") == 0
    last.hit("someone")
    assert last.wait("someone") == pytest.approx(51)
    clock.forward(51)
    assert last.wait("someone") == 0
    assert last.wait("nobody") == 0


# In Redis


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with RedisServer.running() as server:
        yield server


def test_all_processes_count_together_in_redis(
    limited: Callable[..., APIFlask], auth: Callable[..., Account], redis: RedisServer
) -> None:
    here, there = (limited(user=4, RATELIMIT_STORAGE_URI=redis.url) for _ in range(2))
    user = auth(here)
    elsewhere = user._replace(client=there.test_client())
    answers = [who.get("/v1/me") for who in (user, elsewhere, user, elsewhere)]
    assert [told(answer)[1] for answer in answers] == [3, 2, 1, 0]
    assert refused(user.get("/v1/me"), "user")
    assert refused(elsewhere.get("/v1/me"), "user")


def test_a_count_is_one_round_trip_to_redis_and_one_key_of_a_minute(
    limited: Callable[..., APIFlask], auth: Callable[..., Account], redis: RedisServer
) -> None:
    user = auth(limited(user=100, address=100, RATELIMIT_STORAGE_URI=redis.url))
    address = comes_from("2001:db8:77::1")
    user.get("/v1/me", **address)
    before = redis.client.info("commandstats")["cmdstat_evalsha"]["calls"]
    for _ in range(5):
        user.get("/v1/me", **address)
    assert redis.client.info("commandstats")["cmdstat_evalsha"]["calls"] == before + 2 * 5
    keys = [key for key in redis.client.scan_iter() if user.user_id in key.decode()]
    keys += [key for key in redis.client.scan_iter() if b"2001:0db8:0077" in key]
    assert len(keys) == 2
    assert all(0 < redis.client.ttl(key) <= 60 for key in keys)
    assert {redis.client.get(key) for key in keys} == {b"6"}


def test_a_long_body_is_one_round_trip_to_redis_too(
    limited: Callable[..., APIFlask], auth: Callable[..., Account], redis: RedisServer
) -> None:
    here, there = (limited(user=100, RATELIMIT_STORAGE_URI=redis.url) for _ in range(2))
    user = auth(here)
    elsewhere = user._replace(client=there.test_client())
    assert told(user.get("/v1/me"))[1] == 99
    before = redis.client.info("commandstats")["cmdstat_evalsha"]["calls"]
    assert told(create(user, 100_000))[1] == 92
    assert redis.client.info("commandstats")["cmdstat_evalsha"]["calls"] == before + 1
    assert told(create(elsewhere, 1_000_000))[1] == 30
    assert refused(create(user, 1_000_000), "user")


def test_failed_sign_ins_are_counted_in_redis_and_forgotten_there(
    clock: Clock, redis: RedisServer
) -> None:
    here, there = (failed_sign_ins(Shared(redis.url)) for _ in range(2))
    for _ in range(5):
        here.count(["account:x"])
        there.count(["account:x"])
    for counts in (here, there):
        with pytest.raises(Problem) as stopped:
            counts.check(["account:x"])
        assert 1 <= int(stopped.value.headers["Retry-After"]) <= 60
    (key,) = [key for key in redis.client.scan_iter() if b"account:x" in key]
    assert 0 < redis.client.ttl(key) <= 60
    assert redis.client.llen(key) == 10


def test_while_redis_is_away_this_process_counts_and_no_request_fails(
    limited: Callable[..., APIFlask],
    auth: Callable[..., Account],
    clock: Clock,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with RedisServer.running() as server:
        user = auth(limited(user=3, RATELIMIT_STORAGE_URI=server.url))
        assert told(user.get("/v1/me"))[1] == 2
        server.stop()
        assert [told(user.get("/v1/me"))[1] for _ in range(3)] == [2, 1, 0]
        assert refused(user.get("/v1/me"), "user")
        logged = capsys.readouterr().out
        assert logged.count("the storage of rate limits is away") == 1
        assert "open-sesame" not in logged
        server.start()
        assert refused(user.get("/v1/me"), "user"), "asked again only after ten seconds"
        clock.forward(shared_counts.AWAY_SECONDS)
        assert told(user.get("/v1/me"))[1] == 2


def test_a_redis_that_refuses_the_password_is_one_that_is_away(
    limited: Callable[..., APIFlask],
    auth: Callable[..., Account],
    redis: RedisServer,
    capsys: pytest.CaptureFixture[str],
) -> None:
    wrong = redis.url.replace("open-sesame", "wrong-hidden")
    user = auth(limited(user=1, RATELIMIT_STORAGE_URI=wrong))
    assert user.get("/v1/me").status_code == 200
    assert refused(user.get("/v1/me"), "user")
    logged = capsys.readouterr().out
    assert logged.count("the storage of rate limits is away") == 1
    assert "hidden" not in logged


def test_a_storage_that_never_answers_is_asked_by_one_request_at_a_time(clock: Clock) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        shared = Shared(f"redis://127.0.0.1:{silent.getsockname()[1]}/0")
        here = PresentMinute()
        assert shared.ask(request_limits._count, here.hit, "someone") == 1
        clock.forward(shared_counts.AWAY_SECONDS)
        asked: list[str] = []

        def question(_redis: object, key: str) -> int:
            asked.append(key)
            # Whoever comes while it is asked goes on at once.
            return shared.ask(question, here.hit, key)

        assert shared.ask(question, here.hit, "someone") == 2
        assert asked == ["someone"]
