"""Users see where they are signed in, and end sessions there."""

from collections.abc import Callable
from typing import Any

import jwt
import pytest
from apiflask import APIFlask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from app import create_app
from app.core.ids import new_id
from tests.assertions import refused
from tests.conftest import Account, settings_for, trusting
from tests.issuer import Issuer
from tests.people import Session, as_of, give_password, outlast_grace, session, sign_in

Begin = Callable[..., Session]

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:150.0) Gecko/20100101 Firefox/150.0"


@pytest.fixture
def begin(alice: Account, bob: Account, connection: Any) -> Begin:
    """Signs Alice in, or somebody else."""
    give_password(connection, alice, bob)

    def start(account: Account = alice, *, agent: str = FIREFOX, **options: Any) -> Session:
        headers = {"User-Agent": agent, **options.pop("headers", {})}
        answer = sign_in(account.client, account.email, headers=headers, **options)
        return session(account.client, answer)

    return start


def listed(account: Account) -> list[dict[str, Any]]:
    answer = account.get("/v1/sessions")
    assert answer.status_code == 200, answer.text
    assert set(answer.json) == {"items"}
    items: list[dict[str, Any]] = answer.json["items"]
    return items


# The list


def test_a_session_shows_when_it_began_and_where_it_was_used_last(
    begin: Begin, alice: Account
) -> None:
    [item] = listed(as_of(alice, begin(address="203.0.113.77")))
    assert item == {
        "id": item["id"],
        "created_at": item["created_at"],
        "last_used_at": item["created_at"],
        "user_agent": FIREFOX,
        "address": "203.0.113.0/24",
        "current": True,
    }


def test_a_refresh_shows_where_it_came_from_and_not_when_the_session_began(
    begin: Begin, alice: Account
) -> None:
    first = begin(address="203.0.113.77")
    [before] = listed(as_of(alice, first))
    answer = first.refresh(
        headers={"User-Agent": "Another/1.0"}, environ_overrides={"REMOTE_ADDR": "198.51.100.9"}
    )
    [item] = listed(as_of(alice, session(alice.client, answer)))
    assert (item["id"], item["created_at"]) == (before["id"], before["created_at"])
    assert item["last_used_at"] > before["last_used_at"]
    assert (item["user_agent"], item["address"]) == ("Another/1.0", "198.51.100.0/24")


def test_the_session_that_was_used_last_comes_first(begin: Begin, alice: Account) -> None:
    first, second, third = (begin(agent=name) for name in ("first", "second", "third"))
    assert [item["user_agent"] for item in listed(alice)] == ["third", "second", "first"]
    session(alice.client, first.refresh(headers={"User-Agent": "first"}))
    for signed_in, name in ((second, "second"), (third, "third")):
        items = listed(as_of(alice, signed_in))
        assert [item["user_agent"] for item in items] == ["first", "third", "second"]
        assert [item["user_agent"] for item in items if item["current"]] == [name]


def test_no_session_is_current_for_a_token_that_is_of_none(begin: Begin, alice: Account) -> None:
    begin()
    script = alice._replace(token=alice.create_token(scopes=["account"])["token"])
    for caller in (alice, script):
        assert [item["current"] for item in listed(caller)] == [False]


def test_a_session_that_was_refreshed_in_two_tabs_is_listed_once(
    begin: Begin, alice: Account
) -> None:
    first = begin()
    for name in ("one tab", "other tab"):
        session(alice.client, first.refresh(headers={"User-Agent": name}))
    [item] = listed(as_of(alice, first))
    assert item["user_agent"] == "other tab"


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ("", None),
        (" \t ", None),
        ("curl/8.15", "curl/8.15"),
        ("a\tb", "a b"),
        ("a\x1b[31mb\x7fc\x9bd", "a [31mb c d"),
        ("soft\xadhyphen\xa0space", "soft hyphen space"),
        ("x" * 8_000, "x" * 200),
        ("\x1b" * 8_000, None),
        ("f\xfcr", "f\xfcr"),
    ],
    ids=[
        "none",
        "blank",
        "usual",
        "tab",
        "controls",
        "invisible",
        "long",
        "only controls",
        "Latin",
    ],
)
def test_a_user_agent_is_shown_as_one_printable_line(
    begin: Begin, alice: Account, sent: str, shown: str | None
) -> None:
    begin(agent=sent)
    [item] = listed(alice)
    assert item["user_agent"] == shown


