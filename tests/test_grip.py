"""Whom Pushpin is asked to hold, and who may go on with a stream: nobody by a forged header."""

import time
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from apiflask import APIFlask
from werkzeug.test import TestResponse

from app import create_app
from app.auth.tickets import Ticket
from app.core.ids import new_id
from app.core.principal import Principal
from app.web.cursors import seal
from tests.conftest import Account, settings_for
from tests.rig.programs import free_port

KEY = "0b7e4d1a92c35f68e0d4a7b3c9f1265d8e7a0c4b-6d1f83a95e2c7b40d8f6a1b2c3d4"
EVENTS = {"Accept": "text/event-stream"}


def signature(key: str = KEY, algorithm: str = "HS256", **claims: Any) -> str:
    content = {"iss": "pushpin", "exp": int(time.time()) + 3600, **claims}
    return jwt.encode({k: v for k, v in content.items() if v is not None}, key, algorithm)


def signed() -> dict[str, str]:
    return {"Grip-Sig": signature()}


@pytest.fixture(scope="module")
def behind(database_url: str) -> APIFlask:
    """An application behind Pushpin, which nobody needs to run; with one thread, nobody waits."""
    url = f"http://127.0.0.1:{free_port()}/?key={KEY}"
    return create_app(settings_for(database_url, GRIP_URL=url, WEB_THREADS="1"))


@pytest.fixture
def alice(behind: APIFlask, auth: Callable[..., Account]) -> Account:
    return auth(behind)


def grips(response: TestResponse) -> dict[str, str]:
    return {name: value for name, value in response.headers if name.startswith("Grip-")}


def poll(user: Account, wait: int = 25, **headers: str) -> TestResponse:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return user.get(f"/v1/changes?wait={wait}", headers=named)


def test_pushpin_is_asked_to_hold_a_long_poll_without_news(alice: Account) -> None:
    response = poll(alice, 25, **signed())
    assert response.json["items"] == []
    assert grips(response) == {
        "Grip-Hold": "response",
        "Grip-Channel": alice.user_id,
        "Grip-Timeout": "25",
    }
    assert grips(poll(alice, 5, **signed()))["Grip-Timeout"] == "5"


def test_what_is_answered_at_once_is_not_held(alice: Account) -> None:
    assert grips(poll(alice, 0, **signed())) == {}
    assert grips(poll(alice, 1, **signed())) == {}  # Pushpin would make it five seconds
    assert grips(alice.call("HEAD", "/v1/changes?wait=25", headers=signed())) == {}
    alice.create_task()
    assert grips(poll(alice, 25, **signed())) == {}


FORGED = {
    "none": lambda: "",
    "no token": lambda: "x",
    "long": lambda: "a" * 8000,
    "another key": lambda: signature("another key, and long enough to be one"),
    "another issuer": lambda: signature(iss="fanout"),
    "no issuer": lambda: signature(iss=None),
    "over": lambda: signature(exp=int(time.time()) - 60),
    "no end": lambda: signature(exp=None),
    "strange end": lambda: signature(exp="tomorrow"),
    "not signed": lambda: jwt.encode(
        {"iss": "pushpin", "exp": int(time.time()) + 3600}, None, "none"
    ),
    "another algorithm": lambda: signature(algorithm="HS512"),
}


@pytest.mark.parametrize("forged", FORGED.values(), ids=FORGED)
def test_a_forged_signature_is_none(alice: Account, forged: Callable[[], str]) -> None:
    headers = {"Grip-Sig": forged(), "Grip-Hold": "stream", "Grip-Channel": "x"}
    assert grips(poll(alice, 25, **headers)) == {}
    response = alice.get("/v1/changes", headers={**EVENTS, **headers})
    assert (response.status_code, response.json["type"]) == (406, "/problems/not-acceptable")
    assert grips(response) == {}
    assert alice.client.get(next_page(alice), headers=headers).status_code == 404


def test_an_application_without_pushpin_takes_no_signature(
    app: APIFlask, auth: Callable[..., Account]
) -> None:
    user = auth(app)
    assert user.get("/v1/changes", headers={**EVENTS, **signed()}).status_code == 406
    assert user.client.get("/streams/changes/x", headers=signed()).status_code == 404


def next_page(user: Account) -> str:
    """Where the next page of a stream of this user is."""
    response = user.get("/v1/changes", headers={**EVENTS, **signed()})
    return grips(response)["Grip-Link"].partition(">")[0].removeprefix("<")


