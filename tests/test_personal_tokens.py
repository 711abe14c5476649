"""Personal access tokens: made once, shown once, limited in what they may do and for how long."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app import create_app
from app.auth.personal_tokens import DIGITS, PersonalToken
from app.core.ids import new_id
from app.core.logs import redact
from tests.assertions import refused
from tests.conftest import Account, settings_for
from tests.databases import migrate, opened, own_database, user_of
from tests.parallel import at_once, callers
from tests.walking import walk

TOKEN = re.compile(r"tasks_pat_[0-9A-Za-z]{60}")

READING = {"name": "A script", "scopes": ["tasks:read"]}


def bearing(account: Account, **fields: Any) -> Account:
    """The same user with a token of those fields."""
    return account._replace(token=account.create_token(**fields)["token"])


def in_days(days: int) -> str:
    return (datetime.now(UTC) + timedelta(days=days)).isoformat()


def stored(connection: Any, account: Account) -> list[str]:
    """All rows of the tokens and keys of the account, as text."""
    with connection.cursor() as cursor:
        cursor.execute(
            "select t::text from personal_access_tokens t where user_id = %(user)s"
            " union all select k::text from idempotency_keys k where user_id = %(user)s",
            {"user": account.user_id},
        )
        return [row for (row,) in cursor.fetchall()]


def fill(connection: Any, account: Account, count: int, expiry: str = "null") -> None:
    """Give the user so many tokens."""
    with connection.cursor() as cursor:
        cursor.execute(
            "insert into personal_access_tokens (user_id, id, name, scopes, token_hash, last_four,"
            " version, created_at, expires_at) select %s, gen_random_uuid(), 'One of many',"
            " '{account}', sha256(gen_random_uuid()::text::bytea), 'abcd', 1,"
            f" now() - interval '1 day', {expiry} from generate_series(1, %s)",
            (account.user_id, count),
        )


# Making and listing them


def test_a_token_is_shown_when_it_is_made_and_never_again(alice: Account) -> None:
    expiry = "2999-01-01T00:00:00Z"
    made = alice.create_token(name=" Backup ", scopes=["account", "tasks:read"], expires_at=expiry)
    text = made.pop("token")
    assert TOKEN.fullmatch(text)
    assert (made["name"], made["scopes"]) == ("Backup", ["tasks:read", "account"])
    assert (made["expires_at"], made["last_used_at"]) == (expiry, None)
    assert made["last_four"] == text[-4:]
    listing = alice.get("/v1/tokens")
    assert listing.json == {"items": [made], "next_cursor": None}
    assert text not in listing.text


def test_a_token_is_accepted_wherever_that_of_a_sign_in_is(alice: Account) -> None:
    script = bearing(alice)
    task = script.create_task()
    assert alice.get(f"/v1/tasks/{task['id']}").json == task
    assert script.get("/v1/me").json["id"] == alice.user_id
    assert script.patch("/v1/me", json={"name": "Alice"}).status_code == 200


def test_tokens_are_listed_by_the_page_oldest_first(alice: Account, bob: Account) -> None:
    made = [alice.create_token()["id"] for _ in range(5)]
    bob.create_token()
    assert [token["id"] for token in walk(alice, "/v1/tokens", limit=2)] == made


def test_neither_token_nor_what_it_could_be_made_of_is_in_the_database(
    alice: Account, connection: Any
) -> None:
    keyed = {"Idempotency-Key": new_id()}
    first = alice.post("/v1/tokens", json=READING, headers=keyed)
    text = first.json["token"]
    parsed = PersonalToken.parse(text)
    assert parsed
    for row in stored(connection, alice):
        assert text not in row
        assert parsed.secret.hex() not in row
    again = alice.post("/v1/tokens", json=READING, headers=keyed)
    assert (again.data, again.headers["Idempotency-Replayed"]) == (first.data, "true")


def test_the_replay_of_a_revoked_token_brings_nothing_back(alice: Account) -> None:
    keyed = {"Idempotency-Key": new_id()}
    first = alice.post("/v1/tokens", json=READING, headers=keyed)
    assert alice.delete(first.headers["Location"]).status_code == 204
    again = alice.post("/v1/tokens", json=READING, headers=keyed)
    assert again.data == first.data
    assert alice._replace(token=again.json["token"]).get("/v1/tasks").status_code == 401
    assert walk(alice, "/v1/tokens") == []


def test_twenty_creations_with_one_key_make_one_token(alice: Account) -> None:
    keyed = {"Idempotency-Key": new_id()}
    answers = at_once(
        [
            lambda caller=caller: caller.post("/v1/tokens", json=READING, headers=keyed)
            for caller in callers(alice, 20)
        ]
    )
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json["token"] for answer in answers}) == 1
    assert len(walk(alice, "/v1/tokens")) == 1


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"scopes": []}, "/scopes"),
        ({"scopes": ["tasks:read", "tasks:read"]}, "/scopes"),
        ({"scopes": ["tasks:admin"]}, "/scopes/0"),
        ({"scopes": "tasks:read"}, "/scopes"),
        ({"scopes": None}, "/scopes"),
        ({"name": " "}, "/name"),
        ({"name": "x" * 101}, "/name"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "/expires_at"),
        ({"expires_at": "tomorrow"}, "/expires_at"),
        ({"token": "tasks_pat_mine"}, "/token"),
        ({"last_used_at": None}, "/last_used_at"),
    ],
)
def test_what_makes_no_token_is_422_at_its_place(
    alice: Account, change: dict[str, Any], pointer: str
) -> None:
    response = alice.post("/v1/tokens", json=READING | change)
    assert response.status_code == 422, response.text
    assert [error["pointer"] for error in response.json["errors"]] == [pointer]
    assert walk(alice, "/v1/tokens") == []


# How many


def test_a_user_has_a_hundred_tokens_at_most_and_is_told_so(
    alice: Account, bob: Account, connection: Any
) -> None:
    fill(connection, alice, 99)
    last = alice.create_token()
    response = alice.post("/v1/tokens", json=READING)
    assert (response.status_code, response.json["type"]) == (409, "/problems/too-many-tokens")
    assert bob.post("/v1/tokens", json=READING).status_code == 201
    assert alice.delete(f"/v1/tokens/{last['id']}").status_code == 204
    assert alice.post("/v1/tokens", json=READING).status_code == 201


def test_creations_at_once_do_not_get_past_the_limit(alice: Account, connection: Any) -> None:
    fill(connection, alice, 95)
    made = at_once(
        [
            lambda caller=caller: caller.post("/v1/tokens", json=READING).status_code
            for caller in callers(alice, 12)
        ]
    )
    assert sorted(made) == [201] * 5 + [409] * 7


def test_tokens_that_expired_make_room(alice: Account, connection: Any) -> None:
    fill(connection, alice, 100, expiry="now()")
    assert len(walk(alice, "/v1/tokens")) == 100
    made = alice.create_token()
    assert [token["id"] for token in walk(alice, "/v1/tokens")] == [made["id"]]


def test_a_creation_waits_for_no_token_that_is_being_removed(
    alice: Account, connection: Any
) -> None:
    fill(connection, alice, 3, expiry="now()")
    with connection.cursor() as cursor:
        cursor.execute("begin")
        cursor.execute(
            "select from personal_access_tokens where user_id = %s and id ="
            " (select min(id::text)::uuid from personal_access_tokens where user_id = %s)"
            " for update",
            (alice.user_id, alice.user_id),
        )
        try:
            made = alice.create_token()
        finally:
            cursor.execute("rollback")
    left = [token["id"] for token in walk(alice, "/v1/tokens")]
    assert made["id"] in left
    assert len(left) == 2


# What a token may make


@pytest.mark.parametrize(
    ("own", "wanted", "missing"),
    [
        (["account"], ["account"], None),
        (["account"], ["tasks:read"], "tasks:read"),
        (["account", "tasks:read"], ["tasks:read", "tasks:write"], "tasks:write"),
        (["account"], ["tasks:read", "tasks:write", "account"], "tasks:read tasks:write"),
        (["account", "tasks:write"], ["tasks:read"], None),
        (["tasks:write"], ["tasks:read"], "account"),
    ],
)
def test_a_token_makes_none_that_may_do_more(
    alice: Account, own: list[str], wanted: list[str], missing: str | None
) -> None:
    response = bearing(alice, scopes=own).post("/v1/tokens", json=READING | {"scopes": wanted})
    assert response.status_code == (403 if missing else 201), response.text
    assert response.json.get("scope") == missing


def test_a_token_makes_none_that_lives_longer(alice: Account) -> None:
    script = bearing(alice, expires_at=in_days(10))
    for expiry in (None, in_days(11)):
        response = script.post("/v1/tokens", json={**READING, "expires_at": expiry})
        assert refused(response, "too_late", pointer="/expires_at")
    shorter = {**READING, "expires_at": in_days(9)}
    assert script.post("/v1/tokens", json=shorter).status_code == 201


# What is no token


def test_a_typing_error_is_refused_without_the_database(
    alice: Account, sql: Callable[[], Any]
) -> None:
    text = alice.create_token()["token"]
    wrong = [text[:-1], f"{text}0", text.upper(), text.replace("tasks_pat_", "tasks_pat_0")]
    wrong += ["tasks_pat_", f"tasks_pat_{'z' * 60}", f"{text}\u0661", f"{text} x", text[:10] * 7]
    for place in range(len(text)):
        other = DIGITS[(DIGITS.find(text[place]) + 1) % len(DIGITS)]
        wrong.append(f"{text[:place]}{other}{text[place + 1 :]}")
    with sql() as statements:
        for each in wrong:
            header = {"Authorization": f"Bearer {each}".encode().decode("latin-1")}
            response = alice.client.get("/v1/tasks", headers=header)
            assert response.status_code == 401, each
            assert 'error="invalid_token"' in response.headers["WWW-Authenticate"]
    assert statements == []


@pytest.mark.parametrize("user", ["alice", "nobody"])
def test_a_guess_is_refused_like_any_other_whoever_it_names(alice: Account, user: str) -> None:
    alice.create_token()
    guess = PersonalToken(alice.user_id if user == "alice" else new_id(), bytes(24))
    response = alice._replace(token=str(guess)).get("/v1/tasks")
    assert response.status_code == 401
    assert response.json["detail"] == "The access token is not valid here."


def test_each_kind_of_token_counts_in_its_place_alone(
    alice: Account, connection: Any, auth: Callable[..., Account]
) -> None:
    personal = alice.create_token()["token"]
    for spent in ("refresh", "logout"):
        alice.post(f"/v1/auth/{spent}", json={"refresh_token": personal})
    answer = alice.post("/v1/auth/refresh", json={"refresh_token": personal})
    assert answer.status_code == 401
    for other in (f"tasks_pat_{alice.token}", personal.removeprefix("tasks_pat_")):
        assert alice._replace(token=other).get("/v1/tasks").status_code == 401
    assert alice._replace(token=personal).get("/v1/tasks").status_code == 200


def test_what_a_token_is_made_of_comes_back_from_its_text() -> None:
    for secret in (bytes(24), b"\xff" * 24, b"\x00" * 23 + b"\x01"):
        for user_id in (
            "00000000-0000-0000-0000-000000000000",
            "f" * 8 + "-ffff" * 3 + "-ffffffffffff",
        ):
            token = PersonalToken(user_id, secret)
            assert PersonalToken.parse(str(token)) == token


# When it was used


def last_use(connection: Any, account: Account) -> tuple[Any, str]:
    """When the user's one token was used, and which transaction wrote its row last."""
    with connection.cursor() as cursor:
        cursor.execute(
            "select last_used_at, xmin::text from personal_access_tokens where user_id = %s",
            (account.user_id,),
        )
        [row] = cursor.fetchall()
        return row


