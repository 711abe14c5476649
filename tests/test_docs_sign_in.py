"""Signing in on the docs page, in a browser and with a service that really answers."""

import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from selenium.webdriver import ActionChains, Keys

from app.core.ids import new_id
from tests.chromium import DESK, PHONE, SHOWN, Browser, chromium, open_docs
from tests.conftest import PASSWORD, gunicorn
from tests.contract import NOWHERE
from tests.issuer import AUDIENCE, NAME

pytestmark = pytest.mark.slow

GET_ME = "#operations-Account-get_me"
STORED = "return JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie])"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as opened:
        yield opened


@pytest.fixture
def size() -> tuple[int, int]:
    """The window, where a test does not say otherwise."""
    return DESK


@pytest.fixture
def page(browser: Browser, server: str, size: tuple[int, int]) -> Iterator[Browser]:
    """The page; it asks no other host, and the browser only reports what the service refused."""
    open_docs(browser, server, size)
    yield browser
    assert browser.requested() == {urlsplit(server).netloc}
    assert all("Failed to load resource" in complaint for complaint in browser.complaints)


@pytest.fixture
def email(server: str) -> str:
    """The address of an account whose password is PASSWORD."""
    address = f"{new_id()}@example.com"
    body = {"email": address, "password": PASSWORD}
    httpx.post(f"{server}/v1/auth/register", json=body).raise_for_status()
    return address


def sign_in(page: Browser, email: str, password: str = PASSWORD, button: str = "Sign in") -> None:
    """Fill in the form and press the button; the dialog stays open."""
    if not page.driver.find_elements("css selector", ".sign-in"):
        page.press(".authorize")
    for name, value in (("email", email), ("password", password)):
        page.find(f".sign-in [name={name}]").clear()
        page.find(f".sign-in [name={name}]").send_keys(value)
    page.press(".sign-in .credentials button", button)


def status_of_get_me(page: Browser) -> str:
    """The status of a request that is sent from the page."""
    if not page.driver.find_elements("css selector", f"{GET_ME}.is-open"):
        page.script("document.querySelector('#contents [title=get_me]').click()")
    page.press(f"{GET_ME} .execute")
    status = page.find(f"{GET_ME} .live-responses-table tbody .response-col_status").text
    page.press(f"{GET_ME} .btn-clear")
    return status.split()[0]


def active(page: Browser) -> str:
    """The class, name or text of what has the focus."""
    focused = page.driver.switch_to.active_element
    return focused.get_attribute("name") or focused.text


def sent(page: Browser, path: str) -> list[dict[str, str]]:
    """The bodies that the page has sent to a path."""
    page.look()
    requests = [event["params"]["request"] for event in page.named("Network.requestWillBeSent")]
    return [json.loads(r["postData"]) for r in requests if urlsplit(r["url"]).path == path]


@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
def test_who_signs_in_on_the_page_sends_authorized_requests_until_they_sign_out(
    page: Browser, server: str, email: str
) -> None:
    sign_in(page, email)
    page.find(".sign-in [role=status]", f"You are signed in as {email}.")
    assert not page.script("return document.documentElement.scrollWidth > innerWidth")
    page.press(".sign-in .close")
    page.find(".authorize.locked")
    assert status_of_get_me(page) == "200"
    page.press(".authorize")
    page.press(".sign-in button", "Sign out")
    page.find(".sign-in [role=status]", "You are signed out.")
    page.find(".sign-in [name=password]")
    page.press(".sign-in .close")
    page.find(".authorize.unlocked")
    assert status_of_get_me(page) == "401"
    (body,) = sent(page, "/v1/auth/logout")
    assert httpx.post(f"{server}/v1/auth/refresh", json=body).status_code == 401


def test_who_has_no_account_creates_one_on_the_page(page: Browser) -> None:
    sign_in(page, f"{new_id()}@example.com", "short", "Create account")
    page.find(".sign-in .refused", "password: String should have at least 8 characters.")
    sign_in(page, f"{new_id()}@example.com", PASSWORD, "Create account")
    page.find(".sign-out")
    page.press(".sign-in .close")
    assert status_of_get_me(page) == "200"


def test_a_wrong_password_is_refused_in_plain_words_and_can_be_corrected(
    page: Browser, email: str
) -> None:
    sign_in(page, email, "not the password")
    page.find(".sign-in .refused", "The e-mail address or the password is wrong.")
    page.find(".authorize.unlocked")
    sign_in(page, email)
    page.find(".sign-in [role=status]:not(.refused)", "You are signed in")


