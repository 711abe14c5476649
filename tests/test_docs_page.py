"""The docs page in a browser, as somebody uses it who sees it for the first time."""

from collections.abc import Iterator

import pytest

from app.web.openapi.document import CHAPTERS, GROUPS
from tests.chromium import DESK, PHONE, Browser, chromium, open_docs
from tests.conftest import Account
from tests.contract import ROUTES

pytestmark = pytest.mark.slow

CREATE = "#operations-Tasks-create_task"
SIZES = pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])


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
    """The page; nothing that is done there makes the browser complain or ask another host."""
    open_docs(browser, server, size)
    yield browser
    assert browser.requested() == {server.removeprefix("http://")}
    assert browser.complaints == []


def open_operation(page: Browser, name: str) -> None:
    """Open an operation from the contents."""
    page.script(f"document.querySelector('#contents [title={name}]').click()")
    page.find(f"[id$='-{name}'].is-open .samples")


def too_wide(page: Browser) -> bool:
    """Whether there is anything to scroll to the side for."""
    return bool(page.script("return document.documentElement.scrollWidth > innerWidth"))


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


@SIZES
def test_a_task_is_created_with_a_token_and_nothing_is_wider_than_the_window(
    page: Browser, alice: Account, size: tuple[int, int]
) -> None:
    assert not too_wide(page)
    page.press(".authorize")
    page.find(".sign-in [name=token]").send_keys(f"Bearer {alice.token}")
    page.press(".sign-in button", "Use this token")
    page.press(".sign-in .close")
    if size == PHONE:
        page.press("#menu")
    page.press("#contents summary", "Tasks")
    page.press("#contents [title=create_task]")
    assert page.find(f"{CREATE} [data-param-in=header] input").get_property("value") == ""
    page.press(f"{CREATE} .execute")
    page.find(f"{CREATE} .live-responses-table .response-col_status", "201")
    (task,) = alice.get("/v1/tasks").json["items"]
    assert task["title"] == "Buy milk"
    assert task["id"] in page.find(f"{CREATE} .live-responses-table .microlight").text
    assert not too_wide(page)


def test_the_contents_lead_to_every_chapter_and_find_every_operation(page: Browser) -> None:
    page.find(".info code", page.script("return `export API=${location.origin}`"))
    chapters = texts(page, "#contents a:not([title])", "hash")
    assert chapters == [f"#{chapter}" for chapter in CHAPTERS[1:]]
    assert sorted(texts(page, "#contents a[title]", "title")) == sorted(r.name for r in ROUTES)
    tags = texts(page, "#contents summary", "textContent")
    assert tags == [tag for group in GROUPS.values() for tag in group]
    page.press("#contents a", "Idempotency")
    page.wait(lambda _: 0 <= top(page, "#idempotency") < 200, "chapter in view")
    page.find("#find").send_keys("restore")
    expected = sorted(route.name for route in ROUTES if "restore" in route.name)
    shown = "#contents details[open]:not([hidden]) a:not([hidden])"
    page.wait(
        lambda _: sorted(texts(page, shown, "title")) == expected, "operations that are found"
    )


def test_the_language_of_the_samples_is_chosen_once_for_all(page: Browser) -> None:
    open_operation(page, "create_task")
    page.find(f"{CREATE} .samples code", "curl")
    page.press(f"{CREATE} .samples [role=tab]", "Python")
    page.find(f"{CREATE} .samples code", "httpx.post")
    open_operation(page, "list_tasks")
    page.find("#operations-Tasks-list_tasks .samples code", "httpx.get")


def test_a_problem_of_an_operation_is_shown_when_it_is_opened(page: Browser) -> None:
    open_operation(page, "create_task")
    assert "at most 200 characters" not in page.find(f"{CREATE} .responses-table").text
    page.press(f"{CREATE} .problem button", "Validation failed")
    page.find(f"{CREATE} .problem + .response .microlight", "at most 200 characters")
    assert texts(page, f"{CREATE} .problem [aria-expanded=true]", "textContent") == [
        "Validation failed"
    ]


def test_no_field_of_a_header_is_filled_in_beforehand(page: Browser) -> None:
    """An If-Match that nobody wrote would be answered with 412."""
    open_operation(page, "replace_task")
    assert set(texts(page, "[data-param-in=header] :is(input, select)", "value")) == {""}


def test_the_browser_is_under_a_policy_that_lets_nothing_in_from_the_page(page: Browser) -> None:
    policy = page.headers("/docs")["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    blocked = """
        const style = document.createElement("style");
        style.textContent = "body { --style: applied; }";
        const script = document.createElement("script");
        script.textContent = "window.script = 'run';";
        document.head.append(style, script);
        return [getComputedStyle(document.body).getPropertyValue("--style"), window.script];
    """
    assert page.script(blocked) == ["", None]
    page.look()
    assert len(page.complaints) == 2
    assert all("Content Security Policy" in complaint for complaint in page.complaints)
    page.complaints.clear()