def used_ago(connection: Any, account: Account, interval: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "update personal_access_tokens set last_used_at = now() - %s::interval"
            " where user_id = %s",
            (interval, account.user_id),
        )


def test_the_last_use_is_written_once_in_ten_minutes(alice: Account, connection: Any) -> None:
    script = bearing(alice)
    assert last_use(connection, alice)[0] is None
    assert script.get("/v1/tasks").status_code == 200
    first = last_use(connection, alice)
    assert first[0] is not None
    for _ in range(20):
        script.create_task()
        script.get("/v1/tasks")
    assert last_use(connection, alice) == first
    used_ago(connection, alice, "9 minutes 30 seconds")
    before = last_use(connection, alice)
    assert script.get("/v1/tasks").status_code == 200
    assert last_use(connection, alice) == before
    used_ago(connection, alice, "10 minutes 1 second")
    assert script.get("/v1/tasks").status_code == 200
    assert last_use(connection, alice)[0] > before[0]


def test_no_request_waits_to_write_when_a_token_was_used(alice: Account, connection: Any) -> None:
    script = bearing(alice)
    with connection.cursor() as cursor:
        cursor.execute("begin")
        cursor.execute(
            "select from personal_access_tokens where user_id = %s for update", (alice.user_id,)
        )
        try:
            assert script.get("/v1/tasks").status_code == 200
            assert script.create_task()
        finally:
            cursor.execute("rollback")
    assert last_use(connection, alice)[0] is None


