"""How long sessions last: two tabs that refresh at once, ninety days, and the release before."""

from collections.abc import Callable
from typing import Any

import jwt
import pytest

from app import create_app
from app.auth.refresh_token_statements import MOST_AT_ONCE
from app.core.ids import new_id
from tests.conftest import Account, settings_for
from tests.parallel import at_once
from tests.people import Session, as_of, give_password, outlast_grace, session, sign_in

Begin = Callable[..., Session]
Execute = Callable[..., list[tuple[Any, ...]]]


@pytest.fixture
def begin(alice: Account, connection: Any) -> Begin:
    """Signs Alice in."""
    give_password(connection, alice)
    return lambda **options: session(alice.client, sign_in(alice.client, alice.email, **options))


@pytest.fixture
def execute(alice: Account, connection: Any) -> Execute:
    """Runs a statement about Alice, and returns its rows."""

    def run(sql: str, **values: object) -> list[tuple[Any, ...]]:
        with connection.cursor() as cursor:
            cursor.execute(sql, {"user_id": alice.user_id, **values})
            return cursor.fetchall() if cursor.description else []

    return run


def claims(access_token: str) -> dict[str, Any]:
    found: dict[str, Any] = jwt.decode(access_token, options={"verify_signature": False})
    return found


def tabs(signed_in: Session, count: int) -> list[Session]:
    """The session as so many tabs have it."""
    application = signed_in.client.application
    return [signed_in._replace(client=application.test_client()) for _ in range(count)]


# Two tabs


def test_tabs_that_refresh_at_the_same_moment_all_stay_signed_in(
    begin: Begin, alice: Account
) -> None:
    renewed = at_once([tab.refreshed for tab in tabs(begin(), 3)])
    assert len({each.refresh_token for each in renewed}) == 3
    assert len({claims(each.access_token)["sid"] for each in renewed}) == 1
    assert all(as_of(alice, each).get("/v1/me").status_code == 200 for each in renewed)
    again = [each.refreshed() for each in renewed]
    assert all(as_of(alice, each).get("/v1/me").status_code == 200 for each in again)
    assert len(alice.get("/v1/sessions").json["items"]) == 1


def test_a_third_tab_that_is_later_by_seconds_stays_signed_in(
    begin: Begin, execute: Execute
) -> None:
    first = begin()
    second = first.refreshed()
    move_spent(execute, "9 seconds")
    third = first.refreshed()
    assert second.lives
    assert third.lives


def test_ten_seconds_count_from_the_first_use(begin: Begin, execute: Execute) -> None:
    first = begin()
    newest = [first.refreshed()]
    move_spent(execute, "9 seconds")
    newest.append(first.refreshed())
    move_spent(execute, "1 second")
    assert first.refresh().status_code == 401
    assert not any(each.lives for each in newest)


def move_spent(execute: Execute, interval: str) -> None:
    """Let the tokens have been spent that much earlier.

    On a cluster only what does not depend on the session's time zone can be computed of a column.
    """
    execute(
        "update refresh_tokens"
        " set spent_at = (spent_at at time zone 'UTC' - %(interval)s::interval) at time zone 'UTC'"
        " where user_id = %(user_id)s",
        interval=interval,
    )


def test_a_token_of_a_signed_out_session_does_not_count_for_ten_seconds(begin: Begin) -> None:
    first = begin()
    assert first.refreshed().logout().status_code == 204
    assert first.refresh().status_code == 401


def test_a_session_has_ten_tokens_at_once_and_the_newest_stay(
    begin: Begin, execute: Execute
) -> None:
    first = begin()
    renewed = [first.refreshed() for _ in range(MOST_AT_ONCE + 2)]
    unspent = "select count(*) from refresh_tokens where spent_at is null and user_id = %(user_id)s"
    assert execute(unspent) == [(MOST_AT_ONCE,)]
    forgotten, kept = renewed[:2], renewed[2:]
    assert [each.refresh().status_code for each in forgotten] == [401, 401]
    assert all(each.lives for each in kept)
    assert execute(unspent) == [(MOST_AT_ONCE,)]


