"""No response tells whether an address has an account: neither what it says, nor when it comes.

Requests for known and unknown addresses alternate, so that a busy machine slows both alike, and
their times are compared in pairs. That the comparison notices two milliseconds is tested as well.
"""

import time
from collections.abc import Callable, Iterator
from random import Random
from statistics import median
from typing import Any

import pytest
from apiflask import APIFlask
from flask import request
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from app import create_app
from app.api.users import presence, routes
from app.auth.mail_kinds import MailKind
from app.auth.passwords import Check
from app.core.ids import new_id
from tests.conftest import CHEAP_HASH, Account, insert_user, settings_for
from tests.test_links import a_token, as_sent, change_email, choose, confirm, post, register

pytestmark = pytest.mark.costly

PAIRS = 200
MOST_OFTEN = 0.7
"""How often one of both may be the slower one. By chance it is half of the pairs, and 0.7 of 200
is more than five standard deviations away."""
MOST_APART = 1.3
"""How much larger one median may be than the other."""

NOISE_SECONDS = 0.0015
"""What medians differ by where other programs use the cores. A difference that is there in each
pair shows in the share of them, however small it is.
"""

Ask = Callable[[str], TestResponse]


@pytest.fixture(scope="module")
def confirming(database_url: str) -> APIFlask:
    """A service that creates no account before its address is confirmed."""
    return create_app(settings_for(database_url, REGISTRATION="confirmed"))


@pytest.fixture(scope="module")
def known(connection: Any) -> list[str]:
    """The ids of accounts, each of which has the address `address_of(id)`."""
    ids = [new_id() for _ in range(PAIRS)]
    with connection.cursor() as cursor:
        for each in ids:
            insert_user(cursor, each, address_of(each))
    return ids


def address_of(user_id: str) -> str:
    return f"{user_id}@example.com"


def measured(ask: Ask, known: list[str]) -> tuple[list[float], list[float]]:
    """How long the answers took for accounts that exist, and for as many that do not.

    Which of a pair comes first is left to chance. All answers have to be the same.
    """
    seconds: tuple[list[float], list[float]] = ([], [])
    answers = set()
    chance = Random(1)
    for user_id in known:
        for which in chance.sample((0, 1), 2):
            whose = new_id() if which else user_id
            begun = time.perf_counter()
            answer = ask(whose)
            seconds[which].append(time.perf_counter() - begun)
            status, body, headers = as_sent(answer)
            answers.add((status, without_id(answer, body), tuple(sorted(headers.items()))))
    assert len(answers) == 1, answers
    return seconds


def without_id(answer: TestResponse, body: bytes) -> bytes:
    """The body without the id of the request."""
    return body.replace(answer.headers["X-Request-ID"].encode(), b"")


def assert_alike(seconds: tuple[list[float], list[float]]) -> None:
    """Neither of the two is slower as a rule, nor by much."""
    one, other = seconds
    share = sum(a > b for a, b in zip(one, other, strict=True)) / len(one)
    assert 1 - MOST_OFTEN < share < MOST_OFTEN, f"{share:.0%} are slower"
    low, high = sorted((median(one), median(other)))
    assert high < max(low * MOST_APART, low + NOISE_SECONDS), (
        f"{low * 1000:.1f} ms and {high * 1000:.1f} ms"
    )


def reset(client: FlaskClient) -> Ask:
    return lambda user_id: post(client, "/v1/auth/password-reset", email=address_of(user_id))


def test_asking_for_a_new_password_tells_nobody_whether_there_is_an_account(
    client: FlaskClient, known: list[str]
) -> None:
    assert_alike(measured(reset(client), known))


def test_nor_does_a_registration_that_has_to_be_confirmed(
    confirming: APIFlask, known: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # A hash takes as long for any address, and much longer than everything else.
    monkeypatch.setattr(routes, "generate_password_hash", lambda _: CHEAP_HASH)
    client = confirming.test_client()
    assert_alike(measured(lambda user_id: register(client, address_of(user_id)), known))


def test_nor_does_a_change_of_the_address(
    auth: Callable[[], Account], known: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(presence, "check_password_hash", lambda *_: Check(True))
    askers = [account for account in (auth() for _ in range(PAIRS)) for _ in range(2)]
    whose: Iterator[Account] = iter(askers)  # one for each pair
    assert_alike(measured(lambda user_id: change_email(next(whose), address_of(user_id)), known))


@pytest.mark.parametrize("use", [choose, confirm])
def test_nor_does_a_token_that_was_never_issued(
    client: FlaskClient, known: list[str], use: Callable[[FlaskClient, str], TestResponse]
) -> None:
    kind = MailKind.PASSWORD_RESET if use is choose else MailKind.EMAIL_VERIFICATION
    assert_alike(measured(lambda user_id: use(client, a_token(user_id, kind)), known))


def test_two_milliseconds_would_tell(database_url: str, known: list[str]) -> None:
    application = create_app(settings_for(database_url))

    @application.before_request
    def work_a_little_more() -> None:
        if request.get_json()["email"].partition("@")[0] in known:
            time.sleep(0.002)

    with pytest.raises(AssertionError, match=r"slower|ms and"):
        assert_alike(measured(reset(application.test_client()), known))
