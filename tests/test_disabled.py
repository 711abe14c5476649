"""An operator disables an account, and closes registration."""

from collections.abc import Callable
from typing import Any

import pytest
from apiflask import APIFlask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from app import create_app
from app.core.ids import new_id
from tests.conftest import PASSWORD, Account, settings_for, trusting
from tests.issuer import Issuer
from tests.people import Session, as_of, disable, give_password, session, sign_in

WRONG = "wrong horse battery"


@pytest.fixture
def signed_in(alice: Account, connection: Any) -> Session:
    """Alice's session, from before her account was disabled."""
    give_password(connection, alice)
    return session(alice.client, sign_in(alice.client, alice.email))


@pytest.fixture
def run(app: APIFlask) -> Callable[..., None]:
    """Runs `flask users` with these arguments."""

    def invoke(*arguments: str) -> None:
        result = app.test_cli_runner().invoke(args=["users", *arguments])
        assert result.exit_code == 0, result.output

    return invoke


def kind(answer: TestResponse) -> tuple[int, str]:
    return answer.status_code, answer.json["type"].rpartition("/")[2]


# Disabled


def test_a_disabled_account_is_told_to_who_knows_its_password_alone(
    signed_in: Session, alice: Account, connection: Any
) -> None:
    disable(connection, alice)
    assert kind(sign_in(alice.client, alice.email)) == (403, "account-disabled")
    wrong = sign_in(alice.client, alice.email, WRONG)
    unknown = sign_in(alice.client, f"nobody-{alice.email}", WRONG)
    assert kind(wrong) == kind(unknown) == (401, "invalid-credentials")
    assert wrong.json["detail"] == unknown.json["detail"]


def test_the_right_password_of_a_disabled_account_is_no_failed_sign_in(
    signed_in: Session, alice: Account, connection: Any
) -> None:
    disable(connection, alice)
    answers = [sign_in(alice.client, alice.email) for _ in range(12)]
    assert {answer.status_code for answer in answers} == {403}


def test_every_token_of_a_disabled_account_is_refused_at_once(
    signed_in: Session, alice: Account, connection: Any
) -> None:
    script = alice._replace(token=alice.create_token()["token"])
    callers = (as_of(alice, signed_in), alice, script)
    assert [caller.get("/v1/tasks").status_code for caller in callers] == [200] * 3
    disable(connection, alice)
    for caller in callers:
        assert kind(caller.get("/v1/tasks")) == (401, "unauthenticated")
        assert kind(caller.post("/v1/tasks", json={"title": "x"})) == (401, "unauthenticated")
        assert kind(caller.get("/v1/export")) == (401, "unauthenticated")
        assert kind(caller.erase()) == (401, "unauthenticated")
    assert kind(signed_in.refresh()) == (401, "invalid-credentials")


def test_a_script_of_a_disabled_account_is_refused_by_a_process_that_never_saw_it(
    alice: Account, database_url: str, connection: Any
) -> None:
    token = alice.create_token()["token"]
    disable(connection, alice)
    client = create_app(settings_for(database_url)).test_client()
    script = alice._replace(token=token, client=client)
    assert kind(script.get("/v1/tasks")) == (401, "unauthenticated")


def test_a_refresh_that_is_refused_so_is_no_reuse(
    signed_in: Session, alice: Account, connection: Any, run: Callable[..., None]
) -> None:
    disable(connection, alice)
    for _ in range(2):
        assert kind(signed_in.refresh()) == (401, "invalid-credentials")
    run("enable", "--user", alice.user_id)
    assert signed_in.lives


def test_an_account_that_is_enabled_again_has_all_that_it_had(
    signed_in: Session, alice: Account, run: Callable[..., None]
) -> None:
    made = alice.create_task()
    script = alice._replace(token=alice.create_token()["token"])
    callers = (as_of(alice, signed_in), alice, script)
    run("disable", "--user", alice.user_id)
    assert {caller.get("/v1/tasks").status_code for caller in callers} == {401}
    run("enable", "--user", alice.user_id)
    for caller in callers:
        assert caller.get("/v1/tasks").json["items"] == [made]
    assert sign_in(alice.client, alice.email).status_code == 200
    assert signed_in.lives


