"""Signing in tells nothing to whoever guesses, and lets them guess ten times a minute."""

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any

import pytest
from apiflask import APIFlask
from argon2 import PasswordHasher
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from app import create_app
from app.api.users import routes
from app.auth import passwords
from app.auth.passwords import Check
from app.core import deadline
from app.core.config import ConfigurationError, Settings
from app.core.ids import new_id
from app.core.places import hashes_at_once
from app.web import shared_counts, sign_in_limits
from app.web.shared_counts import Shared
from tests.assertions import refused
from tests.conftest import PASSWORD, Account, insert_user, settings_for
from tests.parallel import at_once
from tests.people import CHEAP_HASH, any_address, give_password, sign_in

pytestmark = pytest.mark.costly

NOBODY = passwords.NOBODY
WRONG = "wrong horse battery"
CREDENTIALS = "/problems/invalid-credentials"


@pytest.fixture
def member(alice: Account, connection: Any) -> Account:
    """A user who can sign in."""
    give_password(connection, alice)
    return alice


@pytest.fixture(autouse=True)
def cheap_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Save the work that hides which accounts there are, where a test is about something else."""
    monkeypatch.setattr(passwords, "NOBODY", ())


def refused_for_a_while(answer: TestResponse) -> bool:
    if answer.status_code != 429:
        return False
    assert answer.mimetype == "application/problem+json"
    assert answer.json["type"] == "/problems/too-many-requests"
    assert 1 <= int(answer.headers["Retry-After"]) <= 60
    return True


def fail(client: FlaskClient, email: str, times: int, **options: Any) -> None:
    for _ in range(times):
        assert sign_in(client, email, WRONG, **options).status_code == 401


# The same for all


def test_an_unknown_address_is_answered_as_a_wrong_password_is(
    client: FlaskClient, member: Account
) -> None:
    known = sign_in(client, member.email, WRONG)
    unknown = sign_in(client, f"nobody-{member.email}", WRONG)
    for answer in (known, unknown):
        assert (answer.status_code, answer.json["type"]) == (401, CREDENTIALS)
        answer.json.pop("instance")
        answer.headers.pop("X-Request-ID")
    assert {**known.json, "instance": None} == {**unknown.json, "instance": None}
    assert dict(known.headers) == dict(unknown.headers)


def test_an_unknown_address_costs_what_a_wrong_password_costs(
    client: FlaskClient,
    member: Account,
    sql: Callable[[], Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compared: list[tuple[str | None, str]] = []

    def note(password_hash: str | None, password: str) -> Check:
        compared.append((password_hash, password))
        return Check(False)

    monkeypatch.setattr(routes, "check_password_hash", note)
    statements = []
    for email in (member.email, f"nobody-{member.email}"):
        with sql() as sent:
            sign_in(client, email, WRONG)
        statements.append(list(sent))
    assert statements[0] == statements[1]
    assert compared == [(CHEAP_HASH, WRONG), (None, WRONG)]


def test_another_issuers_account_cannot_be_signed_in_to(
    client: FlaskClient, alice: Account, connection: Any
) -> None:
    with connection.cursor() as cursor:
        sql = "update users set email = null, password_hash = null where id = %s"
        cursor.execute(sql, (alice.user_id,))
    assert sign_in(client, alice.email).status_code == 401


def test_a_password_that_is_changed_while_it_is_compared_signs_nobody_in(
    client: FlaskClient, member: Account, connection: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    compare = routes.check_password_hash

    def changed_meanwhile(password_hash: str, password: str) -> bool:
        with connection.cursor() as cursor:
            sql = (
                "update users set password_hash = 'another', password_changed_at = now()"
                " where id = %s"
            )
            cursor.execute(sql, (member.user_id,))
        return compare(password_hash, password)

    monkeypatch.setattr(routes, "check_password_hash", changed_meanwhile)
    answer = sign_in(client, member.email)
    assert (answer.status_code, answer.json["type"]) == (401, CREDENTIALS)
    assert member.get("/v1/sessions").json["items"] == []


# Ten a minute


def test_ten_failures_from_one_address_hold_the_eleventh_attempt_back(
    client: FlaskClient, member: Account
) -> None:
    address = any_address()
    for number in range(10):
        fail(client, f"{number}-{member.email}", 1, address=address)
    assert refused_for_a_while(sign_in(client, member.email, address=address))
    assert sign_in(client, member.email).status_code == 200


def test_ten_failures_for_one_account_hold_back_attempts_from_everywhere(
    client: FlaskClient, member: Account, bob: Account, connection: Any
) -> None:
    give_password(connection, bob)
    address = any_address()
    fail(client, member.email, 10)
    assert refused_for_a_while(sign_in(client, member.email, address=address))
    assert sign_in(client, bob.email, address=address).status_code == 200


def test_an_account_that_does_not_exist_is_held_back_like_one_that_does(
    client: FlaskClient, member: Account
) -> None:
    fail(client, f"nobody-{member.email}", 10)
    assert refused_for_a_while(sign_in(client, f"nobody-{member.email}"))


def test_no_letter_case_of_an_address_gets_ten_more(client: FlaskClient, member: Account) -> None:
    fail(client, member.email, 5)
    fail(client, member.email.upper(), 5)
    assert refused_for_a_while(sign_in(client, member.email.title(), WRONG))


def test_a_letter_that_the_database_lowers_to_another_is_no_way_around_the_limit(
    client: FlaskClient, member: Account, connection: Any
) -> None:
    email = f"ines-{member.email}"
    with connection.cursor() as cursor:
        insert_user(cursor, new_id(), email)
    assert sign_in(client, email.upper()).status_code == 200
    # PostgreSQL's lower() makes a plain i of it; Python's adds a dot.
    assert refused(sign_in(client, email.replace("i", "\u0130", 1)), "email", pointer="/email")


def register(
    client: FlaskClient, email: str, password: str, key: str, address: str = "", **fields: str
) -> TestResponse:
    return client.post(
        "/v1/auth/register",
        json={"email": email, "password": password, **fields},
        headers={"Idempotency-Key": key},
        environ_overrides={"REMOTE_ADDR": address or any_address()},
    )


def is_conflict(answer: TestResponse) -> bool:
    return (answer.status_code, answer.json["type"]) == (409, "/problems/conflict")


@pytest.fixture
def registered(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of an account that was registered with the key `sign-up`."""
    monkeypatch.setattr(routes, "generate_password_hash", lambda _: CHEAP_HASH)
    email = f"{new_id()}@example.com"
    assert register(client, email, PASSWORD, "sign-up").status_code == 201
    return email