def test_the_token_is_in_the_memory_of_the_page_alone(page: Browser, email: str) -> None:
    page.script("localStorage.setItem('authorized', '{}')")
    sign_in(page, email)
    page.find(".sign-out")
    stored = page.script(STORED)
    assert "ey" not in stored
    assert email not in stored
    page.driver.refresh()
    page.find(SHOWN)
    page.find(".authorize.unlocked")
    assert page.script(STORED) == '[{},{},""]'
    assert status_of_get_me(page) == "401"


def test_an_access_token_that_expires_signs_the_page_out(page: Browser, email: str) -> None:
    page.script("""
        const wait = window.setTimeout;
        window.setTimeout = (run, delay) => wait(run, delay === 900_000 ? 1 : delay);
    """)
    sign_in(page, email)
    page.find(".sign-in [role=status]", "Your access token has expired.")
    page.find(".authorize.unlocked")


def test_the_keyboard_is_enough_and_the_dialog_keeps_the_focus(page: Browser, email: str) -> None:
    def press(*keys: str) -> None:
        ActionChains(page.driver).send_keys(*keys).perform()

    page.script("document.querySelector('.authorize').focus()")
    press(Keys.ENTER)
    page.wait(lambda _: active(page) == "email", "focus on the first field")
    press(email, Keys.TAB, PASSWORD, Keys.ENTER)
    page.wait(lambda _: active(page) == "Sign out", "focus on what comes next")
    press(Keys.ESCAPE)
    page.wait(lambda _: active(page) == "Authorize", "focus where it was")
    assert page.driver.find_elements("css selector", ".sign-in") == []


def test_every_field_of_the_dialog_has_a_label_and_refusals_are_announced(page: Browser) -> None:
    page.press(".authorize")
    labels = page.script(
        "return [...document.querySelectorAll('.sign-in input')].map(i => i.labels[0].textContent)"
    )
    assert labels == ["E-mail", "Password", "Or paste an access token"]
    dialog = page.find("dialog.sign-in")
    assert (dialog.aria_role, dialog.accessible_name) == ("dialog", "Authorize")
    assert page.script("return document.querySelector('.sign-in [role=status]').textContent") == ""


def test_too_many_failed_sign_ins_are_refused_with_the_time_to_wait(
    browser: Browser, database_url: str, tmp_path: Path
) -> None:
    with gunicorn(database_url, tmp_path / "log", WEB_CONCURRENCY="1") as server:
        body = {"email": "nobody@example.com", "password": "not the password"}
        for _ in range(10):
            assert httpx.post(f"{server}/v1/auth/token", json=body).status_code == 401
        open_docs(browser, server)
        sign_in(browser, body["email"], body["password"])
        refused = browser.find(".sign-in .refused", "Too many sign-ins have failed")
        assert "Try again in " in refused.text


def test_a_service_without_its_database_says_so(browser: Browser, tmp_path: Path) -> None:
    with gunicorn(NOWHERE, tmp_path / "log") as server:
        open_docs(browser, server)
        sign_in(browser, "nobody@example.com")
        browser.find(".sign-in .refused", "The database is unavailable; nothing was changed.")
    sign_in(browser, "nobody@example.com")
    browser.find(".sign-in .refused", "The service cannot be reached. Try again later.")


def test_where_an_address_has_to_be_confirmed_first_the_page_says_so(
    browser: Browser, database_url: str, tmp_path: Path
) -> None:
    with gunicorn(database_url, tmp_path / "log", REGISTRATION="confirmed") as server:
        open_docs(browser, server)
        address = f"{new_id()}@example.com"
        sign_in(browser, address, PASSWORD, "Create account")
        said = f"Follow the link in the mail to {address}, then sign in."
        browser.find(".sign-in [role=status]:not(.refused)", said)


def test_where_another_issuer_signs_in_a_token_can_only_be_pasted(
    browser: Browser, database_url: str, tmp_path: Path
) -> None:
    environment = {
        "JWT_SECRET": "",
        "JWT_JWKS_URL": "http://127.0.0.1:1/keys",
        "JWT_ISSUER": NAME,
        "JWT_AUDIENCE": AUDIENCE,
    }
    with gunicorn(database_url, tmp_path / "log", **environment) as server:
        open_docs(browser, server)
        browser.press(".authorize")
        browser.find(".sign-in [name=token]").send_keys("a.b.c")
        assert browser.driver.find_elements("css selector", ".credentials") == []
        browser.press(".sign-in button", "Use this token")
        browser.find(".sign-in [role=status]", "This page uses your token.")
        browser.press(".sign-in .close")
        assert status_of_get_me(browser) == "401"
        browser.press(".authorize")
        browser.press(".sign-in button", "Sign out")
        browser.find(".authorize.unlocked")
