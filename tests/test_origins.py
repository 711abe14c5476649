"""CORS_ORIGINS is taken in any form that means one origin, and kept as browsers send it."""

import pytest

from app import create_app
from app.core.hosts import origin
from tests.conftest import settings_for

TAKEN = {
    "https://app.example.com": "https://app.example.com",
    "HTTPS://App.Example.COM": "https://app.example.com",
    "https://app.example.com/": "https://app.example.com",
    "https://app.example.com:443": "https://app.example.com",
    "http://app.example.com:80/": "http://app.example.com",
    "http://app.example.com:443": "http://app.example.com:443",
    "https://app.example.com:08443": "https://app.example.com:8443",
    "http://localhost:3000": "http://localhost:3000",
    "http://[::1]:3000": "http://[::1]:3000",
    "http://[0:0:0:0:0:0:0:1]": "http://[::1]",
    "http://[2001:DB8::0001]": "http://[2001:db8::1]",
    "https://xn--mnchen-3ya.de": "https://xn--mnchen-3ya.de",
    "https://a_b.example.com": "https://a_b.example.com",
    "capacitor://localhost": "capacitor://localhost",
    "https://tauri.localhost": "https://tauri.localhost",
    "app://obsidian.md": "app://obsidian.md",
    "app://.": "app://.",
    "chrome-extension://abcdefghijklmnopabcdefghijklmnop": (
        "chrome-extension://abcdefghijklmnopabcdefghijklmnop"
    ),
    "moz-extension://2c127fa4-62c7-7e4f-90e5-472b45eecfdc": (
        "moz-extension://2c127fa4-62c7-7e4f-90e5-472b45eecfdc"
    ),
}

REFUSED = (
    *("*", "https://*.example.com", "null", "app.example.com", "//app.example.com", "https://"),
    *("https://app.example.com/path", "https://app.example.com#top", "https://app.example.com?q"),
    *("https://user:hidden@app.example.com", "https://app.example.com:port"),
    *("https://app.example.com:0", "https://app.example.com:65536", "https://app.example.com:"),
    *("http://[::1", "http://[::g]", "http://[:::1]", "http://[::1%25eth0]", "http://[1.2.3.4]"),
    *("https://%61.example.com", "https://a b.example.com", "https://m\u00fcnchen.de"),
    *("file:///index.html", "data:text/html,hidden", "about:blank"),
    *("https://" + "\u00fc" * 1_000_000 + ".de", "a://" * 1_000_000),
)


@pytest.mark.parametrize("text", TAKEN)
def test_an_origin_is_kept_as_browsers_send_it(text: str) -> None:
    assert origin(text) == TAKEN[text]
    assert origin(TAKEN[text]) == TAKEN[text]


@pytest.mark.parametrize("text", REFUSED, ids=lambda text: text[:40])
def test_what_no_browser_sends_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 the setting says what is expected
        origin(text)


@pytest.mark.parametrize(
    ("configured", "sent"),
    [
        ("capacitor://localhost", "capacitor://localhost"),
        ("https://App.Example.com:443/", "https://app.example.com"),
    ],
)
def test_a_page_or_app_of_a_configured_origin_may_call(
    database_url: str, configured: str, sent: str
) -> None:
    client = create_app(settings_for(database_url, CORS_ORIGINS=configured)).test_client()
    answer = client.get("/v1/tasks", headers={"Origin": sent})
    assert answer.headers["Access-Control-Allow-Origin"] == sent
    other = client.get("/v1/tasks", headers={"Origin": "https://evil.example"})
    assert "Access-Control-Allow-Origin" not in other.headers
