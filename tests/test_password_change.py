"""Users change their password, which ends all their other sessions."""

from collections.abc import Callable
from typing import Any

import pytest
from apiflask import APIFlask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from app import create_app
from app.api.users import routes
from tests.assertions import refused
from tests.conftest import PASSWORD, Account, settings_for, trusting
from tests.issuer import Issuer
from tests.locks import held
from tests.parallel import at_once, callers
from tests.people import Session, any_address, as_of, give_password, session, sign_in

NEW = "staple battery horse correct"
WRONG = "wrong horse battery"

Begin = Callable[[], Session]


@pytest.fixture
def begin(alice: Account, connection: Any) -> Begin:
    """Signs Alice in."""
    give_password(connection, alice)
    return lambda: session(alice.client, sign_in(alice.client, alice.email))


def change(
    account: Account, current: str = PASSWORD, new: str = NEW, *, address: str = "", **options: Any
) -> TestResponse:
    return account.post(
        "/v1/me/password",
        json={"current_password": current, "new_password": new},
        environ_overrides={"REMOTE_ADDR": address or any_address()},
        **options,
    )


def is_wrong(answer: TestResponse) -> bool:
    return bool(refused(answer, "wrong_password", pointer="/current_password"))


# What it does


def test_from_then_on_the_new_password_counts_and_the_old_one_does_not(
    begin: Begin, alice: Account
) -> None:
    answer = change(as_of(alice, begin()))
    assert (answer.status_code, answer.data) == (204, b"")
    assert answer.headers["Cache-Control"] == "no-store"
    assert sign_in(alice.client, alice.email, NEW).status_code == 200
    assert sign_in(alice.client, alice.email, PASSWORD).status_code == 401


def test_all_other_sessions_end_at_once_and_the_present_one_goes_on(
    begin: Begin, alice: Account
) -> None:
    others, here = [begin() for _ in range(2)], begin()
    assert change(as_of(alice, here)).status_code == 204
    for other in others:
        assert as_of(alice, other).get("/v1/me").status_code == 401
        assert not other.lives
    assert as_of(alice, here).get("/v1/me").status_code == 200
    assert as_of(alice, here.refreshed()).get("/v1/me").status_code == 200


def test_other_sessions_end_in_every_process(
    begin: Begin, alice: Account, database_url: str
) -> None:
    other, here = begin(), begin()
    elsewhere = alice._replace(client=create_app(settings_for(database_url)).test_client())
    assert as_of(elsewhere, other).get("/v1/me").status_code == 200
    assert change(as_of(alice, here)).status_code == 204
    assert as_of(elsewhere, other).get("/v1/me").status_code == 401


def test_a_token_that_is_of_no_session_ends_all_of_them(begin: Begin, alice: Account) -> None:
    sessions = [begin() for _ in range(2)]
    assert change(alice).status_code == 204
    assert not any(each.lives for each in sessions)


def test_personal_access_tokens_stay(begin: Begin, alice: Account) -> None:
    script = alice._replace(token=alice.create_token()["token"])
    assert change(as_of(alice, begin())).status_code == 204
    assert script.get("/v1/tasks").status_code == 200


def test_nobody_elses_password_or_session_changes(
    begin: Begin, alice: Account, bob: Account, connection: Any
) -> None:
    give_password(connection, bob)
    others = session(bob.client, sign_in(bob.client, bob.email))
    assert change(as_of(alice, begin())).status_code == 204
    assert others.lives
    assert sign_in(bob.client, bob.email, PASSWORD).status_code == 200


def test_a_change_is_no_change_of_the_account_that_syncs(begin: Begin, alice: Account) -> None:
    here = as_of(alice, begin())
    before = here.get("/v1/me")
    assert change(here).status_code == 204
    after = here.get("/v1/me")
    assert (after.headers["ETag"], after.json["updated_at"]) == (
        before.headers["ETag"],
        before.json["updated_at"],
    )


