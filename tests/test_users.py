"""Accounts: made, signed in to, changed and erased."""

from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from app.core.ids import new_id
from tests.assertions import refused
from tests.conftest import PASSWORD, Account
from tests.hooks import hook
from tests.moved import move_in
from tests.parallel import at_once
from tests.people import Session, give_password, outlast_grace, session, sign_in

MERGE_PATCH = "application/merge-patch+json"
ONCE = {"Idempotency-Key": "once"}


def register(client: FlaskClient, **fields: Any) -> TestResponse:
    body = {"email": f"{new_id()}@example.com", "password": PASSWORD, **fields}
    return client.post("/v1/auth/register", json=body)


@pytest.fixture
def member(alice: Account, connection: Any) -> Account:
    """A user who can sign in."""
    give_password(connection, alice)
    return alice


@pytest.fixture
def signed_in(member: Account) -> Callable[[], Session]:
    """Signs the member in once more."""
    return lambda: session(member.client, sign_in(member.client, member.email))


def assert_refused_session(response: TestResponse) -> None:
    assert response.status_code == 401
    assert response.json["type"] == "/problems/invalid-credentials"
    assert response.headers["WWW-Authenticate"] == "Bearer"


# Registering


def test_registering_makes_an_account_whose_password_is_in_no_answer(
    client: FlaskClient, connection: Any
) -> None:
    email = f"Alice.{new_id()}@Example.com"
    made = register(client, email=email, name="  Alice  ")
    assert (made.status_code, made.headers["Location"]) == (201, "/v1/me")
    expected = {"email": email, "name": "Alice", "time_zone": "UTC", "version": 0}
    expected |= {"email_verified": False}
    assert made.json.items() >= expected.items()
    assert set(made.json) == {"id", "created_at", "updated_at", "usage", *expected}
    assert made.headers["ETag"] == '"0"'

    entered = session(client, sign_in(client, email.upper()))
    headers = {"Authorization": f"Bearer {entered.access_token}"}
    me = client.get("/v1/me", headers=headers)
    assert (me.status_code, me.json) == (200, made.json)

    with connection.cursor() as cursor:
        cursor.execute("select password_hash from users where id = %s", (made.json["id"],))
        password_hash = cursor.fetchone()[0]
    assert password_hash.startswith("$argon2id$")
    for secret in (PASSWORD, password_hash, "password"):
        assert secret not in made.text + str(made.headers) + me.text + str(me.headers)


def test_an_address_is_taken_in_every_letter_case(client: FlaskClient, alice: Account) -> None:
    for email in (alice.email, alice.email.upper(), alice.email.title()):
        taken = register(client, email=email)
        assert (taken.status_code, taken.json["type"]) == (409, "/problems/conflict")
        assert "Location" not in taken.headers


def test_of_three_who_register_one_address_at_once_one_gets_it(client: FlaskClient) -> None:
    email = f"{new_id()}@example.com"
    clients = [client.application.test_client() for _ in range(3)]
    answers = at_once([lambda c=c: register(c, email=email).status_code for c in clients])
    assert sorted(answers) == [201, 409, 409]


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"email": "alice"}, "email"),
        ({"email": "alice@example.com\n"}, "email"),
        ({"email": "ålice@example.com"}, "email"),
        ({"email": None}, "string_type"),
        ({"email": f"{'a' * 64}@{'b.' * 100}com"}, "string_too_long"),
        ({"password": "7 chars"}, "string_too_short"),
        ({"password": "x" * 201}, "string_too_long"),
        ({"password": "nul \0 character"}, "string_null"),
        ({"password": ["correct horse"]}, "string_type"),
        ({"name": " \t"}, "string_blank"),
        ({"name": "x" * 101}, "string_too_long"),
        ({"name": True}, "string_type"),
        ({"id": "00000000-0000-7000-8000-000000000000"}, "extra_forbidden"),
    ],
)
def test_a_registration_is_refused_for_each_field(
    client: FlaskClient, fields: dict[str, Any], code: str
) -> None:
    assert refused(register(client, **fields), code, pointer=f"/{next(iter(fields))}")


@pytest.mark.parametrize("field", ["email", "password"])
def test_a_registration_needs_both_address_and_password(client: FlaskClient, field: str) -> None:
    body = {"email": f"{new_id()}@example.com", "password": PASSWORD}
    del body[field]
    assert refused(client.post("/v1/auth/register", json=body), "missing", pointer=f"/{field}")


# Sessions