@pytest.mark.parametrize("by", ["account", "address"])
def test_guesses_with_the_key_of_a_registration_are_failed_sign_ins(
    client: FlaskClient, registered: str, by: str
) -> None:
    address = any_address()
    for _ in range(10):
        guess = register(client, registered, WRONG, "sign-up", address)
        assert is_conflict(guess)
    who = {"account": "", "address": address}[by]
    right = register(client, registered, PASSWORD, "sign-up", who)
    assert refused_for_a_while(right)
    assert refused_for_a_while(sign_in(client, registered, address=who))


def test_failed_sign_ins_hold_back_guesses_with_the_key_of_a_registration(
    client: FlaskClient, registered: str
) -> None:
    fail(client, registered, 10)
    assert refused_for_a_while(register(client, registered, PASSWORD, "sign-up"))


def test_a_guess_is_told_nothing_of_whether_the_key_was_used(
    client: FlaskClient, registered: str
) -> None:
    for key in ("sign-up", "another"):
        address = any_address()
        answers = [register(client, registered, WRONG, key, address) for _ in range(5)]
        assert all(map(is_conflict, answers))
        assert len({answer.json["detail"] for answer in answers}) == 1
    for key in ("sign-up", "another"):
        assert refused_for_a_while(register(client, registered, WRONG, key))


def test_a_retry_of_the_registration_is_answered_as_before_however_often(
    client: FlaskClient, registered: str
) -> None:
    address = any_address()
    for _ in range(12):
        again = register(client, registered, PASSWORD, "sign-up", address)
        assert (again.status_code, again.headers["Idempotency-Replayed"]) == (201, "true")