def test_the_database_has_a_hash_of_it_that_is_hard_to_reverse(
    begin: Begin, alice: Account, connection: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    assert change(as_of(alice, begin())).status_code == 204
    with connection.cursor() as cursor:
        cursor.execute("select password_hash from users where id = %s", (alice.user_id,))
        [(stored,)] = cursor.fetchall()
    assert stored.startswith("$argon2id$")


# The present password


def test_without_the_present_password_nothing_changes(begin: Begin, alice: Account) -> None:
    other, here = begin(), begin()
    assert is_wrong(change(as_of(alice, here), WRONG))
    assert other.lives
    assert sign_in(alice.client, alice.email, PASSWORD).status_code == 200


def test_a_request_that_is_sent_again_has_the_same_effect(begin: Begin, alice: Account) -> None:
    here = as_of(alice, begin())
    key = {"Idempotency-Key": "once"}
    assert [change(here, headers=key).status_code for _ in range(3)] == [204, 204, 204]
    assert sign_in(alice.client, alice.email, NEW).status_code == 200
    for _ in range(12):
        assert change(here).status_code == 204, "a repetition is no failed sign-in"


def test_the_same_password_again_ends_the_other_sessions(begin: Begin, alice: Account) -> None:
    other, here = begin(), begin()
    assert change(as_of(alice, here), PASSWORD, PASSWORD).status_code == 204
    assert not other.lives
    assert sign_in(alice.client, alice.email, PASSWORD).status_code == 200


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"current_password": None}, "string_type"),
        ({"current_password": "x" * 201}, "string_too_long"),
        ({"new_password": "7 chars"}, "string_too_short"),
        ({"new_password": "x" * 201}, "string_too_long"),
        ({"new_password": "nul \0 character"}, "string_null"),
        ({"new_password": ["correct horse"]}, "string_type"),
        ({"email": "a@example.com"}, "extra_forbidden"),
    ],
)
def test_a_change_is_refused_for_each_field(
    alice: Account, fields: dict[str, Any], code: str
) -> None:
    body = {"current_password": PASSWORD, "new_password": NEW, **fields}
    answer = alice.post("/v1/me/password", json=body)
    assert refused(answer, code, pointer=f"/{next(iter(fields))}")


@pytest.mark.parametrize("field", ["current_password", "new_password"])
def test_a_change_needs_both_passwords(alice: Account, field: str) -> None:
    body = {"current_password": PASSWORD, "new_password": NEW}
    del body[field]
    answer = alice.post("/v1/me/password", json=body)
    assert refused(answer, "missing", pointer=f"/{field}")


def test_an_answer_holds_neither_password(begin: Begin, alice: Account) -> None:
    here = as_of(alice, begin())
    for answer in (change(here, WRONG), change(here)):
        assert not [text for text in (WRONG, PASSWORD, NEW) if text in answer.text]


# Guesses


def is_held_back(answer: TestResponse) -> bool:
    held_back = answer.status_code == 429
    return held_back and answer.json["type"] == "/problems/too-many-requests"


def test_ten_wrong_passwords_hold_the_eleventh_back_whoever_sends_it(
    begin: Begin, alice: Account
) -> None:
    sessions = [as_of(alice, begin()) for _ in range(2)]
    for number in range(10):
        assert is_wrong(change(sessions[number % 2], WRONG))
    for here in sessions:
        answer = change(here)
        assert is_held_back(answer)
        assert 1 <= int(answer.headers["Retry-After"]) <= 60
    assert sign_in(alice.client, alice.email, PASSWORD).status_code == 200


def test_wrong_passwords_from_one_address_are_failed_sign_ins_of_it(
    begin: Begin, alice: Account
) -> None:
    here, address = as_of(alice, begin()), any_address()
    for _ in range(10):
        assert is_wrong(change(here, WRONG, address=address))
    assert is_held_back(sign_in(alice.client, alice.email, address=address))


