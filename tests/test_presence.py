"""Erasing an account: with the present password or, of another issuer's user, a fresh sign-in."""

from collections.abc import Callable
from typing import Any
from uuid import uuid4, uuid5

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from app import create_app
from app.auth.access_tokens import ISSUERS
from tests import issuer as issuing
from tests.assertions import refused
from tests.conftest import PASSWORD, Account, trusting
from tests.issuer import FromNow, Issuer
from tests.people import any_address, give_password, session, sign_in

WRONG = "wrong horse battery"
MINUTES = 60

Visit = Callable[..., Account]


# Another issuer's users


@pytest.fixture
def trusted(database_url: str, issuer: Issuer) -> FlaskClient:
    """A client of a service that takes the issuer's tokens."""
    return create_app(trusting(database_url, issuer)).test_client()


@pytest.fixture
def visit(trusted: FlaskClient, issuer: Issuer) -> Visit:
    """Signs a token with these claims for one user of the issuer."""
    subject = f"auth0|{uuid4()}"
    user_id = str(uuid5(ISSUERS, f"{issuing.NAME}\n{subject}"))

    def signed(**claims: Any) -> Account:
        return Account(user_id, subject, issuer.sign(sub=subject, **claims), trusted)

    return signed


def kind(answer: TestResponse) -> tuple[int, str]:
    return answer.status_code, answer.json["type"].rpartition("/")[2]


def assert_stale(answer: TestResponse) -> None:
    """RFC 9470, section 3."""
    assert kind(answer) == (401, "fresh-sign-in-required")
    assert answer.headers["WWW-Authenticate"] == (
        'Bearer error="insufficient_user_authentication", max_age="600"'
    )


@pytest.mark.parametrize(
    "claims",
    [
        {"auth_time": FromNow(0)},
        {"auth_time": FromNow(-9 * MINUTES)},
        {"auth_time": FromNow(-9 * MINUTES), "iat": FromNow(-11 * MINUTES)},
        {"auth_time": FromNow(20)},
        {},
        {"iat": FromNow(-9 * MINUTES)},
    ],
    ids=str,
)
def test_who_signed_in_a_short_while_ago_erases_the_account(
    visit: Visit, claims: dict[str, Any]
) -> None:
    visit().create_task()
    erased = visit(**claims).delete("/v1/me")
    assert (erased.status_code, erased.data) == (204, b"")
    assert visit().get("/v1/tasks").json["items"] == []
    assert visit().get("/v1/me").json["created_at"] is None


@pytest.mark.parametrize(
    "claims",
    [
        {"auth_time": FromNow(-11 * MINUTES)},
        {"iat": FromNow(-11 * MINUTES)},
        {"auth_time": 0},
        {"auth_time": -1},
        {"auth_time": FromNow(5 * MINUTES)},
        {"auth_time": 4_102_444_800_000},
        {"auth_time": float("inf")},
        {"auth_time": float("-inf")},
        {"auth_time": float("nan")},
        {"auth_time": "nan"},
    ],
    ids=str,
)
def test_who_did_not_is_told_to_sign_in_again_and_keeps_everything(
    visit: Visit, claims: dict[str, Any]
) -> None:
    made = visit().create_task()
    assert_stale(visit(**claims).delete("/v1/me"))
    assert_stale(visit(**claims).erase())
    assert visit(**claims).get(f"/v1/tasks/{made['id']}").json == made
    assert visit().delete("/v1/me").status_code == 204


@pytest.mark.parametrize(
    "claim", ["yesterday", "", [1], {"a": 1}, 10**400, -(10**400)], ids=lambda it: str(it)[:9]
)
def test_a_token_whose_sign_in_is_at_no_time_is_not_believed(visit: Visit, claim: object) -> None:
    for method in ("GET", "DELETE"):
        answer = visit(auth_time=claim).call(method, "/v1/me")
        assert kind(answer) == (401, "unauthenticated")
        assert answer.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'


def test_a_sign_in_grows_old_while_its_token_is_remembered(
    visit: Visit, clock: Callable[[float], None]
) -> None:
    signed_in = visit(auth_time=FromNow(-9 * MINUTES))
    signed_in.create_task()
    clock(61)
    assert signed_in.get("/v1/tasks").status_code == 200
    assert_stale(signed_in.delete("/v1/me"))