def test_who_has_proved_the_password_is_told_that_the_key_came_with_another_body(
    client: FlaskClient, registered: str
) -> None:
    other = register(client, registered, PASSWORD, "sign-up", name="Alice")
    assert (other.status_code, other.json["type"]) == (422, "/problems/idempotency-key-reused")
    assert is_conflict(register(client, registered, WRONG, "sign-up", name="Alice"))


def test_successes_do_not_count(client: FlaskClient, member: Account) -> None:
    address = any_address()
    for _ in range(12):
        assert sign_in(client, member.email, address=address).status_code == 200
    fail(client, member.email, 10, address=address)


def test_an_attempt_that_is_held_back_checks_no_password_and_does_not_count(
    client: FlaskClient, member: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail(client, member.email, 10)
    monkeypatch.delattr(routes, "check_password_hash")
    waits = [sign_in(client, member.email) for _ in range(3)]
    assert all(refused_for_a_while(answer) for answer in waits)


def test_a_minute_later_they_may_try_again(
    client: FlaskClient, member: Account, clock: Callable[[float], None]
) -> None:
    address = any_address()
    fail(client, member.email, 10, address=address)
    answer = sign_in(client, member.email, address=address)
    clock(int(answer.headers["Retry-After"]))
    assert sign_in(client, member.email, address=address).status_code == 200


# Who it comes from


def test_a_forwarded_address_is_believed_of_trusted_proxies_alone(
    app: APIFlask, database_url: str, member: Account
) -> None:
    behind_one = create_app(settings_for(database_url, TRUSTED_PROXIES="1"))
    for application, believed in ((app, False), (behind_one, True)):
        client, address = application.test_client(), any_address()
        for number in range(10):
            headers = {"X-Forwarded-For": f"198.51.100.{number}"}
            fail(client, f"{number}-{member.email}", 1, address=address, headers=headers)
        headers = {"X-Forwarded-For": "198.51.100.77"}
        answer = sign_in(client, member.email, address=address, headers=headers)
        assert answer.status_code == (200 if believed else 429)


def test_the_addresses_of_one_subscriber_are_one_address(
    client: FlaskClient, member: Account
) -> None:
    network = any_address().rsplit(":", 4)[0]
    for number in range(10):
        fail(client, f"{number}-{member.email}", 1, address=f"{network}:0:0:0:{number:x}")
    assert refused_for_a_while(sign_in(client, member.email, address=f"{network}:a:b:c:d"))


# A storage that is away


@pytest.fixture
def silent() -> Iterator[str]:
    """The URL of a storage that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"redis://:hidden@127.0.0.1:{listener.getsockname()[1]}/0"


def nowhere() -> str:
    """The URL of a storage that is not there."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"redis://:hidden@127.0.0.1:{listener.getsockname()[1]}/0"


@pytest.mark.parametrize("answers", [True, False])
def test_the_limit_holds_in_this_process_while_the_storage_is_away(
    answers: bool,
    silent: str,
    database_url: str,
    member: Account,
    capsys: pytest.CaptureFixture[str],
) -> None:
    uri = nowhere() if answers else silent
    client = create_app(settings_for(database_url, RATELIMIT_STORAGE_URI=uri)).test_client()
    assert sign_in(client, member.email).status_code == 200
    fail(client, member.email, 10)
    assert refused_for_a_while(sign_in(client, member.email))
    logged = capsys.readouterr().out
    assert logged.count("the storage of rate limits is away") == 1, "asked once, then let be"
    assert "hidden" not in logged


def test_a_storage_that_was_away_is_asked_again_later(clock: Callable[[float], None]) -> None:
    shared, asked = Shared(nowhere()), []

    def fail(redis: Any, key: str) -> int:
        redis.test(sign_in_limits.FAILED_SIGN_INS, key)
        return 0

    assert shared.ask(fail, lambda _: -1, "someone") == -1

    def question(_redis: object, key: str) -> int:
        asked.append(key)
        return 1

    assert shared.ask(question, lambda _: -1, "someone") == -1
    clock(shared_counts.AWAY_SECONDS)
    assert shared.ask(question, lambda _: -1, "someone") == 1
    assert asked == ["someone"]


@pytest.mark.parametrize("uri", ["redis://127.0.0.1:99999/0", "redis://[::1/0"])
def test_a_storage_that_cannot_be_stops_the_start(uri: str, database_url: str) -> None:
    with pytest.raises(ConfigurationError, match="RATELIMIT_STORAGE_URI") as stopped:
        create_app(settings_for(database_url, RATELIMIT_STORAGE_URI=uri))
    assert uri not in str(stopped.value)


def test_a_storage_without_its_client_stops_the_start(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def without_client(*_: object, **__: object) -> None:
        raise shared_counts.StorageConfigurationError

    monkeypatch.setattr(shared_counts, "storage_from_string", without_client)
    with pytest.raises(ConfigurationError, match="RATELIMIT_STORAGE_URI"):
        create_app(settings_for(database_url, RATELIMIT_STORAGE_URI=nowhere()))


# Where only another issuer signs in


def test_a_service_that_issues_no_tokens_signs_nobody_in_and_keeps_nothing(
    database_url: str, member: Account, connection: Any
) -> None:
    settings = Settings.from_environment(
        {
            "APP_ENV": "test",
            "DATABASE_URL": database_url,
            "JWT_JWKS_URL": "https://issuer.example.com/keys",
            "JWT_ISSUER": "https://issuer.example.com",
            "JWT_AUDIENCE": "tasks",
        }
    )
    client = create_app(settings).test_client()
    answer = sign_in(client, member.email)
    assert (answer.status_code, answer.json["type"]) == (404, "/problems/not-found")
    with connection.cursor() as cursor:
        cursor.execute("select from refresh_tokens where user_id = %s", (member.user_id,))
        assert cursor.rowcount == 0


@pytest.mark.parametrize("processes", [1, 2])
def test_no_more_passwords_are_hashed_at_once_than_the_process_has_cores(
    database_url: str, monkeypatch: pytest.MonkeyPatch, processes: int
) -> None:
    lock, now, most = Lock(), 0, 0

    @contextmanager
    def counted() -> Iterator[None]:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        yield
        with lock:
            now -= 1

    class Watched(PasswordHasher):
        def hash(self, *arguments: Any, **options: Any) -> str:
            with counted():
                return super().hash(*arguments, **options)

        def verify(self, *_: Any) -> Any:
            with counted():
                super().hash(PASSWORD)
            return False

    application = create_app(settings_for(database_url, WEB_CONCURRENCY=str(processes)))
    monkeypatch.setattr(passwords, "HASHER", Watched())
    monkeypatch.setattr(passwords, "NOBODY", NOBODY[:1])
    people = [(application.test_client(), f"{new_id()}@example.com", n % 2) for n in range(8)]
    answers = at_once(
        [
            lambda c=c, email=email, new=new: (
                register(c, email, PASSWORD, "key") if new else sign_in(c, email)
            )
            for c, email, new in people
        ]
    )
    assert [answer.status_code for answer in answers] == [401, 201] * 4
    assert most == hashes_at_once(4, processes)


def test_who_cannot_be_served_in_time_is_told_so_and_no_password_is_hashed(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    application = create_app(settings_for(database_url, REQUEST_DEADLINE="0.5", WEB_THREADS="1"))
    monkeypatch.delattr(passwords, "HASHER")
    with application.extensions[passwords.EXTENSION]:
        body = {"email": f"{new_id()}@example.com", "password": PASSWORD}
        answer = application.test_client().post("/v1/auth/register", json=body)
    assert (answer.status_code, answer.json["type"]) == (503, "/problems/overloaded")
    assert answer.headers["Retry-After"] == "1"


def test_of_a_registration_that_waited_too_long_for_a_thread_no_password_is_hashed(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(passwords, "HASHER")
    deadline.note_arrival(time.monotonic() - 60)
    body = {"email": f"{new_id()}@example.com", "password": PASSWORD}
    answer = client.post("/v1/auth/register", json=body)
    assert (answer.status_code, answer.json["type"]) == (503, "/problems/overloaded")