def test_a_user_agent_of_ten_kilobytes_signs_nobody_in(begin: Begin, alice: Account) -> None:
    begin()
    headers = {"User-Agent": "x" * 10_240}
    assert sign_in(alice.client, alice.email, headers=headers).status_code == 431
    assert len(listed(alice)) == 1


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("203.0.113.77", "203.0.113.0/24"),
        ("127.0.0.1", "127.0.0.0/24"),
        ("2001:db8:1234:5678:9abc:def0:1234:5678", "2001:db8:1234::/48"),
        ("::1", "::/48"),
        ("fe80::1%eth0", "fe80::/48"),
        ("::ffff:203.0.113.77", "203.0.113.0/24"),
        ("unknown", None),
        ("a" * 10_240, None),
    ],
)
def test_an_address_is_shown_as_its_network(
    begin: Begin, alice: Account, address: str, shown: str | None, connection: Any
) -> None:
    begin(address=address)
    [item] = listed(alice)
    assert item["address"] == shown
    with connection.cursor() as cursor:
        cursor.execute("select address from refresh_tokens where user_id = %s", (alice.user_id,))
        assert cursor.fetchall() == [(shown,)]


def test_a_client_without_an_address_is_shown_without_one(begin: Begin, alice: Account) -> None:
    body = {"email": alice.email, "password": "correct horse battery"}
    environment = {"REMOTE_ADDR": None}
    answer = alice.client.post("/v1/auth/token", json=body, environ_overrides=environment)
    assert answer.status_code == 200
    [item] = listed(alice)
    assert item["address"] is None


@pytest.mark.parametrize(
    ("forwarded", "believed"),
    [
        ("198.51.100.7", "198.51.100.0/24"),
        ("192.0.2.1, 198.51.100.7", "198.51.100.0/24"),
        ("198.51.100.7:4711", "198.51.100.0/24"),
        ('"[2001:db8:1::7]:4711"', "2001:db8:1::/48"),
        ("[2001:db8:1::7]", "2001:db8:1::/48"),
        ("::ffff:198.51.100.7", "198.51.100.0/24"),
        ("_hidden", None),
    ],
)
def test_the_address_is_what_a_trusted_proxy_saw_however_it_writes_it(
    app: APIFlask,
    database_url: str,
    alice: Account,
    connection: Any,
    forwarded: str,
    believed: str | None,
) -> None:
    give_password(connection, alice)
    behind = create_app(settings_for(database_url, TRUSTED_PROXIES="1"))
    options = {"address": "203.0.113.5", "headers": {"X-Forwarded-For": forwarded}}
    for application, shown in ((behind, believed), (app, "203.0.113.0/24")):
        signed_in = sign_in(application.test_client(), alice.email, **options)
        assert signed_in.status_code == 200
        assert listed(alice)[0]["address"] == shown


def test_what_lasts_no_longer_is_not_listed(begin: Begin, alice: Account, connection: Any) -> None:
    begin()
    with connection.cursor() as cursor:
        cursor.execute(
            "update refresh_tokens set created_at = now() - interval '31 days',"
            " expires_at = now() - interval '1 day' where user_id = %s",
            (alice.user_id,),
        )
    assert listed(alice) == []


def test_users_see_their_own_sessions_alone(begin: Begin, alice: Account, bob: Account) -> None:
    for account in (alice, bob):
        begin(account)
    ids = [listed(account)[0]["id"] for account in (alice, bob)]
    assert ids[0] != ids[1]
    assert [len(listed(account)) for account in (alice, bob)] == [1, 1]