def test_signing_in_answers_a_pair_that_the_database_could_not_give_away(
    member: Account, connection: Any
) -> None:
    answer = sign_in(member.client, member.email.upper())
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    assert set(answer.json) == {"access_token", "token_type", "expires_in", "refresh_token"}
    assert (answer.json["token_type"], answer.json["expires_in"]) == ("Bearer", 900)
    entered = member._replace(token=answer.json["access_token"])
    assert entered.get("/v1/me").json["id"] == member.user_id
    with connection.cursor() as cursor:
        cursor.execute("select * from refresh_tokens where user_id = %s", (member.user_id,))
        assert cursor.rowcount == 1
        assert answer.json["refresh_token"] not in str(cursor.fetchall())


def test_a_refresh_token_is_spent_for_a_new_pair(
    member: Account, signed_in: Callable[[], Session]
) -> None:
    first = signed_in()
    second = first.refreshed()
    assert second.refresh_token != first.refresh_token
    assert member._replace(token=second.access_token).get("/v1/me").status_code == 200
    assert second.refreshed().lives


def test_a_spent_token_that_comes_back_ends_its_family_and_no_other(
    member: Account, signed_in: Callable[[], Session], connection: Any
) -> None:
    stolen, other = signed_in(), signed_in()
    newest = stolen.refreshed().refreshed()
    outlast_grace(connection, member.user_id)
    assert_refused_session(stolen.refresh())
    assert_refused_session(newest.refresh())
    assert_refused_session(stolen.refresh())
    assert other.lives


def test_a_refresh_token_expires(
    member: Account, signed_in: Callable[[], Session], connection: Any
) -> None:
    entered = signed_in()
    with connection.cursor() as cursor:
        cursor.execute(
            "update refresh_tokens set created_at = now() - interval '31 days',"
            " expires_at = now() - interval '1 second' where user_id = %s",
            (member.user_id,),
        )
    assert_refused_session(entered.refresh())


def test_a_refresh_token_lasts_thirty_days(
    member: Account, signed_in: Callable[[], Session], connection: Any
) -> None:
    signed_in()
    with connection.cursor() as cursor:
        cursor.execute(
            "select extract(days from expires_at - created_at) from refresh_tokens"
            " where user_id = %s",
            (member.user_id,),
        )
        assert cursor.fetchall() == [(30,)]


def test_signing_out_ends_one_family_and_no_other(signed_in: Callable[[], Session]) -> None:
    left, other = signed_in(), signed_in()
    newest = left.refreshed()
    assert newest.logout().status_code == 204
    assert_refused_session(newest.refresh())
    assert_refused_session(left.refresh())
    assert other.lives


def test_signing_out_twice_or_with_a_spent_token_is_done_too(
    signed_in: Callable[[], Session],
) -> None:
    spent = signed_in()
    newest = spent.refreshed()
    assert spent.logout().status_code == 204
    assert_refused_session(newest.refresh())
    assert newest.logout().status_code == 204


def test_what_is_no_refresh_token_signs_nobody_in_and_nobody_out(
    client: FlaskClient, alice: Account, signed_in: Callable[[], Session]
) -> None:
    token = signed_in().refresh_token
    for text in ("", "x", "x" * 64, "Å" * 64, "=" * 64, f"{token}=", token[:-1], token.swapcase()):
        forged = Session(client, "", text)
        assert_refused_session(forged.refresh())
        assert forged.logout().status_code == 204
    assert Session(client, "", token).lives


@pytest.mark.parametrize("route", ["refresh", "logout"])
@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "missing"),
        ({"refresh_token": None}, "string_type"),
        ({"refresh_token": 7}, "string_type"),
        ({"refresh_token": "x" * 201}, "string_too_long"),
    ],
)
def test_a_refresh_token_is_text(
    client: FlaskClient, route: str, body: dict[str, Any], code: str
) -> None:
    answer = client.post(f"/v1/auth/{route}", json=body)
    assert refused(answer, code, pointer="/refresh_token")


# The account


def test_a_patch_of_the_account_changes_what_it_names(alice: Account) -> None:
    before = alice.get("/v1/me").json
    zoned = alice.patch("/v1/me", json={"time_zone": "Europe/Oslo"})
    assert zoned.status_code == 200
    assert (zoned.json["time_zone"], zoned.json["name"]) == ("Europe/Oslo", None)
    named = alice.patch("/v1/me", json={"name": " Alice "}, content_type=MERGE_PATCH)
    assert (named.json["time_zone"], named.json["name"]) == ("Europe/Oslo", "Alice")
    assert before["version"] < zoned.json["version"] < named.json["version"]
    assert before["updated_at"] < zoned.json["updated_at"] < named.json["updated_at"]
    assert named.headers["ETag"] == f'"{named.json["version"]}"'
    assert alice.patch("/v1/me", json={"name": None}).json["name"] is None


