"""Chromium without a window: what it shows, what it asked for, and what it complained of."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver import ChromeOptions, Remote
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

from tests.locks import until
from tests.rig.programs import Program, answers, free_port, need, own_directory

DESK: Final = (1440, 900)
PHONE: Final = (390, 844)
"""Windows: pixels across and down."""

SHOWN: Final = "#contract:not([aria-busy=true])"
"""The contract on the docs page, once it is drawn."""

PATIENCE: Final = 90
"""Seconds for a condition, on a machine that has other things to do."""

LOOK_SECONDS: Final = 0.1
"""Between two looks whether a condition holds; selenium would wait for half a second."""

ARGUMENTS: Final = (
    "--headless=new",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
    "--disable-features=BackForwardCache",
    "--disable-gpu",
    "--no-first-run",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)


class Browser:
    """One window, and a record of all that happened since it was opened."""

    def __init__(self, driver: Remote) -> None:
        self.driver = driver
        self.events: list[dict[str, Any]] = []
        self.complaints: list[str] = []

    def open(self, url: str, width: int = 1440, height: int = 900) -> None:
        """Open a page in a window of this size, as a browser that nobody has used before."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.command("Emulation.setDeviceMetricsOverride", **metrics)
        parts = urlsplit(url)
        self.command(
            "Storage.clearDataForOrigin",
            origin=f"{parts.scheme}://{parts.netloc}",
            storageTypes="all",
        )
        self.driver.get("about:blank")
        self.look()
        self.events, self.complaints = [], []
        self.driver.get(url)

    def command(self, name: str, **parameters: Any) -> None:
        """A command of the DevTools protocol."""
        body = {"cmd": name, "params": parameters}
        self.driver.execute("executeCdpCommand", body)

    def script(self, source: str) -> Any:
        """What a script returns."""
        return self.driver.execute_script(source)

    def find(self, selector: str, text: str = "") -> WebElement:
        """The first element that is shown, matches and has the text, once there is one."""

        def found(driver: Remote) -> WebElement | None:
            for element in driver.find_elements("css selector", selector):
                if element.is_displayed() and text in element.text:
                    return element
            return None

        return self.wait(found, f"{selector} {text}")

    def press(self, selector: str, text: str = "") -> None:
        """Bring an element into view and click on it."""
        element = self.find(selector, text)
        self.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", element)
        element.click()

    def wait(self, condition: Callable[[Remote], Any], what: str) -> Any:
        """What the condition finds, once it does."""
        ignored = [StaleElementReferenceException]
        waiting = WebDriverWait(self.driver, PATIENCE, LOOK_SECONDS, ignored_exceptions=ignored)
        return waiting.until(condition, f"there is no {what}")

    def look(self) -> None:
        """Take what was recorded since the last look."""
        entries = self.log("performance")
        self.events += [json.loads(entry["message"])["message"] for entry in entries]
        complaints = self.log("browser")
        self.complaints += [entry["message"] for entry in complaints if entry["level"] != "INFO"]

    def log(self, kind: str) -> list[dict[str, Any]]:
        """What chromedriver has written into a log since it was asked last."""
        entries: list[dict[str, Any]] = self.driver.execute("getLog", {"type": kind})["value"]
        return entries

    def requested(self) -> set[str]:
        """The host of every request; data in the page itself has none."""
        self.look()
        urls = [e["params"]["request"]["url"] for e in self.named("Network.requestWillBeSent")]
        return {urlsplit(url).netloc for url in urls if not url.startswith(("data:", "about:"))}

    def headers(self, path: str) -> dict[str, str]:
        """The headers of the last answer from this path, their names in lower case."""
        self.look()
        answers = [event["params"]["response"] for event in self.named("Network.responseReceived")]
        last = [answer for answer in answers if urlsplit(answer["url"]).path == path][-1]
        return {name.lower(): value for name, value in last["headers"].items()}

    def named(self, name: str) -> Iterator[dict[str, Any]]:
        """The events with this name."""
        return (event for event in self.events if event["method"] == name)


def open_docs(browser: Browser, server: str, size: tuple[int, int] = DESK) -> None:
    """Open the docs page of a server and wait until the contract is shown."""
    browser.open(f"{server}/docs", *size)
    browser.find(SHOWN)


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser, which ends with the block or with this process, however that ends."""
    driver, browser = need("chromedriver"), need("chromium")
    directory, port = own_directory(), free_port()
    program = Program(
        [driver, f"--port={port}"],
        directory,
        env={**os.environ, "TMPDIR": str(directory), "HOME": str(directory)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait_for(program, port)
        yield Browser(Remote(f"http://127.0.0.1:{port}", options=_options(browser, directory)))
    finally:
        program.end()
        shutil.rmtree(directory, ignore_errors=True)


def _wait_for(program: Program, port: int) -> None:
    until(lambda: not program.runs or answers(port))
    assert program.runs, "chromedriver has ended"


def _options(browser: str, directory: Path) -> ChromeOptions:
    options = ChromeOptions()
    options.binary_location = browser
    for argument in (*ARGUMENTS, f"--user-data-dir={directory / 'profile'}"):
        options.add_argument(argument)
    if os.geteuid() == 0:
        options.add_argument("--no-sandbox")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    return options