def test_the_list_of_sessions_is_kept_by_no_cache(begin: Begin, alice: Account) -> None:
    begin()
    for answer in (alice.get("/v1/sessions"), alice.call("HEAD", "/v1/sessions")):
        assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "no-store")


def test_the_id_of_a_session_is_that_in_its_access_tokens_and_no_token(
    begin: Begin, alice: Account
) -> None:
    signed_in = begin()
    [item] = listed(as_of(alice, signed_in))
    assert claim(signed_in, "sid") == item["id"]
    assert claim(signed_in.refreshed(), "sid") == item["id"]
    assert alice._replace(token=item["id"]).get("/v1/me").status_code == 401
    assert Session(alice.client, "", item["id"]).refresh().status_code == 401


def claim(signed_in: Session, name: str) -> object:
    return jwt.decode(signed_in.access_token, options={"verify_signature": False})[name]


# Ending one


def unauthenticated(answer: TestResponse) -> bool:
    challenge = answer.headers.get("WWW-Authenticate", "")
    return answer.status_code == 401 and 'error="invalid_token"' in challenge


def test_a_session_that_is_ended_ends_with_all_its_tokens_and_no_other_does(
    begin: Begin, alice: Account
) -> None:
    ended, other = begin(), begin()
    refreshed = ended.refreshed()
    [id_] = [item["id"] for item in listed(as_of(alice, ended)) if item["current"]]
    answer = as_of(alice, other).delete(f"/v1/sessions/{id_}")
    assert (answer.status_code, answer.data) == (204, b"")
    assert all(unauthenticated(as_of(alice, each).get("/v1/me")) for each in (ended, refreshed))
    assert not refreshed.lives
    assert as_of(alice, other).get("/v1/me").status_code == 200
    assert other.lives
    assert [item["id"] for item in listed(alice)] != [id_]


def test_the_present_session_can_be_ended_too(begin: Begin, alice: Account) -> None:
    signed_in = begin()
    here = as_of(alice, signed_in)
    [item] = listed(here)
    assert here.delete(f"/v1/sessions/{item['id']}").status_code == 204
    assert unauthenticated(here.delete(f"/v1/sessions/{item['id']}"))
    assert not signed_in.lives


def test_a_session_is_ended_once(begin: Begin, alice: Account) -> None:
    begin()
    [item] = listed(alice)
    path = f"/v1/sessions/{item['id']}"
    assert [alice.delete(path).status_code for _ in range(2)] == [204, 404]


def test_anothers_session_is_none(begin: Begin, alice: Account, bob: Account) -> None:
    signed_in = begin()
    [item] = listed(alice)
    answers = [bob.delete(f"/v1/sessions/{each}") for each in (item["id"], new_id(), "x")]
    assert {answer.status_code for answer in answers} == {404}
    theirs, missing, _ = ({**answer.json, "instance": None} for answer in answers)
    assert theirs == missing
    assert bob.delete("/v1/sessions").status_code == 204
    assert as_of(alice, signed_in).get("/v1/me").status_code == 200
    assert signed_in.lives


def test_all_other_sessions_end_at_once(begin: Begin, alice: Account, bob: Account) -> None:
    others, here, stranger = [begin() for _ in range(3)], begin(), begin(bob)
    answer = as_of(alice, here).delete("/v1/sessions")
    assert (answer.status_code, answer.data) == (204, b"")
    assert all(unauthenticated(as_of(alice, each).get("/v1/tasks")) for each in others)
    assert not any(each.lives for each in others)
    [item] = listed(as_of(alice, here))
    assert item["current"]
    assert as_of(alice, here).delete("/v1/sessions").status_code == 204
    assert here.lives
    assert stranger.lives