def test_a_user_can_sign_out_while_the_account_is_disabled(
    signed_in: Session, alice: Account, connection: Any, run: Callable[..., None]
) -> None:
    disable(connection, alice)
    assert signed_in.logout().status_code == 204
    run("enable", "--user", alice.user_id)
    assert not signed_in.lives


def test_a_keyed_sign_in_from_before_is_not_given_again(
    signed_in: Session, alice: Account, connection: Any
) -> None:
    keyed = {"headers": {"Idempotency-Key": new_id()}}
    assert sign_in(alice.client, alice.email, **keyed).status_code == 200
    disable(connection, alice)
    assert kind(sign_in(alice.client, alice.email, **keyed)) == (403, "account-disabled")


def test_the_address_of_a_disabled_account_stays_taken(
    client: FlaskClient, signed_in: Session, alice: Account, connection: Any
) -> None:
    disable(connection, alice)
    body = {"email": alice.email.upper(), "password": PASSWORD}
    assert kind(client.post("/v1/auth/register", json=body)) == (409, "conflict")


def test_another_issuers_user_can_be_disabled(
    database_url: str,
    issuer: Issuer,
    auth: Callable[..., Account],
    run: Callable[..., None],
) -> None:
    external = auth(create_app(trusting(database_url, issuer)))._replace(token=issuer.sign())
    made = external.create_task()
    user_id = external.get("/v1/me").json["id"]
    run("disable", "--user", user_id)
    path = f"/v1/tasks/{made['id']}"
    assert kind(external.get(path)) == (401, "unauthenticated")
    assert kind(external.patch(path, json={"complete": True})) == (401, "unauthenticated")
    assert kind(external.get("/v1/me")) == (401, "unauthenticated")
    assert kind(external.get("/v1/tasks?limit=0")) == (401, "unauthenticated")
    run("enable", "--user", user_id)
    assert external.get(path).json == made


def test_nobody_disables_or_enables_an_account_by_a_request(alice: Account) -> None:
    for field in ("disabled_at", "disabled"):
        assert alice.patch("/v1/me", json={field: None}).status_code == 422
        assert field not in alice.get("/v1/me").json


# Registration


def register(client: FlaskClient, email: str, **headers: str) -> TestResponse:
    body = {"email": email, "password": PASSWORD}
    return client.post("/v1/auth/register", json=body, headers=headers)


def test_where_registration_is_closed_nobody_registers(
    database_url: str, alice: Account, connection: Any
) -> None:
    client = create_app(settings_for(database_url, REGISTRATION="closed")).test_client()
    for email in (f"{new_id()}@example.com", alice.email):
        assert kind(register(client, email)) == (403, "registration-closed")
    with connection.cursor() as cursor:
        cursor.execute("select count(*) from users where lower(email) = %s", (email.lower(),))
        assert cursor.fetchone() == (1,)


def test_where_registration_is_closed_the_key_of_an_earlier_one_tells_nothing(
    client: FlaskClient, database_url: str
) -> None:
    email, key = f"{new_id()}@example.com", {"Idempotency-Key": new_id()}
    assert register(client, email, **key).status_code == 201
    closed = create_app(settings_for(database_url, REGISTRATION="closed")).test_client()
    assert kind(register(closed, email, **key)) == (403, "registration-closed")


def test_where_registration_is_closed_operators_create_accounts_that_sign_in(
    database_url: str,
) -> None:
    application = create_app(settings_for(database_url, REGISTRATION="closed"))
    email = f"{new_id()}@example.com"
    command = ["users", "create", "--email", email, "--password", PASSWORD]
    assert application.test_cli_runner().invoke(args=command).exit_code == 0
    assert sign_in(application.test_client(), email).status_code == 200