def test_a_personal_token_of_another_issuers_user_erases_nothing(visit: Visit) -> None:
    signed_in = visit()
    script = signed_in._replace(token=signed_in.create_token()["token"])
    assert kind(script.delete("/v1/me")) == (403, "sign-in-required")
    assert signed_in.get("/v1/me").json["created_at"] is not None


def test_another_issuers_user_has_neither_password_address_nor_sessions_here(visit: Visit) -> None:
    signed_in = visit()
    signed_in.create_task()
    password = {"current_password": PASSWORD, "new_password": f"new {PASSWORD}"}
    address = {"current_password": PASSWORD, "email": "alice@example.com"}
    for answer in (
        signed_in.post("/v1/me/password", json=password),
        signed_in.post("/v1/me/email", json=address),
        signed_in.post("/v1/me/email-verification"),
    ):
        assert kind(answer) == (404, "not-found")
    assert signed_in.get("/v1/sessions").json == {"items": []}
    assert signed_in.get("/v1/me").json["email"] is None


# Users of this service


def erase(account: Account, body: object = None, *, address: str = "") -> TestResponse:
    """Ask with this body, or without any, from an address that nobody else has."""
    options = {} if body is None else {"json": body}
    where = {"REMOTE_ADDR": address or any_address()}
    return account.delete("/v1/me", environ_overrides=where, **options)


def is_wrong(answer: TestResponse) -> bool:
    return refused(answer, "wrong_password", pointer="/current_password")


@pytest.mark.parametrize("body", [None, {}, {"current_password": None}], ids=str)
def test_without_the_present_password_nothing_is_erased(alice: Account, body: object) -> None:
    assert refused(erase(alice, body), "missing", pointer="/current_password")
    assert alice.get("/v1/me").status_code == 200


def test_with_the_present_password_everything_is(alice: Account) -> None:
    erased = erase(alice, {"current_password": PASSWORD})
    assert (erased.status_code, erased.data) == (204, b"")
    assert kind(alice.get("/v1/me")) == (401, "unauthenticated")


def test_a_password_that_is_sent_otherwise_than_as_json_is_none(alice: Account) -> None:
    form = alice.delete("/v1/me", data={"current_password": PASSWORD})
    assert form.status_code == 415
    query = alice.delete(f"/v1/me?current_password={PASSWORD.replace(' ', '+')}")
    assert query.status_code == 422
    assert alice.get("/v1/me").status_code == 200


def test_ten_wrong_passwords_hold_the_eleventh_back_whoever_sends_it(
    alice: Account, bob: Account
) -> None:
    for _ in range(10):
        assert is_wrong(erase(alice, {"current_password": WRONG}))
    held_back = erase(alice, {"current_password": PASSWORD})
    assert kind(held_back) == (429, "too-many-requests")
    assert int(held_back.headers["Retry-After"]) >= 1
    assert alice.get("/v1/me").status_code == 200
    assert erase(bob, {"current_password": PASSWORD}).status_code == 204


def test_wrong_passwords_are_failed_sign_ins_of_their_address(
    alice: Account, bob: Account, connection: Any
) -> None:
    give_password(connection, bob)
    address = any_address()
    for _ in range(10):
        assert is_wrong(erase(alice, {"current_password": WRONG}, address=address))
    assert sign_in(bob.client, bob.email, address=address).status_code == 429
    assert sign_in(bob.client, bob.email).status_code == 200


def test_a_missing_password_is_no_failed_sign_in(alice: Account) -> None:
    for _ in range(11):
        assert refused(erase(alice), "missing", pointer="/current_password")
    assert erase(alice, {"current_password": PASSWORD}).status_code == 204


def test_a_fresh_sign_in_here_is_no_password(alice: Account, connection: Any) -> None:
    give_password(connection, alice)
    signed_in = session(alice.client, sign_in(alice.client, alice.email))
    answer = erase(alice._replace(token=signed_in.access_token))
    assert refused(answer, "missing", pointer="/current_password")


@pytest.mark.parametrize("body", [None, {"current_password": PASSWORD}], ids=str)
def test_a_personal_token_erases_nothing_whatever_it_knows(alice: Account, body: object) -> None:
    script = alice._replace(token=alice.create_token()["token"])
    assert kind(erase(script, body)) == (403, "sign-in-required")
    assert alice.get("/v1/me").status_code == 200