def test_a_token_that_is_of_no_session_ends_all_of_them(begin: Begin, alice: Account) -> None:
    sessions = [begin() for _ in range(2)]
    assert alice.delete("/v1/sessions").status_code == 204
    assert not any(each.lives for each in sessions)
    assert listed(alice) == []


def test_signing_out_ends_the_access_tokens_at_once(begin: Begin, alice: Account) -> None:
    signed_in = begin()
    assert as_of(alice, signed_in).get("/v1/me").status_code == 200
    assert signed_in.logout().status_code == 204
    assert unauthenticated(as_of(alice, signed_in).get("/v1/me"))


def test_a_session_that_ends_by_reuse_ends_the_thiefs_access_tokens_too(
    begin: Begin, alice: Account, connection: Any
) -> None:
    stolen = begin()
    newest = stolen.refreshed()
    outlast_grace(connection, alice.user_id)
    assert stolen.refresh().status_code == 401
    assert unauthenticated(as_of(alice, newest).get("/v1/me"))


@pytest.mark.parametrize("path", ["/v1/sessions", "/v1/sessions/{id}"])
def test_a_session_has_no_version_to_match(begin: Begin, alice: Account, path: str) -> None:
    signed_in = begin()
    [item] = listed(alice)
    path = path.format(id=item["id"])
    for headers in ({"If-Match": '"7"'}, {"If-None-Match": "*"}):
        answer = alice.delete(path, headers=headers)
        assert (answer.status_code, answer.json["current"]) == (412, None)
    assert refused(alice.delete(path, headers={"If-Match": "7"}), "entity_tag", header="If-Match")
    assert as_of(alice, signed_in).get("/v1/me").status_code == 200
    assert alice.delete(path, headers={"If-Match": "*"}).status_code == 204
    assert not signed_in.lives


# Who may


def test_a_script_with_the_scope_sees_and_ends_sessions_and_stays_valid(
    begin: Begin, alice: Account
) -> None:
    sessions = [begin() for _ in range(2)]
    script = alice._replace(token=alice.create_token(scopes=["account"])["token"])
    newest, _ = listed(script)
    assert script.delete(f"/v1/sessions/{newest['id']}").status_code == 204
    assert not sessions[1].lives
    assert script.delete("/v1/sessions").status_code == 204
    assert not sessions[0].lives
    assert listed(script) == []


def test_a_script_without_the_scope_may_not(begin: Begin, alice: Account) -> None:
    signed_in = begin()
    [item] = listed(alice)
    scopes = ["tasks:read", "tasks:write"]
    script = alice._replace(token=alice.create_token(scopes=scopes)["token"])
    one = f"/v1/sessions/{item['id']}"
    for method, path in (("GET", "/v1/sessions"), ("DELETE", "/v1/sessions"), ("DELETE", one)):
        answer = script.call(method, path)
        assert (answer.status_code, answer.json["scope"]) == (403, "account")
    assert signed_in.lives


def test_a_script_whose_token_was_revoked_ends_nothing(begin: Begin, alice: Account) -> None:
    signed_in = begin()
    made = alice.create_token(scopes=["account"])
    script = alice._replace(token=made["token"])
    assert len(listed(script)) == 1
    assert alice.delete(f"/v1/tokens/{made['id']}").status_code == 204
    assert script.delete("/v1/sessions").status_code == 401
    assert signed_in.lives


def test_nobody_sees_no_sessions(client: FlaskClient) -> None:
    assert client.get("/v1/sessions").status_code == 401
    assert client.delete("/v1/sessions").status_code == 401


def test_another_issuers_user_has_no_sessions_here(
    database_url: str, issuer: Issuer, auth: Callable[..., Account]
) -> None:
    application = create_app(trusting(database_url, issuer))
    external = auth(application)._replace(token=issuer.sign())
    for _ in range(2):  # before and after their first write
        assert listed(external) == []
        assert external.delete(f"/v1/sessions/{new_id()}").status_code == 404
        assert external.delete("/v1/sessions").status_code == 204
        external.create_task()
