"""What attackers try on links in mails and on the routes that ask for the present password."""

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import pytest
from apiflask import APIFlask
from flask.testing import FlaskClient
from psycopg2.errors import InsufficientPrivilege

from app.api.users import presence
from app.auth.mail_kinds import MailKind, Purpose
from app.auth.mail_tokens import MailToken
from app.auth.outbox import MOST_AN_HOUR
from app.auth.owned_secrets import OwnedSecret
from app.core.ids import new_id
from app.core.logs import redact
from tests.conftest import PASSWORD, Account
from tests.locks import held, until, waiting
from tests.mailbox import Mailbox
from tests.people import any_address, session, sign_in
from tests.roles import act_as
from tests.test_links import (
    NEW,
    OTHER,
    Open,
    Recorded,
    a_token,
    ask_reset,
    change_email,
    choose,
    confirm,
    is_useless,
    post,
    register,
)


@pytest.fixture
def mailbox(app: APIFlask, connection: Any) -> Open:
    """Opens the mailbox of an address."""
    return lambda address: Mailbox(app, connection, address)


def change_password(account: Account, current: str, new: str) -> int:
    body = {"current_password": current, "new_password": new}
    where = {"REMOTE_ADDR": any_address()}
    return account.post("/v1/me/password", json=body, environ_overrides=where).status_code


# Guesses


def test_a_link_that_was_used_lets_nobody_guess_the_password(
    alice: Account, client: FlaskClient, mailbox: Open
) -> None:
    ask_reset(client, alice.email)
    token = mailbox(alice.email).token
    assert choose(client, token).status_code == 204
    for number in range(10):
        assert is_useless(choose(client, token, f"{OTHER} {number}"))
    assert choose(client, token, NEW).status_code == 429
    assert sign_in(client, alice.email, NEW).status_code == 429, "they were failed sign-ins"


# Locks and threads


def test_a_forged_token_waits_for_nobody(
    alice: Account, client: FlaskClient, connection: Any
) -> None:
    with held(connection, alice.user_id):
        assert is_useless(confirm(client, a_token(alice.user_id, MailKind.EMAIL_VERIFICATION)))


def test_a_confirmation_waits_for_a_long_write_of_the_user_for_a_second(
    alice: Account, patient: APIFlask, mailbox: Open, connection: Any
) -> None:
    client = patient.test_client()
    alice.post("/v1/me/email-verification")
    token = mailbox(alice.email).token
    with held(connection, alice.user_id):
        answer = confirm(client, token)
        assert (answer.status_code, answer.json["type"]) == (503, "/problems/database-busy")
    assert confirm(client, token).status_code == 204


# Races


def test_a_link_to_choose_a_password_is_of_no_use_once_the_address_is_another(
    alice: Account, mailbox: Open, connection: Any, app: APIFlask, patient: APIFlask
) -> None:
    client = app.test_client()
    signed_in = session(client, sign_in(client, alice.email))
    ask_reset(client, alice.email)
    token = mailbox(alice.email).token
    change = (
        "update users set email = 'new-' || email, change_seq = change_seq + 1,"
        " version = change_seq + 1 where id = %s"
    )
    with ThreadPoolExecutor(1) as pool, connection.cursor() as cursor:
        cursor.execute("begin")
        address = "insert into sign_in_addresses values (%s, %s)"
        cursor.execute(address, (f"new-{alice.email}", alice.user_id))
        cursor.execute(change, (alice.user_id,))
        chosen = pool.submit(choose, patient.test_client(), token)
        until(lambda: waiting(connection))
        cursor.execute("commit")
        assert is_useless(chosen.result())
    assert sign_in(client, f"new-{alice.email}").status_code == 200
    assert signed_in.lives
    assert [each.kind for each in mailbox(alice.email).letters] == [MailKind.PASSWORD_RESET]


def test_an_account_that_is_disabled_meanwhile_gets_no_password(
    alice: Account, mailbox: Open, connection: Any, app: APIFlask, patient: APIFlask
) -> None:
    client = app.test_client()
    ask_reset(client, alice.email)
    token = mailbox(alice.email).token
    with ThreadPoolExecutor(1) as pool, connection.cursor() as cursor:
        cursor.execute("begin")
        cursor.execute("update users set disabled_at = now() where id = %s", (alice.user_id,))
        chosen = pool.submit(choose, patient.test_client(), token)
        until(lambda: waiting(connection))
        cursor.execute("commit")
        assert is_useless(chosen.result())
        cursor.execute("update users set disabled_at = null where id = %s", (alice.user_id,))
    assert sign_in(client, alice.email).status_code == 200


