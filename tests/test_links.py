"""Links in mails: new passwords, verified and changed addresses, registrations and invitations."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest
from apiflask import APIFlask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from app import create_app
from app.auth.mail_kinds import MailKind, Purpose
from app.auth.mail_tokens import MailToken
from app.auth.outbox import MOST_AN_HOUR
from app.core.ids import new_id
from app.core.secrets import Keys
from tests.assertions import refused
from tests.conftest import PASSWORD, SECRET, Account, sending, settings_for
from tests.mailbox import Letter, Mailbox
from tests.parallel import at_once
from tests.people import any_address, as_of, disable, session, sign_in

NEW = "staple battery horse correct"
OTHER = "another battery, another horse"

Open = Callable[[str], Mailbox]
Recorded = Callable[[], AbstractContextManager[list[str]]]


@pytest.fixture
def mailbox(app: APIFlask, connection: Any) -> Open:
    """Opens the mailbox of an address."""
    return lambda address: Mailbox(app, connection, address)


@pytest.fixture(scope="session")
def confirming(database_url: str) -> APIFlask:
    """A service that creates no account before its address is confirmed."""
    return create_app(settings_for(database_url, REGISTRATION="confirmed"))


def post(client: FlaskClient, path: str, **body: Any) -> TestResponse:
    """A request of nobody, from an address of its own."""
    return client.post(path, json=body, environ_overrides={"REMOTE_ADDR": any_address()})


def ask_reset(client: FlaskClient, email: str) -> TestResponse:
    return post(client, "/v1/auth/password-reset", email=email)


def choose(client: FlaskClient, token: str, password: str = NEW) -> TestResponse:
    path = "/v1/auth/password-reset/confirm"
    return post(client, path, token=token, new_password=password)


def confirm(client: FlaskClient, token: str) -> TestResponse:
    return post(client, "/v1/auth/email-verification/confirm", token=token)


def register(client: FlaskClient, email: str, **more: Any) -> TestResponse:
    return post(client, "/v1/auth/register", email=email, password=PASSWORD, **more)


def change_email(account: Account, email: str, password: str = PASSWORD) -> TestResponse:
    return account.post(
        "/v1/me/email",
        json={"email": email, "current_password": password},
        environ_overrides={"REMOTE_ADDR": any_address()},
    )


def is_useless(answer: TestResponse) -> bool:
    """Whether the token was refused, as any other would be that is of no use."""
    return bool(refused(answer, "used_or_expired", pointer="/token"))


def as_sent(answer: TestResponse) -> tuple[int, bytes, dict[str, str]]:
    """What a client can see of it, but for what is different each time."""
    changing = {"X-Request-ID", "RateLimit"}
    headers = {name: value for name, value in answer.headers if name not in changing}
    return answer.status_code, answer.data, headers


def expire(connection: Any, user_id: str) -> None:
    """Let the time pass for which the user's links can be used."""
    with connection.cursor() as cursor:
        sql = (
            "update mail_tokens set created_at = now() - interval '8 days',"
            " expires_at = now() where user_id = %s"
        )
        cursor.execute(sql, (user_id,))


def asked_for(connection: Any, user_id: str) -> tuple[Any, ...]:
    """The lifetime in hours of the user's only link."""
    with connection.cursor() as cursor:
        sql = (
            "select kind, extract(epoch from expires_at - created_at)::int / 3600"
            " from mail_tokens where user_id = %s"
        )
        cursor.execute(sql, (user_id,))
        [row] = cursor.fetchall()
        return tuple(row)


def a_token(user_id: str, kind: MailKind) -> str:
    """A token that nobody was sent."""
    return str(MailToken.derive(user_id, kind, b"\1" * 32, Keys.derive(SECRET)))


# A new password


def test_a_forgotten_password_is_replaced_by_a_link(
    alice: Account, client: FlaskClient, mailbox: Open, connection: Any
) -> None:
    signed_in = session(client, sign_in(client, alice.email))
    asked = ask_reset(client, alice.email.upper())
    assert (asked.status_code, asked.data) == (202, b"")
    [letter] = mailbox(alice.email).letters
    assert letter.kind is MailKind.PASSWORD_RESET
    assert letter.token
    assert letter.token.startswith("password_")
    assert asked_for(connection, alice.user_id) == ("password_reset", 1)
    assert choose(client, letter.token).status_code == 204
    assert sign_in(client, alice.email).status_code == 401
    assert sign_in(client, alice.email, NEW).status_code == 200
    assert as_of(alice, signed_in).get("/v1/me").status_code == 401
    assert not signed_in.lives
    assert alice.get("/v1/me").json["email_verified"] is True
    told = mailbox(alice.email).letters[-1]
    assert told == Letter(MailKind.PASSWORD_CHANGED, None)