def test_a_patch_that_changes_nothing_keeps_the_version(alice: Account) -> None:
    named = alice.patch("/v1/me", json={"name": "Alice"}).json
    for patch in ({}, {"name": "Alice"}, {"name": "Alice", "time_zone": "UTC"}):
        assert alice.patch("/v1/me", json=patch).json == named


@pytest.mark.parametrize(
    "zone",
    [
        "localtime",
        "Factory",
        "posix/UTC",
        "right/UTC",
        "Mars/Olympus",
        "Europe",
        "",
        "../../etc/passwd",
        "/etc/localtime",
        "UTC\0",
        "x" * 65,
    ],
)
def test_an_unknown_time_zone_is_refused(alice: Account, zone: str) -> None:
    code = "string_too_long" if len(zone) > 64 else "time_zone"
    assert refused(alice.patch("/v1/me", json={"time_zone": zone}), code, pointer="/time_zone")


@pytest.mark.parametrize(
    ("patch", "code"),
    [
        ({"name": ""}, "string_blank"),
        ({"name": "x" * 101}, "string_too_long"),
        ({"time_zone": None}, "string_type"),
        ({"email": "other@example.com"}, "extra_forbidden"),
        ({"password": PASSWORD}, "extra_forbidden"),
        ({"version": 7}, "extra_forbidden"),
        ({"id": "00000000-0000-7000-8000-000000000000"}, "extra_forbidden"),
    ],
)
def test_a_patch_of_the_account_is_refused_for_each_field(
    alice: Account, patch: dict[str, Any], code: str
) -> None:
    assert refused(alice.patch("/v1/me", json=patch), code, pointer=f"/{next(iter(patch))}")


# Erasing it


def rows(connection: Any, user_id: str) -> dict[str, int]:
    """How many rows of the user each table has that names users."""
    counts = {}
    with connection.cursor() as cursor:
        cursor.execute(
            "select table_name from information_schema.columns"
            " where column_name = 'user_id' and table_schema = 'public'"
        )
        owners = [("users", "id"), *((name, "user_id") for (name,) in cursor.fetchall())]
        for table, column in owners:
            cursor.execute(f"select count(*) from {table} where {column} = %s", (user_id,))
            counts[table] = cursor.fetchone()[0]
    return counts


def test_erasing_the_account_removes_every_row_of_it_and_none_of_anyone_else(
    member: Account, bob: Account, signed_in: Callable[[], Session], connection: Any
) -> None:
    for account in (member, bob):
        category = account.create_category()
        label = account.create_label()
        reminders = [{"at": "2099-01-01T00:00:00Z"}]
        account.create_task(
            category_id=category["id"], label_ids=[label["id"]], reminders=reminders
        )
        account.create_token()
        hook(account, "https://hooks.example.com/")
        move_in(account)
        account.post("/v1/tasks", json={"title": "Buy milk"}, headers=ONCE)
        deleted = account.create_task()
        account.delete(f"/v1/tasks/{deleted['id']}")
        assert account.post("/v1/me/email-verification").status_code == 202
    entered = signed_in()
    kept = rows(connection, bob.user_id)
    held = rows(connection, member.user_id)
    assert min(held.values()) > 0, "each table with a user's id must have a row to lose"

    erased = member.erase()

    assert (erased.status_code, erased.data) == (204, b"")
    assert rows(connection, member.user_id) == dict.fromkeys(held, 0)
    assert rows(connection, bob.user_id) == kept
    assert_refused_session(entered.refresh())


def test_an_erased_account_frees_its_address(client: FlaskClient, alice: Account) -> None:
    assert alice.erase().status_code == 204
    again = register(client, email=alice.email.upper())
    assert again.status_code == 201
    assert again.json["id"] != alice.user_id


def test_the_token_of_an_erased_account_reads_and_writes_nothing(alice: Account) -> None:
    task = alice.create_task()
    path = f"/v1/tasks/{task['id']}"
    assert alice.erase().status_code == 204
    answers = [
        alice.get("/v1/me"),
        alice.patch("/v1/me", json={"name": "Alice"}),
        alice.erase(),
        alice.post("/v1/tasks", json={"title": "Buy milk"}),
        alice.put(path, json={"title": "Buy milk"}),
        alice.post("/v1/categories", json={"name": "Home"}),
    ]
    assert {answer.status_code for answer in answers} == {401}
    assert {answer.json["type"] for answer in answers} == {"/problems/unauthenticated"}
    assert alice.get(path).status_code == 404
    assert alice.get("/v1/tasks").json["items"] == []


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
def test_nobody_has_no_account(client: FlaskClient, method: str) -> None:
    answer = client.open("/v1/me", method=method, json={})
    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
