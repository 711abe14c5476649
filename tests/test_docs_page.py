"""The docs page in a browser, as somebody uses it who sees it for the first time."""

from collections.abc import Iterator

import pytest

from app.openapi.introduction import CHAPTERS, GROUPS
from tests.chromium import Browser, chromium
from tests.conftest import Account
from tests.contract import ROUTES

DESK, PHONE = (1440, 900), (390, 844)
CREATE = "#operations-Tasks-create_task"
SIZES = pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as opened:
        yield opened


@pytest.fixture
def page(browser: Browser, server: str, request: pytest.FixtureRequest) -> Iterator[Browser]:
    """The page at this size; nothing that is done there makes the browser complain."""
    size = request.node.callspec.params["size"] if hasattr(request.node, "callspec") else DESK
    browser.open(f"{server}/docs", *size)
    browser.find("#contract:not([aria-busy=true])")
    yield browser
    assert browser.requested() == {server.removeprefix("http://")}
    assert browser.complaints == []


def open_create(page: Browser) -> None:
    """Open the operation from the contents, which a phone shows when they are asked for."""
    if page.script("return innerWidth < 600"):
        page.press("#menu")
    page.press("#contents summary", "Tasks")
    page.press("#contents [title=create_task]")
    page.find(f"{CREATE} .execute")


def too_wide(page: Browser) -> bool:
    """Whether there is anything to scroll to the side for."""
    return bool(page.script("return document.documentElement.scrollWidth > innerWidth"))


@SIZES
def test_a_task_is_created_with_a_token_on_the_page(
    page: Browser, alice: Account, size: tuple[int, int]
) -> None:
    page.press(".authorize")
    page.find(".modal-ux input").send_keys(alice.token)
    page.press(".modal-ux button[type=submit]")
    page.press(".modal-ux .btn-done")
    open_create(page)
    page.press(f"{CREATE} .execute")
    page.find(f"{CREATE} .live-responses-table .response-col_status", "201")
    (task,) = alice.get("/v1/tasks").json["items"]
    assert task["title"] == "Buy milk"
    assert task["id"] in page.find(f"{CREATE} .live-responses-table .microlight").text
    assert not too_wide(page)


def test_without_a_token_the_page_shows_the_problem(page: Browser) -> None:
    open_create(page)
    page.press(f"{CREATE} .execute")
    page.find(f"{CREATE} .live-responses-table .response-col_status", "401")
    page.find(f"{CREATE} .live-responses-table", "/problems/unauthenticated")
    page.look()
    refused = [text for text in page.complaints if "401 (UNAUTHORIZED)" in text]
    page.complaints = [text for text in page.complaints if text not in refused]


@SIZES
def test_nothing_is_wider_than_the_window(page: Browser, size: tuple[int, int]) -> None:
    assert not too_wide(page)
    if size == PHONE:
        page.press("#menu")
        assert page.find("#contents").rect["x"] == 0
        page.press("#menu")
    page.script("document.querySelectorAll('#contents a[title]').forEach((link) => link.click())")
    page.wait(lambda _: opened(page) == len(ROUTES), "every operation")
    assert not too_wide(page)


def opened(page: Browser) -> int:
    """How many operations show what they take."""
    return int(page.script("return document.querySelectorAll('.opblock .samples').length"))


def test_the_contents_lead_to_every_chapter_and_every_operation(page: Browser) -> None:
    links = page.script(
        "return [...document.querySelectorAll('#contents a')].map((link) => link.hash || link.title)"
    )
    assert [f"#{chapter}" for chapter in CHAPTERS[1:]] == links[: len(CHAPTERS) - 1]
    titles = page.script(
        "return [...document.querySelectorAll('#contents a[title]')].map((link) => link.title)"
    )
    assert sorted(titles) == sorted(route.name for route in ROUTES)
    tags = page.script(
        "return [...document.querySelectorAll('#contents summary')].map((tag) => tag.textContent)"
    )
    assert tags == [tag for group in GROUPS.values() for tag in group]
    page.press("#contents a", "Idempotency")
    page.wait(lambda _: 0 <= page.find("h2#idempotency").rect["y"] - scrolled(page) < 200, "it")


def scrolled(page: Browser) -> float:
    return float(page.script("return scrollY"))


def test_an_operation_is_found_by_its_name(page: Browser) -> None:
    page.find("#find").send_keys("restore")
    shown = "return [...document.querySelectorAll('#contents a[title]')]"
    names = f"{shown}.filter((link) => link.checkVisibility()).map((link) => link.title)"
    page.wait(
        lambda _: sorted(page.script(names)) == ["restore_category", "restore_task"],
        "others hidden",
    )


def test_the_language_of_the_samples_is_chosen_once_for_all(page: Browser) -> None:
    open_create(page)
    page.find(f"{CREATE} .samples", "curl")
    page.press(f"{CREATE} .samples [role=tab]", "Python")
    page.find(f"{CREATE} .samples code", "httpx.post")
    page.driver.refresh()
    page.find("#contract:not([aria-busy=true])")
    page.find(f"{CREATE} .samples code", "httpx.post")


def test_no_field_of_a_header_is_filled_in_beforehand(page: Browser) -> None:
    """An If-Match that nobody wrote would be answered with 412, a key with another's answer."""
    page.script("document.querySelectorAll('#contents a[title]').forEach((link) => link.click())")
    page.wait(lambda _: opened(page) == len(ROUTES), "every operation")
    filled = "return [...document.querySelectorAll('[data-param-in=header] :is(input, select)')]"
    assert page.script(f"{filled}.length") > 0
    assert page.script(f"{filled}.map((field) => field.value).filter(Boolean)") == []


def test_the_browser_is_under_a_strict_policy(page: Browser) -> None:
    policy = page.headers("/docs")["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    page.script("document.body.append(Object.assign(document.createElement('style'), {}))")
    blocked = """
        const style = document.createElement("style");
        style.textContent = "body { --blocked: no; }";
        document.head.append(style);
        return getComputedStyle(document.body).getPropertyValue("--blocked");
    """
    assert page.script(blocked) == ""
    page.look()
    refused = [text for text in page.complaints if "Content Security Policy" in text]
    assert refused
    page.complaints = [text for text in page.complaints if text not in refused]