def test_an_address_without_account_is_answered_alike_and_gets_no_mail(
    alice: Account, client: FlaskClient, mailbox: Open
) -> None:
    nobody = f"{new_id()}@example.com"
    assert as_sent(ask_reset(client, alice.email)) == as_sent(ask_reset(client, nobody))
    assert mailbox(nobody).letters == []


def test_asking_is_one_statement_whoever_has_the_address(
    alice: Account, client: FlaskClient, sql: Recorded
) -> None:
    for email in (alice.email, f"{new_id()}@example.com"):
        with sql() as sent:
            ask_reset(client, email)
        assert len(sent) == 1


def test_a_disabled_account_gets_no_link_and_no_password(
    alice: Account, client: FlaskClient, mailbox: Open, connection: Any
) -> None:
    ask_reset(client, alice.email)
    token = mailbox(alice.email).token
    disable(connection, alice)
    assert is_useless(choose(client, token))
    assert as_sent(ask_reset(client, alice.email))[0] == 202
    assert len(mailbox(alice.email).letters) == 1


def test_a_link_is_used_once_but_the_same_request_may_come_again(
    alice: Account, client: FlaskClient, mailbox: Open
) -> None:
    ask_reset(client, alice.email)
    token = mailbox(alice.email).token
    assert choose(client, token).status_code == 204
    signed_in = session(client, sign_in(client, alice.email, NEW))
    assert choose(client, token).status_code == 204
    assert signed_in.lives, "a repetition changes nothing"
    assert is_useless(choose(client, token, OTHER))
    assert sign_in(client, alice.email, NEW).status_code == 200


def test_a_new_password_ends_all_other_links_to_choose_one(
    alice: Account, client: FlaskClient, mailbox: Open
) -> None:
    for _ in range(3):
        ask_reset(client, alice.email)
        mailbox(alice.email)
        assert mailbox(alice.email).letters
    first, second, third = [letter.token or "" for letter in mailbox(alice.email).letters]
    assert choose(client, second).status_code == 204
    assert is_useless(choose(client, first, OTHER))
    assert is_useless(choose(client, third, OTHER))


@pytest.mark.parametrize("by_link", [True, False], ids=["by link", "by the old one"])
def test_a_new_password_ends_what_somebody_with_the_old_one_has_asked_for(
    alice: Account, client: FlaskClient, mailbox: Open, by_link: bool
) -> None:
    theirs = f"thief-{alice.email}"
    assert change_email(alice, theirs).status_code == 202
    ask_reset(client, alice.email)
    link = mailbox(alice.email).token
    if by_link:
        assert choose(client, link).status_code == 204
    else:
        change = {"current_password": PASSWORD, "new_password": NEW}
        assert alice.post("/v1/me/password", json=change).status_code == 204
        assert is_useless(choose(client, link, OTHER))
    assert is_useless(confirm(client, mailbox(theirs).token))
    assert sign_in(client, alice.email, NEW).status_code == 200


def test_of_two_that_follow_a_link_at_once_with_different_passwords_one_succeeds(
    alice: Account, client: FlaskClient, mailbox: Open, app: APIFlask
) -> None:
    ask_reset(client, alice.email)
    token = mailbox(alice.email).token
    passwords = [f"a good password {n}" for n in range(4)]
    answers = at_once(
        [lambda each=each: choose(app.test_client(), token, each) for each in passwords]
    )
    assert sorted(answer.status_code for answer in answers) == [204, 422, 422, 422]
    counts = [sign_in(client, alice.email, password).status_code == 200 for password in passwords]
    assert counts == [answer.status_code == 204 for answer in answers]


def test_a_link_has_its_time(
    alice: Account, client: FlaskClient, mailbox: Open, connection: Any
) -> None:
    ask_reset(client, alice.email)
    token = mailbox(alice.email).token
    expire(connection, alice.user_id)
    assert is_useless(choose(client, token))
    assert sign_in(client, alice.email).status_code == 200


