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


@SIZES
def test_nothing_is_wider_than_the_window(page: Browser, size: tuple[int, int]) -> None:
    assert not too_wide(page)
    if size == PHONE:
        page.press("#menu")
        assert page.find("#contents").rect["x"] == 0
        page.press("#menu")
    open_all(page, "list_tasks")
    assert not too_wide(page)


def open_all(page: Browser, *names: str) -> None:
    """Open these operations from the contents."""
    for name in names:
        page.script(f"document.querySelector('#contents [title={name}]').click()")
        page.wait(
            lambda driver, name=name: driver.find_elements(
                "css selector", f"[id$={name}] .samples"
            ),
            name,
        )


def test_the_contents_lead_to_every_chapter_and_every_operation(page: Browser) -> None:
    chapters = texts(page, "#contents a:not([title])", "hash")
    assert chapters == [f"#{chapter}" for chapter in CHAPTERS[1:]]
    assert sorted(texts(page, "#contents a[title]", "title")) == sorted(r.name for r in ROUTES)
    tags = texts(page, "#contents summary", "textContent")
    assert tags == [tag for group in GROUPS.values() for tag in group]
    page.press("#contents a", "Idempotency")
    page.wait(lambda _: 0 <= top(page, "#idempotency") < 200, "chapter in view")


def texts(page: Browser, selector: str, name: str) -> list[str]:
    """A property of each element that matches."""
    found: list[str] = page.script(
        f"return [...document.querySelectorAll('{selector}')].map((found) => found.{name})"
    )
    return found


def top(page: Browser, selector: str) -> float:
    """How far below the top of the window it is."""
    return float(
        page.script(f"return document.querySelector('{selector}').getBoundingClientRect().top")
    )


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
    open_all(page, "create_task", "update_task", "replace_task", "get_task")
    values = texts(page, "[data-param-in=header] :is(input, select)", "value")
    assert set(values) == {""}


def test_the_browser_is_under_a_strict_policy(page: Browser) -> None:
    policy = page.headers("/docs")["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
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