def test_reuse_in_one_tab_ends_the_session_in_all_of_them(
    begin: Begin, alice: Account, connection: Any
) -> None:
    first = begin()
    one, other = first.refreshed(), first.refreshed()
    outlast_grace(connection, alice.user_id)
    assert first.refresh().status_code == 401
    assert not one.lives
    assert not other.lives
    assert as_of(alice, other).get("/v1/me").status_code == 401


def test_a_keyed_refresh_that_is_sent_again_gives_the_same_pair(
    begin: Begin, alice: Account, connection: Any
) -> None:
    first, key = begin(), {"headers": {"Idempotency-Key": new_id()}}
    answers = [first.refresh(**key) for _ in range(2)]
    outlast_grace(connection, alice.user_id)
    answers.append(first.refresh(**key))
    assert len({answer.data for answer in answers}) == 1
    assert claims(answers[2].json["access_token"])["sid"] == claims(first.access_token)["sid"]
    assert session(alice.client, answers[2]).lives


def test_tabs_with_a_key_each_get_a_pair_each(begin: Begin, alice: Account) -> None:
    first = begin()
    pairs = [first.refresh(headers={"Idempotency-Key": new_id()}) for _ in range(2)]
    assert pairs[0].json["refresh_token"] != pairs[1].json["refresh_token"]
    assert all(session(alice.client, pair).lives for pair in pairs)


# Ninety days


def began(execute: Execute, interval: str) -> None:
    """Let the sessions have begun so long ago, and been refreshed just now."""
    execute(
        "update refresh_tokens set started_at = now() - %(interval)s::interval"
        " where user_id = %(user_id)s",
        interval=interval,
    )


def lasts(execute: Execute) -> list[tuple[Any, ...]]:
    """How many days the unspent tokens last, and their session from its beginning."""
    return execute(
        "select extract(days from expires_at - created_at)::int,"
        " extract(days from expires_at - started_at)::int"
        " from refresh_tokens where user_id = %(user_id)s and spent_at is null"
    )


def test_a_session_lasts_thirty_days_without_a_refresh_and_ninety_in_all(
    begin: Begin, execute: Execute
) -> None:
    signed_in = begin()
    assert lasts(execute) == [(30, 30)]
    began(execute, "40 days")
    signed_in = signed_in.refreshed()
    assert lasts(execute) == [(30, 70)]
    began(execute, "80 days")
    signed_in = signed_in.refreshed()
    [(days, in_all)] = lasts(execute)
    assert (days in {9, 10}, in_all) == (True, 90)
    began(execute, "90 days")
    assert signed_in.refresh().status_code == 401


def test_no_refresh_makes_a_session_longer_than_it_may_be(
    begin: Begin, alice: Account, execute: Execute
) -> None:
    signed_in = begin()
    began(execute, "89 days 23 hours 59 minutes 59 seconds")
    last = signed_in.refreshed()
    [(ends,)] = execute(
        "select max(expires_at) - now() < interval '1 second' from refresh_tokens"
        " where user_id = %(user_id)s and spent_at is null"
    )
    assert ends
    execute(
        "update refresh_tokens set"
        " created_at = (created_at at time zone 'UTC' - interval '1 second') at time zone 'UTC',"
        " expires_at = (expires_at at time zone 'UTC' - interval '1 second') at time zone 'UTC'"
        " where user_id = %(user_id)s"
    )
    assert last.refresh().status_code == 401
    assert as_of(alice, last).get("/v1/me").status_code == 401
    assert alice.get("/v1/sessions").json["items"] == []