def test_a_link_is_for_the_address_that_it_was_sent_to(
    alice: Account, client: FlaskClient, mailbox: Open
) -> None:
    ask_reset(client, alice.email)
    reset = mailbox(alice.email).token
    alice.post("/v1/me/email-verification")
    verification = mailbox(alice.email).token
    new = f"new-{alice.email}"
    assert change_email(alice, new).status_code == 202
    assert confirm(client, mailbox(new).token).status_code == 204
    assert is_useless(choose(client, reset))
    assert is_useless(confirm(client, verification))


@pytest.mark.parametrize(
    "alter",
    [
        lambda token: token[:-1],
        lambda token: f"{token}=",
        lambda token: token.partition("_")[2],
        lambda token: token.replace("password_", "address_"),
        lambda token: f" {token}",
        lambda token: token.swapcase(),
        lambda token: f"password_{token}",
        lambda token: "",
        lambda token: "password_",
    ],
)
def test_a_token_that_is_not_quite_right_is_of_no_use(
    alice: Account, client: FlaskClient, mailbox: Open, alter: Callable[[str], str]
) -> None:
    ask_reset(client, alice.email)
    token = mailbox(alice.email).token
    assert is_useless(choose(client, alter(token)))
    assert choose(client, token).status_code == 204


def test_tokens_that_nobody_was_sent_are_of_no_use(alice: Account, client: FlaskClient) -> None:
    for user_id in (alice.user_id, new_id()):
        assert is_useless(choose(client, a_token(user_id, MailKind.PASSWORD_RESET)))
        assert is_useless(confirm(client, a_token(user_id, MailKind.EMAIL_VERIFICATION)))


def test_a_link_to_choose_a_password_confirms_no_address_and_the_reverse(
    alice: Account, client: FlaskClient, mailbox: Open
) -> None:
    ask_reset(client, alice.email)
    reset = mailbox(alice.email).token
    alice.post("/v1/me/email-verification")
    verification = mailbox(alice.email).token
    for token, use in ((reset, confirm), (verification, choose)):
        assert is_useless(use(client, token))
        _, _, secret = token.partition("_")
        for purpose in Purpose:
            assert is_useless(use(client, f"{purpose}_{secret}"))


@pytest.mark.parametrize("weak", ["short", "password1", "alice-and-bob"])
def test_a_password_that_is_easily_guessed_is_refused_and_the_link_stays(
    client: FlaskClient, mailbox: Open, weak: str
) -> None:
    email = f"alice-and-bob@{new_id()}.example.com"
    assert register(client, email).status_code == 201
    ask_reset(client, email)
    token = mailbox(email).token
    assert choose(client, token, weak).status_code == 422
    assert choose(client, token).status_code == 204


def test_whoever_signed_up_with_an_address_of_another_loses_all_access_with_its_first_reset(
    alice: Account, client: FlaskClient, mailbox: Open
) -> None:
    script = alice._replace(token=alice.create_token()["token"])
    ask_reset(client, alice.email)
    assert choose(client, mailbox(alice.email).token).status_code == 204
    assert script.get("/v1/tasks").status_code == 401
    again = alice._replace(token=alice.create_token()["token"])
    ask_reset(client, alice.email)
    assert choose(client, mailbox(alice.email).token, OTHER).status_code == 204
    assert again.get("/v1/tasks").status_code == 200, "the address was verified before"


def test_an_account_gets_five_links_an_hour_and_nobody_learns_of_that(
    alice: Account, client: FlaskClient, mailbox: Open, database_url: str
) -> None:
    asked = []
    for _ in range(MOST_AN_HOUR + 2):  # each time of another server
        elsewhere = create_app(settings_for(database_url)).test_client()
        asked.append(as_sent(ask_reset(elsewhere, alice.email)))
        assert mailbox(alice.email).letters
    assert all(each == asked[0] for each in asked)
    assert len(mailbox(alice.email).letters) == MOST_AN_HOUR


@pytest.mark.parametrize("exists", [False, True])
def test_a_server_takes_five_requests_an_hour_for_an_address(
    alice: Account, client: FlaskClient, exists: bool
) -> None:
    email = alice.email if exists else f"{new_id()}@example.com"
    asked = [ask_reset(client, email) for _ in range(MOST_AN_HOUR + 1)]
    assert [answer.status_code for answer in asked] == [202] * MOST_AN_HOUR + [429]
    assert 0 < int(asked[-1].headers["Retry-After"]) <= 3600