def test_a_database_that_takes_no_writes_still_serves_reads_to_tokens(cluster: str) -> None:
    with own_database(cluster) as url, opened(url) as cursor:
        migrate(url)
        script = bearing(user_of(url))
        name = url.rpartition("/")[2]
        cursor.execute(f"alter database {name} set default_transaction_read_only = on")
        serving = create_app(settings_for(url)).test_client()
        assert script._replace(client=serving).get("/v1/tasks").status_code == 200
        assert (
            script._replace(client=serving)
            .post("/v1/tasks", json={"title": "Buy milk"})
            .status_code
            == 503
        )


# What is left of them


def test_no_log_line_holds_a_token(alice: Account, capsys: pytest.CaptureFixture[str]) -> None:
    text = alice.create_token()["token"]
    script = alice._replace(token=text)
    for path in ("/v1/tasks", f"/v1/tasks?q={text}", f"/v1/tasks/{text}", f"/{text}"):
        script.get(path)
    written = capsys.readouterr().out
    assert "app.access" in written
    assert text not in written
    assert redact(f"lost {text} here") == "lost tasks_pat_******** here"


def test_a_wrong_value_in_a_body_is_not_repeated_to_the_client(alice: Account) -> None:
    text = alice.create_token()["token"]
    assert text not in alice.post("/v1/tokens", json={"name": "x", "scopes": [text]}).text


def test_erasing_the_account_erases_its_tokens(alice: Account, connection: Any) -> None:
    script = bearing(alice)
    other = bearing(alice)
    assert other.get("/v1/tasks").status_code == 200
    assert alice.erase().status_code == 204
    assert [each.get("/v1/tasks").status_code for each in (script, other)] == [401, 401]
    assert stored(connection, alice) == []