def test_failed_sign_ins_of_an_address_hold_its_changes_back(
    begin: Begin, alice: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, address = as_of(alice, begin()), any_address()
    for number in range(10):
        email = f"{number}-{alice.email}"
        assert sign_in(alice.client, email, WRONG, address=address).status_code == 401
    monkeypatch.delattr(routes, "check_password_hash")
    assert is_held_back(change(here, address=address))


def test_a_guess_as_the_new_password_counts_as_well(begin: Begin, alice: Account) -> None:
    here = as_of(alice, begin())
    for number in range(10):
        assert is_wrong(change(here, WRONG, f"{WRONG} {number}"))
    assert is_held_back(change(here, WRONG, PASSWORD))


def test_passwords_to_be_hashed_are_counted_for_the_address(
    database_url: str, alice: Account, connection: Any
) -> None:
    give_password(connection, alice)
    application = create_app(settings_for(database_url, RATELIMIT_PER_ADDRESS="1000"))
    here, address = alice._replace(client=application.test_client()), any_address()
    answers = [change(here, NEW if n else PASSWORD, NEW, address=address) for n in range(201)]
    statuses = {answer.status_code for answer in answers}
    assert statuses == {204, 429}


# Who may


def test_a_script_may_not_change_the_password(begin: Begin, alice: Account) -> None:
    signed_in = begin()
    made = alice.create_token(scopes=["account"])
    script = alice._replace(token=made["token"])
    for current in (PASSWORD, WRONG):
        answer = change(script, current)
        assert (answer.status_code, answer.json["type"]) == (403, "/problems/sign-in-required")
    assert alice.delete(f"/v1/tokens/{made['id']}").status_code == 204
    assert change(script).status_code == 401
    assert signed_in.lives
    assert sign_in(alice.client, alice.email, PASSWORD).status_code == 200


def test_nobody_changes_no_password(client: FlaskClient) -> None:
    body = {"current_password": PASSWORD, "new_password": NEW}
    assert client.post("/v1/me/password", json=body).status_code == 401


def test_another_issuers_user_has_no_password_here(
    database_url: str, issuer: Issuer, auth: Callable[..., Account]
) -> None:
    external = auth(create_app(trusting(database_url, issuer)))._replace(token=issuer.sign())
    for _ in range(2):  # before and after their first write
        answer = change(external)
        assert (answer.status_code, answer.json["type"]) == (404, "/problems/not-found")
        external.create_task()


def test_the_user_of_an_ended_session_changes_nothing(begin: Begin, alice: Account) -> None:
    ended = begin()
    assert ended.logout().status_code == 204
    assert change(as_of(alice, ended)).status_code == 401
    assert sign_in(alice.client, alice.email, PASSWORD).status_code == 200


# At once


def test_of_two_changes_at_once_one_is_made(
    begin: Begin, alice: Account, patient: APIFlask
) -> None:
    sessions = [begin() for _ in range(2)]
    new = [f"{NEW} {number}" for number in range(2)]
    here = alice._replace(client=patient.test_client())
    both = zip(callers(here, 2), sessions, new, strict=True)
    answers = at_once(
        [lambda c=c, s=s, n=n: change(as_of(c, s), PASSWORD, n).status_code for c, s, n in both]
    )
    # The second one finds another password, its session ended, or the change under way.
    assert answers.count(204) == 1, answers
    assert set(answers) <= {204, 401, 409, 422}
    won = answers.index(204)
    assert sign_in(alice.client, alice.email, new[won]).status_code == 200
    assert sign_in(alice.client, alice.email, new[1 - won]).status_code == 401
    assert [each.lives for each in sessions].count(True) == 1
    assert sessions[won].lives


def test_a_password_that_is_changed_in_between_is_a_conflict(
    begin: Begin, alice: Account, connection: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = begin()
    make = routes.generate_password_hash

    def changed_meanwhile(password: str) -> str:
        with connection.cursor() as cursor:
            sql = "update users set password_hash = %s, password_changed_at = now() where id = %s"
            cursor.execute(sql, (make("a third password"), alice.user_id))
        return make(password)

    monkeypatch.setattr(routes, "generate_password_hash", changed_meanwhile)
    answer = change(as_of(alice, here))
    assert (answer.status_code, answer.json["type"]) == (409, "/problems/conflict")
    assert sign_in(alice.client, alice.email, "a third password").status_code == 200
    assert here.lives


def test_a_refresh_at_the_same_time_leaves_no_other_session(
    begin: Begin, alice: Account, patient: APIFlask
) -> None:
    for _ in range(5):
        other, here = begin(), begin()
        clients = [patient.test_client() for _ in range(2)]
        elsewhere = other._replace(client=clients[0])
        changing = as_of(alice._replace(client=clients[1]), here)
        renewed, changed = at_once(
            [elsewhere.refresh, lambda c=changing: change(c, PASSWORD, PASSWORD)]
        )
        assert changed.status_code == 204
        if renewed.status_code == 200:
            late = session(patient.test_client(), renewed)
            assert as_of(alice, late).get("/v1/me").status_code == 401
            assert not late.lives
        assert here.lives
        assert as_of(alice, here).delete("/v1/sessions").status_code == 204


def test_a_change_waits_for_a_long_write_of_the_user_for_a_second(
    begin: Begin, alice: Account, connection: Any
) -> None:
    here = begin()
    with held(connection, alice.user_id):
        answer = change(as_of(alice, here))
        assert (answer.status_code, answer.json["type"]) == (503, "/problems/database-busy")
    assert sign_in(alice.client, alice.email, PASSWORD).status_code == 200
    assert change(as_of(alice, here)).status_code == 204