def test_a_password_that_is_changed_while_it_is_compared_changes_no_address(
    alice: Account, mailbox: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = f"thief-{alice.email}"
    compare = presence.check_password_hash

    def changed_meanwhile(*arguments: Any) -> Any:
        found = compare(*arguments)
        monkeypatch.undo()
        assert change_password(alice, PASSWORD, NEW) == 204
        return found

    monkeypatch.setattr(presence, "check_password_hash", changed_meanwhile)
    answer = change_email(alice, theirs)
    assert (answer.status_code, answer.json["type"]) == (409, "/problems/conflict")
    assert mailbox(theirs).letters == []


# Mail bombing


def test_whoever_has_an_account_with_anothers_address_sends_it_five_notices_an_hour(
    alice: Account, mailbox: Open
) -> None:
    passwords = [PASSWORD, NEW] * 8
    for old, new in pairwise(passwords):
        assert change_password(alice, old, new) == 204
    kinds = [letter.kind for letter in mailbox(alice.email).letters]
    assert kinds == [MailKind.PASSWORD_CHANGED] * MOST_AN_HOUR


def test_an_account_that_is_made_again_sends_no_more_mails_to_its_address(
    client: FlaskClient, mailbox: Open, connection: Any
) -> None:
    email, statuses = f"{new_id()}@example.com", []
    for _ in range(3):
        made = register(client, email)
        assert made.status_code == 201
        signed_in = session(client, sign_in(client, email))
        account = Account(made.json["id"], email, signed_in.access_token, client)
        for _ in range(3):
            where = {"REMOTE_ADDR": any_address()}
            asked = account.post("/v1/me/email-verification", environ_overrides=where)
            statuses.append(asked.status_code)
        assert account.erase().status_code == 204
    assert statuses == [202] * MOST_AN_HOUR + [429] * 4


def test_strangers_who_ask_for_a_new_password_keep_its_owner_from_nothing(
    alice: Account, client: FlaskClient, mailbox: Open
) -> None:
    for _ in range(MOST_AN_HOUR):
        assert ask_reset(client, alice.email).status_code == 202
        assert mailbox(alice.email).letters
    assert alice.post("/v1/me/email-verification").status_code == 202
    assert change_email(alice, f"new-{alice.email}").status_code == 202
    assert len(mailbox(alice.email).letters) == MOST_AN_HOUR + 1


# Headers, forms and lengths


@pytest.mark.parametrize("header", ["Host", "X-Forwarded-Host", "X-Forwarded-Proto", "Forwarded"])
def test_no_header_gets_into_a_link(
    alice: Account, client: FlaskClient, mailbox: Open, connection: Any, header: str
) -> None:
    value = "host=evil.example" if header == "Forwarded" else "evil.example"
    asked = client.post(
        "/v1/auth/password-reset",
        json={"email": alice.email},
        headers={header: value},
        environ_overrides={"REMOTE_ADDR": any_address()},
    )
    assert asked.status_code == 202
    assert mailbox(alice.email).token
    with connection.cursor() as cursor:
        cursor.execute("select mails::text from mails where user_id = %s", (alice.user_id,))
        assert "evil" not in str(cursor.fetchall())


def test_no_log_line_holds_the_token_of_a_link(alice: Account) -> None:
    for kind in (MailKind.PASSWORD_RESET, MailKind.EMAIL_VERIFICATION):
        token = a_token(alice.user_id, kind)
        secret = token.partition("_")[2]
        for text in (token, f"/confirm/{token}", f"?token={token}&a=b", f'{{"token": "{token}"}}'):
            assert secret not in redact(text)


@pytest.mark.parametrize(
    "email",
    [
        "a@example.com\r\nBcc: b@example.com",
        "a@example.com\n",
        "a@exam\0ple.com",
        "a@example.com\u2028",
        "\u202ea@example.com",
        "\uff41@example.com",
        "\u212a@example.com",
        "a@[127.0.0.1]",
        "a@b,c@example.com",
        '"a b"@example.com',
        "<a@example.com>",
        f"{'a' * 65}@example.com",
        f"a@{'x' * 10**5}",
        None,
        ["a@example.com"],
        {"$ne": ""},
    ],
    ids=lambda it: ascii(it)[:30],
)
def test_what_is_no_address_is_asked_for_nothing(
    alice: Account, client: FlaskClient, email: Any, sql: Recorded
) -> None:
    with sql() as sent:
        assert post(client, "/v1/auth/password-reset", email=email).status_code == 422
    assert sent == []
    assert register(client, email).status_code == 422
    assert change_email(alice, email).status_code == 422


@pytest.mark.parametrize(
    "token",
    ["\0", "\n", "\u00e9", "=" * 64, "/" * 64, "A" * 64, "A" * 10**5, None, 1, ["A"], {"A": "A"}],
    ids=lambda it: ascii(it)[:20],
)
def test_a_token_of_any_form_is_refused(client: FlaskClient, token: Any) -> None:
    for use, purpose in ((choose, "password_"), (confirm, "address_")):
        answer = use(client, f"{purpose}{token}" if isinstance(token, str) else token)
        assert answer.status_code == 422


# The roles of the database


def test_a_stolen_secret_in_a_token_of_ones_own_is_of_no_use(
    alice: Account, bob: Account, client: FlaskClient, mailbox: Open
) -> None:
    ask_reset(client, alice.email)
    stolen = MailToken.parse(mailbox(alice.email).token, Purpose.PASSWORD)
    assert stolen
    own = OwnedSecret(bob.user_id, stolen.owned.secret)
    assert is_useless(choose(client, str(MailToken(Purpose.PASSWORD, own))))
    assert sign_in(client, bob.email).status_code == 200
    assert choose(client, str(stolen)).status_code == 204


@pytest.mark.parametrize(
    "sql",
    [
        "select id from users where id = '{id}'",
        "select user_id from mail_tokens where user_id = '{id}'",
        "update users set email_verified = true where id = '{id}' returning id",
        "update mail_tokens set used_at = now() where user_id = '{id}' returning user_id",
        "delete from mail_tokens where user_id = '{id}' returning user_id",
        "delete from refresh_tokens where user_id = '{id}' returning user_id",
        "delete from personal_access_tokens where user_id = '{id}' returning user_id",
    ],
)
def test_a_link_sees_and_writes_the_rows_of_its_user_alone(
    alice: Account, bob: Account, client: FlaskClient, mailbox: Open, connection: Any, sql: str
) -> None:
    session(client, sign_in(client, alice.email))
    alice.create_token()
    ask_reset(client, alice.email)
    assert mailbox(alice.email).token
    for of, count in ((bob, 0), (alice, 1)):
        with connection.cursor() as cursor:
            cursor.execute("begin")
            act_as(cursor, "tasks_links", of.user_id)
            cursor.execute(sql.format(id=alice.user_id))
            assert len(cursor.fetchall()) == count
            cursor.execute("rollback")


@pytest.mark.parametrize(
    "sql",
    [
        "tasks_links: select name from users",
        "tasks_links: update users set disabled_at = null",
        "tasks_links: insert into mail_tokens (user_id, token_hash, kind, email, expires_at)"
        " values ('{id}', sha256('x'), 'invitation', 'a@b', now() + interval '1 hour')",
        "tasks_links: update mail_tokens set email = 'a@b'",
        "tasks_links: select recipient from mails",
        "tasks_links: select title from tasks",
        "tasks_auth: select password_hash from mail_tokens",
        "tasks_auth: update mail_tokens set used_at = null",
        "tasks_auth: select email from password_resets",
        "tasks_auth: update users set email = 'a@b'",
        "tasks_app: select email from mail_tokens",
        "tasks_app: insert into mails (user_id, id, kind, recipient)"
        " values ('{id}', gen_random_uuid(), 'invitation', 'a@b')",
    ],
)
def test_a_role_may_do_with_links_only_what_its_requests_need(
    alice: Account, connection: Any, sql: str
) -> None:
    role, _, statement = sql.partition(": ")
    with connection.cursor() as cursor:
        cursor.execute("begin")
        act_as(cursor, role, alice.user_id)
        with pytest.raises(InsufficientPrivilege):
            cursor.execute(statement.format(id=alice.user_id))
        cursor.execute("rollback")