def test_a_server_takes_fifty_requests_an_hour_of_a_network(client: FlaskClient) -> None:
    here = {"environ_overrides": {"REMOTE_ADDR": any_address()}}

    def ask() -> int:
        body = {"email": f"{new_id()}@example.com"}
        return client.post("/v1/auth/password-reset", json=body, **here).status_code

    assert [ask() for _ in range(51)] == [202] * 50 + [429]


def test_a_request_waits_a_day_for_a_worker_and_is_dropped_then(
    alice: Account, client: FlaskClient, mailbox: Open, connection: Any
) -> None:
    for hours, letters in ((23, 1), (25, 1)):
        ask_reset(client, alice.email)
        with connection.cursor() as cursor:
            sql = "update password_resets set asked_at = now() - %s * interval '1 hour'"
            cursor.execute(sql, (hours,))
        assert len(mailbox(alice.email).letters) == letters


# Verification


def test_an_address_is_verified_by_a_link(
    alice: Account, client: FlaskClient, mailbox: Open, connection: Any
) -> None:
    before = alice.get("/v1/me")
    assert before.json["email_verified"] is False
    asked = alice.post("/v1/me/email-verification")
    assert (asked.status_code, asked.data) == (202, b"")
    [letter] = mailbox(alice.email).letters
    assert letter.kind is MailKind.EMAIL_VERIFICATION
    assert letter.token
    assert letter.token.startswith("address_")
    assert asked_for(connection, alice.user_id) == ("email_verification", 24)
    assert [confirm(client, letter.token).status_code for _ in range(2)] == [204, 204]
    after = alice.get("/v1/me")
    assert after.json["email_verified"] is True
    assert after.json["version"] == before.json["version"] + 1
    assert after.headers["ETag"] != before.headers["ETag"]
    assert alice.post("/v1/me/email-verification").status_code == 202
    assert len(mailbox(alice.email).letters) == 1, "it is verified already"


def test_a_user_asks_five_times_an_hour(alice: Account, mailbox: Open) -> None:
    asked = [alice.post("/v1/me/email-verification") for _ in range(MOST_AN_HOUR + 1)]
    assert [answer.status_code for answer in asked] == [202] * MOST_AN_HOUR + [429]
    assert len(mailbox(alice.email).letters) == MOST_AN_HOUR


# A change of the address


def test_an_address_changes_once_the_new_one_is_confirmed_and_the_old_one_is_told(
    alice: Account, client: FlaskClient, mailbox: Open, connection: Any
) -> None:
    signed_in = session(client, sign_in(client, alice.email))
    new = f"new-{alice.email}"
    asked = change_email(as_of(alice, signed_in), new)
    assert (asked.status_code, asked.data) == (202, b"")
    assert alice.get("/v1/me").json["email"] == alice.email
    [letter] = mailbox(new).letters
    assert letter.kind is MailKind.EMAIL_CHANGE
    assert asked_for(connection, alice.user_id) == ("email_change", 24)
    assert mailbox(alice.email).letters == []
    assert confirm(client, letter.token or "").status_code == 204
    after = alice.get("/v1/me").json
    assert (after["email"], after["email_verified"]) == (new, True)
    assert sign_in(client, new).status_code == 200
    assert sign_in(client, alice.email).status_code == 401
    assert mailbox(alice.email).letters == [Letter(MailKind.EMAIL_CHANGED, None)]
    assert signed_in.lives
    assert confirm(client, letter.token or "").status_code == 204
    assert len(mailbox(alice.email).letters) == 1, "told once"


def test_the_present_password_is_needed_to_change_the_address(
    alice: Account, mailbox: Open
) -> None:
    new = f"new-{alice.email}"
    answer = change_email(alice, new, "wrong horse battery")
    assert refused(answer, "wrong_password", pointer="/current_password")
    assert mailbox(new).letters == []


def test_an_address_that_another_account_has_is_answered_alike_and_not_taken(
    alice: Account, bob: Account, client: FlaskClient, mailbox: Open
) -> None:
    taken, free = change_email(alice, bob.email), change_email(alice, f"new-{alice.email}")
    assert as_sent(taken) == as_sent(free)
    answer = confirm(client, mailbox(bob.email).token)
    assert (answer.status_code, answer.json["type"]) == (409, "/problems/conflict")
    assert (alice.get("/v1/me").json["email"], bob.get("/v1/me").json["email"]) == (
        alice.email,
        bob.email,
    )