@pytest.mark.parametrize(("days", "expected"), [("1", (1, 1)), ("3650", (30, 30))])
def test_the_operator_says_how_many_days_a_session_lasts(
    database_url: str,
    alice: Account,
    connection: Any,
    execute: Execute,
    days: str,
    expected: tuple[int, int],
) -> None:
    give_password(connection, alice)
    client = create_app(settings_for(database_url, SESSION_DAYS=days)).test_client()
    signed_in = session(client, sign_in(client, alice.email))
    assert lasts(execute) == [expected]
    began(execute, "2 days")
    assert signed_in.refresh().status_code == (401 if days == "1" else 200)


# The release before


def forget(execute: Execute) -> None:
    """Let the tokens be as the release before writes them."""
    execute(
        "update refresh_tokens set started_at = null, user_agent = null, address = null"
        " where user_id = %(user_id)s"
    )


def test_a_session_of_the_release_before_goes_on_and_is_listed(
    begin: Begin, alice: Account, execute: Execute
) -> None:
    signed_in = begin()
    forget(execute)
    [item] = alice.get("/v1/sessions").json["items"]
    assert (item["user_agent"], item["address"]) == (None, None)
    assert item["created_at"] == item["last_used_at"]
    renewed = signed_in.refreshed()
    [later] = as_of(alice, renewed).get("/v1/sessions").json["items"]
    assert (later["id"], later["created_at"]) == (item["id"], item["created_at"])
    assert later["last_used_at"] > item["last_used_at"]
    assert later["user_agent"] is not None
    assert later["current"]


def test_a_session_of_the_release_before_lasts_ninety_days_from_its_last_refresh_there(
    begin: Begin, execute: Execute
) -> None:
    signed_in = begin()
    forget(execute)
    execute(
        "update refresh_tokens set created_at = now() - interval '91 days',"
        " expires_at = now() + interval '1 day' where user_id = %(user_id)s"
    )
    assert signed_in.refresh().status_code == 401
    execute(
        "update refresh_tokens set created_at = now() - interval '80 days'"
        " where user_id = %(user_id)s"
    )
    signed_in.refreshed()
    assert lasts(execute)[0][1] == 90


def test_an_access_token_of_the_release_before_outlasts_its_session(
    begin: Begin, alice: Account
) -> None:
    signed_in = begin()
    assert "sid" not in claims(alice.token)
    assert alice.get("/v1/me").status_code == 200
    assert signed_in.logout().status_code == 204
    assert alice.get("/v1/me").status_code == 200
    assert alice.delete("/v1/sessions").status_code == 204
    assert alice.get("/v1/me").status_code == 200


@pytest.mark.parametrize("sid", ["x", "", 7, None, ["a"], {}])
def test_a_token_whose_session_is_no_id_is_not_believed(alice: Account, sid: object) -> None:
    verifier = alice.client.application.extensions["token_verifier"]
    keys = verifier.own[0]
    forged = jwt.encode({**claims(alice.token), "sid": sid}, keys.secret, headers={"kid": keys.id})
    answer = alice._replace(token=forged).get("/v1/me")
    assert (answer.status_code, answer.json["type"]) == (401, "/problems/unauthenticated")


def test_what_the_release_before_kept_of_a_sign_in_is_given_again(
    begin: Begin, alice: Account, execute: Execute
) -> None:
    keyed = {"headers": {"Idempotency-Key": new_id()}}
    first = begin(**keyed)
    execute("update idempotency_keys set answer = answer - 'family_id' where user_id = %(user_id)s")
    again = begin(**keyed)
    assert again.refresh_token == first.refresh_token
    assert "sid" not in claims(again.access_token)
    assert as_of(alice, again).get("/v1/me").status_code == 200
    assert claims(again.refreshed().access_token)["sid"] == claims(first.access_token)["sid"]


def test_a_keyed_sign_in_that_is_sent_again_revives_no_session(
    begin: Begin, alice: Account
) -> None:
    keyed = {"headers": {"Idempotency-Key": new_id()}}
    assert begin(**keyed).logout().status_code == 204
    again = begin(**keyed)
    assert as_of(alice, again).get("/v1/me").status_code == 401
    assert not again.lives