def test_a_stream_is_held_and_goes_on_with_a_ticket(alice: Account) -> None:
    response = alice.get("/v1/changes", headers={**EVENTS, **signed()})
    assert response.headers["Content-Type"] == "text/event-stream"
    held = grips(response)
    assert (held["Grip-Hold"], held["Grip-Channel"]) == ("stream", alice.user_id)
    assert held["Grip-Keep-Alive"] == r": keep-alive\n\n; format=cstring; timeout=20"
    assert held["Grip-Link"].startswith("</streams/changes/")
    assert 1800 <= int(held["Grip-Link"].partition(">; rel=next; timeout=")[2]) < 3600
    alice.create_task()
    more = alice.client.get(next_page(alice), headers=signed())
    assert more.text == ""  # its beginning had the task already
    assert grips(more).keys() == held.keys()


def test_a_stream_with_more_to_read_is_not_held_yet(alice: Account) -> None:
    for _ in range(3):
        alice.create_task()
    first = alice.get("/v1/changes?limit=2", headers={**EVENTS, **signed()})
    assert first.text.count("data: ") == 1
    assert grips(first).keys() == {"Grip-Link"}
    target = grips(first)["Grip-Link"].removesuffix(">; rel=next").removeprefix("<")
    second = alice.client.get(target, headers=signed())
    assert second.text.count("data: ") == 1
    assert "Grip-Hold" in grips(second)


def ticket(user: Account, **changes: Any) -> str:
    """A ticket of the user as the service signs it, but for the changes."""
    with user.client.application.app_context():
        whole = Ticket.issue(Principal(user.user_id, False), "0.0.200")
        return f"/streams/changes/{whole._replace(**changes)}"


def ends(response: TestResponse) -> bool:
    """Whether Pushpin ends the stream, and has the client come again."""
    return (response.status_code, response.text, grips(response)) == (200, "", {})


def test_a_ticket_counts_until_its_time_is_over(alice: Account) -> None:
    alice.create_task()
    now = int(time.time())
    assert "data: " in alice.client.get(ticket(alice), headers=signed()).text
    assert ends(alice.client.get(ticket(alice, until=now), headers=signed()))


def test_a_ticket_of_a_session_or_token_that_does_not_count_ends_the_stream(
    alice: Account,
) -> None:
    for changes in ({"session_id": new_id()}, {"token_id": new_id()}):
        assert ends(alice.client.get(ticket(alice, **changes), headers=signed())), changes


def test_what_is_no_ticket_ends_the_stream(alice: Account) -> None:
    whole = ticket(alice)
    with alice.client.application.app_context():
        cursor = seal(f"{alice.user_id}   9999999999 0.0.200", ["changes", alice.user_id])
    for target in (
        "/streams/changes/x",
        f"/streams/changes/{'a' * 5000}",
        f"/streams/changes/{cursor}",
        f"{whole[:30]}AAAA{whole[34:]}",
        f"{whole}A",
    ):
        assert ends(alice.client.get(target, headers=signed())), target


def test_a_ticket_alone_opens_nothing(alice: Account) -> None:
    for headers in ({}, {"Authorization": f"Bearer {alice.token}"}, EVENTS):
        response = alice.client.get(next_page(alice), headers=headers)
        assert (response.status_code, response.json["type"]) == (404, "/problems/not-found")
    assert alice.client.post(next_page(alice), headers=signed()).status_code in {404, 405}


def test_a_ticket_lasts_no_longer_than_the_token_it_was_made_for(
    behind: APIFlask, alice: Account
) -> None:
    now = time.time()
    with behind.app_context():
        brief = Principal(alice.user_id, False, ends_at=now + 60)
        assert Ticket.issue(brief, "0.0.1").until == int(now + 60)
        long = Principal(alice.user_id, False, ends_at=now + 86400)
        assert Ticket.issue(long, "0.0.1").until <= time.time() + 900


def test_the_pages_of_a_stream_count_as_requests_of_its_user(
    database_url: str, auth: Callable[..., Account], clock: Callable[[float], None]
) -> None:
    url = f"http://127.0.0.1:{free_port()}/?key={KEY}"
    limits = {"RATELIMIT_PER_USER": "3", "RATELIMIT_PER_ADDRESS": "2"}
    user = auth(create_app(settings_for(database_url, GRIP_URL=url, **limits)))
    target = ticket(user)
    clock(60 - time.time() % 60)  # a minute begins
    statuses = [user.client.get(target, headers=signed()).status_code for _ in range(4)]
    assert statuses == [200, 200, 200, 429]  # Pushpin's address does not count