def test_of_two_accounts_that_want_an_address_one_gets_it(
    alice: Account, bob: Account, client: FlaskClient, mailbox: Open, app: APIFlask
) -> None:
    new = f"new-{alice.email}"
    for account in (alice, bob):
        assert change_email(account, new).status_code == 202
    tokens = [letter.token or "" for letter in mailbox(new).letters]
    answers = at_once([lambda each=each: confirm(app.test_client(), each) for each in tokens])
    assert sorted(answer.status_code for answer in answers) == [204, 409]


def test_letter_case_alone_changes_without_a_notice(
    alice: Account, client: FlaskClient, mailbox: Open
) -> None:
    assert change_email(alice, alice.email.upper()).status_code == 202
    assert confirm(client, mailbox(alice.email).token).status_code == 204
    assert alice.get("/v1/me").json["email"] == alice.email.upper()
    kinds = [letter.kind for letter in mailbox(alice.email).letters]
    assert kinds == [MailKind.EMAIL_CHANGE]


def test_a_user_asks_five_times_an_hour_for_whatever_addresses(alice: Account) -> None:
    asked = [change_email(alice, f"{n}-{alice.email}") for n in range(MOST_AN_HOUR + 1)]
    assert [answer.status_code for answer in asked] == [202] * MOST_AN_HOUR + [429]


# Registration with a confirmed address


def test_an_account_comes_to_be_when_its_address_is_confirmed(
    confirming: APIFlask, mailbox: Open, connection: Any
) -> None:
    client, email = confirming.test_client(), f"{new_id()}@example.com"
    answer = register(client, email, name="Grace")
    assert (answer.status_code, answer.data) == (202, b"")
    assert sign_in(client, email).status_code == 401
    [letter] = mailbox(email).letters
    assert letter.kind is MailKind.REGISTRATION
    token = MailToken.parse(letter.token or "", Purpose.ADDRESS)
    assert token
    assert asked_for(connection, token.user_id) == ("registration", 24)
    assert [confirm(client, letter.token or "").status_code for _ in range(2)] == [204, 204]
    signed_in = session(client, sign_in(client, email))
    me = Account(token.user_id, email, signed_in.access_token, client).get("/v1/me").json
    assert (me["id"], me["email"], me["email_verified"], me["name"]) == (
        token.user_id,
        email,
        True,
        "Grace",
    )


def test_an_address_that_has_an_account_is_answered_alike(
    confirming: APIFlask, alice: Account, mailbox: Open
) -> None:
    client, free = confirming.test_client(), f"{new_id()}@example.com"
    assert as_sent(register(client, alice.email)) == as_sent(register(client, free))
    assert sign_in(client, free).status_code == 401
    [letter] = mailbox(alice.email).letters
    assert confirm(client, letter.token or "").status_code == 409
    assert alice.get("/v1/me").json["email_verified"] is False


def test_a_registration_takes_the_same_statements_whoever_has_the_address(
    confirming: APIFlask, alice: Account
) -> None:
    client = confirming.test_client()
    for email in (alice.email, f"{new_id()}@example.com"):
        sent: list[str] = []
        with sending(confirming, lambda text, sent=sent: sent.append(text) or text):
            assert register(client, email).status_code == 202
        assert len(sent) == 1


def test_two_may_register_an_address_and_the_first_that_confirms_has_it(
    confirming: APIFlask, mailbox: Open
) -> None:
    client, email = confirming.test_client(), f"{new_id()}@example.com"
    bodies = [{"email": email, "password": password} for password in (PASSWORD, OTHER)]
    for body in bodies:
        assert post(client, "/v1/auth/register", **body).status_code == 202
    first, second = [letter.token or "" for letter in mailbox(email).letters]
    assert confirm(client, second).status_code == 204
    assert confirm(client, first).status_code == 409
    assert sign_in(client, email, OTHER).status_code == 200
    assert sign_in(client, email, PASSWORD).status_code == 401


def test_a_registration_with_a_key_is_prepared_once(confirming: APIFlask, mailbox: Open) -> None:
    client, email = confirming.test_client(), f"{new_id()}@example.com"
    for password in (PASSWORD, PASSWORD, OTHER):
        answer = client.post(
            "/v1/auth/register",
            json={"email": email, "password": password},
            headers={"Idempotency-Key": "k"},
            environ_overrides={"REMOTE_ADDR": any_address()},
        )
        assert answer.status_code == 202
    assert len(mailbox(email).letters) == 2


