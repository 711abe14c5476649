"""Sessions are bounded: how many a user has, and what is remembered of each."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask.testing import FlaskClient

from app.auth.refresh_token_statements import MOST_KEPT, MOST_SESSIONS, MOST_SPENT
from app.auth.refresh_tokens import RefreshToken
from app.core.ids import new_id
from tests.conftest import Account
from tests.locks import held
from tests.parallel import at_once, callers
from tests.people import Session, give_password, outlast_grace, session, sign_in

Count = Callable[[str], int]


@pytest.fixture
def begin(alice: Account, connection: Any) -> Callable[..., Session]:
    """Signs Alice in, which is cheap here."""
    give_password(connection, alice)

    def start(account: Account = alice, **options: Any) -> Session:
        return session(account.client, sign_in(account.client, account.email, **options))

    return start


@pytest.fixture
def count(alice: Account, connection: Any) -> Count:
    """How many there are of what is counted in a table."""

    def ask(expression: str) -> int:
        with connection.cursor() as cursor:
            table = "idempotency_keys" if "key" in expression else "refresh_tokens"
            sql = f"select count({expression}) from {table} where user_id = %s"
            cursor.execute(sql, (alice.user_id,))
            return cursor.fetchone()[0]

    return ask


@pytest.fixture
def make(alice: Account, connection: Any) -> Callable[[int], None]:
    """Makes so many sessions that began an hour ago."""

    def insert(number: int) -> None:
        sql = """
            insert into refresh_tokens (user_id, token_hash, family_id, created_at, expires_at)
            select %s, sha256(n::text::bytea), gen_random_uuid(), now() - interval '1 hour',
                now() + interval '1 day'
            from generate_series(1, %s) n
        """
        with connection.cursor() as cursor:
            cursor.execute(sql, (alice.user_id, number))

    return insert


def test_one_session_too_many_ends_the_one_that_was_refreshed_longest_ago(
    begin: Callable[..., Session],
    make: Callable[[int], None],
    count: Count,
    connection: Any,
    alice: Account,
) -> None:
    refreshed, oldest = begin(), begin()
    with connection.cursor() as cursor:
        cursor.execute(
            "update refresh_tokens set created_at = now() - interval '2 hours' where user_id = %s",
            (alice.user_id,),
        )
    refreshed = refreshed.refreshed()
    make(MOST_SESSIONS - 2)
    newest = begin()
    assert count("distinct family_id") == MOST_SESSIONS
    assert (refreshed.lives, newest.lives, oldest.lives) == (True, True, False)
    others = [begin() for _ in range(3)]
    assert count("distinct family_id") == MOST_SESSIONS
    assert all(each.lives for each in others)


def test_a_session_that_was_refreshed_twice_at_once_is_as_old_as_its_newest_token(
    begin: Callable[..., Session],
    make: Callable[[int], None],
    count: Count,
    connection: Any,
    alice: Account,
) -> None:
    first = begin()
    left_behind, newest = first.refreshed(), first.refreshed()
    with connection.cursor() as cursor:
        cursor.execute(
            "update refresh_tokens set created_at = now() - interval '2 hours'"
            " where user_id = %s and token_hash = %s",
            (alice.user_id, parsed(left_behind).hash),
        )
    make(MOST_SESSIONS - 2)
    begin()
    assert count("distinct family_id") == MOST_SESSIONS
    assert newest.lives


def parsed(signed_in: Session) -> RefreshToken:
    token = RefreshToken.parse(signed_in.refresh_token)
    assert token
    return token


def test_of_many_who_sign_in_at_once_no_more_are_signed_in_than_may(
    begin: Callable[..., Session],
    make: Callable[[int], None],
    count: Count,
    alice: Account,
) -> None:
    make(MOST_SESSIONS - 5)
    begun = at_once([lambda caller=caller: begin(caller) for caller in callers(alice, 20)])
    assert count("distinct family_id") == MOST_SESSIONS
    assert all(each.lives for each in begun)


def test_a_sign_in_that_is_sent_again_ends_no_session(
    begin: Callable[..., Session], make: Callable[[int], None], count: Count, alice: Account
) -> None:
    make(MOST_SESSIONS - 1)
    keyed = {"headers": {"Idempotency-Key": "once"}}
    first, again = begin(**keyed), begin(**keyed)
    assert first.refresh_token == again.refresh_token
    assert count("distinct family_id") == MOST_SESSIONS
    begin()
    assert again.lives


def test_the_newest_spent_tokens_of_a_session_are_remembered_and_no_more(
    begin: Callable[..., Session], count: Count, alice: Account, connection: Any
) -> None:
    sessions = [begin()]
    for _ in range(MOST_SPENT + 5):
        sessions.append(sessions[-1].refreshed())
    assert count("spent_at") == MOST_SPENT
    assert count("*") == MOST_SPENT + 1

    outlast_grace(connection, alice.user_id)
    forgotten, remembered, current = sessions[4], sessions[5], sessions[-1]
    assert forgotten.refresh().status_code == 401
    following = current.refreshed()
    assert count("*") == MOST_SPENT + 1
    assert remembered.refresh().status_code == 401
    assert sessions[6].refresh().status_code == 401
    assert following.refresh().status_code == 401
    assert count("*") == 0


def test_the_newest_answers_to_a_users_sign_ins_are_kept_and_no_more(
    begin: Callable[..., Session], alice: Account, connection: Any, count: Count
) -> None:
    first = begin(headers={"Idempotency-Key": "first"})
    sql = """
        insert into idempotency_keys (user_id, route, key, fingerprint, answer, created_at)
        select %s, '/v1/auth/token', 'key ' || n, sha256(n::text::bytea), '{}',
            now() - interval '1 hour'
        from generate_series(1, %s) n
    """
    with connection.cursor() as cursor:
        cursor.execute(sql, (alice.user_id, MOST_KEPT + 20))
    for _ in range(3):
        begin(headers={"Idempotency-Key": new_id()})
        assert count("key") == MOST_KEPT
    again = begin(headers={"Idempotency-Key": "first"})
    assert again.refresh_token == first.refresh_token


@pytest.fixture
def busy(alice: Account, connection: Any) -> Iterator[None]:
    """A write of tasks of Alice's goes on, and holds her row as all her writes do."""
    with connection.cursor() as cursor:
        cursor.execute("begin")
        cursor.execute("select from users where id = %s for no key update", (alice.user_id,))
        yield
        cursor.execute("rollback")


def test_sessions_begin_go_on_and_end_while_a_long_write_of_tasks_goes_on(
    begin: Callable[..., Session], alice: Account, busy: None
) -> None:
    first, other = begin(), begin(headers={"Idempotency-Key": "one"})
    assert first.refreshed().logout().status_code == 204
    assert other.lives


def test_what_looks_like_a_refresh_token_of_a_busy_user_is_refused_at_once(
    client: FlaskClient, alice: Account, busy: None
) -> None:
    stranger = Session(client, "", str(RefreshToken(alice.user_id, bytes(32))))
    assert stranger.refresh().status_code == 401
    assert stranger.logout().status_code == 204


def test_a_session_waits_for_an_erasure_of_the_account_for_a_second(
    begin: Callable[..., Session], alice: Account, connection: Any
) -> None:
    signed_in = begin()
    with held(connection, alice.user_id):
        started = time.monotonic()
        answer = signed_in.refresh()
        assert (answer.status_code, answer.json["type"]) == (503, "/problems/database-busy")
        assert 0.9 < time.monotonic() - started < 3
    assert signed_in.lives