def test_a_password_that_is_easily_guessed_is_refused_at_once(confirming: APIFlask) -> None:
    email = f"{new_id()}@example.com"
    answer = post(confirming.test_client(), "/v1/auth/register", email=email, password="password1")
    assert refused(answer, "common_password", pointer="/password")


def test_what_nobody_confirmed_is_purged(
    confirming: APIFlask, mailbox: Open, connection: Any
) -> None:
    client, email = confirming.test_client(), f"{new_id()}@example.com"
    register(client, email)
    token = MailToken.parse(mailbox(email).token, Purpose.ADDRESS)
    assert token
    runner = confirming.test_cli_runner()
    assert runner.invoke(args=["purge"]).exit_code == 0
    assert mailbox(email).letters
    with connection.cursor() as cursor:
        sql = "update users set pending_until = now() - interval '1 second' where id = %s"
        cursor.execute(sql, (token.user_id,))
        assert runner.invoke(args=["purge"]).exit_code == 0
        cursor.execute("select from users where id = %s", (token.user_id,))
        assert cursor.fetchall() == []
    assert mailbox(email).letters == []
    assert is_useless(confirm(client, str(token)))


# Invitations


def test_an_invitation_makes_an_account_for_whoever_follows_it(
    app: APIFlask, client: FlaskClient, mailbox: Open, connection: Any
) -> None:
    email = f"{new_id()}@example.com"
    done = app.test_cli_runner().invoke(args=["users", "invite", "--email", email, "--name", "Ada"])
    assert (done.exit_code, done.stderr) == (0, "")
    user_id = done.stdout.strip()
    [letter] = mailbox(email).letters
    assert letter.kind is MailKind.INVITATION
    assert asked_for(connection, user_id) == ("invitation", 7 * 24)
    assert choose(client, letter.token or "").status_code == 204
    signed_in = session(client, sign_in(client, email, NEW))
    me = Account(user_id, email, signed_in.access_token, client).get("/v1/me").json
    assert (me["id"], me["name"], me["email_verified"]) == (user_id, "Ada", True)
    assert [letter.kind for letter in mailbox(email).letters] == [MailKind.INVITATION]
    assert choose(client, letter.token or "").status_code == 204


def test_an_invitation_of_an_address_that_has_an_account_by_now_is_a_conflict(
    app: APIFlask, client: FlaskClient, mailbox: Open
) -> None:
    email = f"{new_id()}@example.com"
    invite = ["users", "invite", "--email", email]
    assert app.test_cli_runner().invoke(args=invite).exit_code == 0
    assert register(client, email).status_code == 201
    assert choose(client, mailbox(email).token).status_code == 409
    again = app.test_cli_runner().invoke(args=invite)
    assert (again.exit_code, again.stderr) == (
        1,
        "Error: an account with this e-mail address exists\n",
    )


# Who may do what


def test_personal_tokens_may_do_none_of_this(alice: Account, connection: Any) -> None:
    script = alice._replace(token=alice.create_token()["token"])
    answers = [
        script.post("/v1/me/email-verification"),
        change_email(script, f"new-{alice.email}"),
        script.erase(),
        script.delete("/v1/me"),
    ]
    assert [(a.status_code, a.json["type"]) for a in answers] == [
        (403, "/problems/sign-in-required")
    ] * 4
    assert alice.get("/v1/me").status_code == 200


def test_where_no_mail_is_sent_what_needs_it_is_refused(
    alice: Account, database_url: str, connection: Any
) -> None:
    production = {"APP_ENV": "production", "TRUSTED_HOSTS": "localhost"}
    application = create_app(settings_for(database_url, **production))
    here = alice._replace(client=application.test_client())
    with application.app_context():
        here = here._replace(token=application.extensions["token_verifier"].issue(alice.user_id))
    answers = [
        ask_reset(here.client, alice.email),
        here.post("/v1/me/email-verification"),
        change_email(here, f"new-{alice.email}"),
    ]
    assert [(a.status_code, a.json["type"]) for a in answers] == [
        (503, "/problems/mail-unavailable")
    ] * 3
    invite = ["users", "invite", "--email", f"{new_id()}@example.com"]
    done = application.test_cli_runner().invoke(args=invite)
    assert done.exit_code == 1
    assert "does not send mail" in done.stderr
