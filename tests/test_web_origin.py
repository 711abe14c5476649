"""CORS_ORIGINS is taken in any form that means one origin, and kept as browsers send it."""

import pytest

from app import create_app
from app.core.web_origin import NotAnOrigin, origin, origins
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
    "https://m\u00fcnchen.de": "https://xn--mnchen-3ya.de",
    "https://xn--mnchen-3ya.de": "https://xn--mnchen-3ya.de",
    "https://fa\u00df.de": "https://xn--fa-hia.de",
    "https://\u4f8b\u3048.jp:8443": "https://xn--r8jz45g.jp:8443",
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

REFUSED = {
    "*": "no wildcards",
    "https://*.example.com": "no wildcards",
    "null": "no null",
    "https://app.example.com/path": "remove the path",
    "https://app.example.com#top": "remove the path or query",
    "https://user:hidden@app.example.com": "remove user and password",
    "app.example.com": "such as https://app.example.com",
    "//app.example.com": "such as https://app.example.com",
    "https://": "such as https://app.example.com",
    "https://app.example.com:0": "ports from 1",
    "https://app.example.com:port": "such as https://app.example.com",
    "http://[::1": "such as https://app.example.com",
    "http://[::g]": "such as https://app.example.com",
    "http://[:::1]": "an IPv6 address",
    "http://127.1": "an IPv4 address",
    "http://0x7f000001": "an IPv4 address",
    "https://%61.example.com": "letters, digits",
    "https://a b.example.com": "such as https://app.example.com",
    "https://-\u00fc.de": "xn--",
    "file:///index.html": "send null",
    "data:text/html,hidden": "send null",
    "https://" + "\u00fc" * 1_000_000 + ".de": "such as https://app.example.com",
    "a://" * 1_000_000: "remove the path",
}


@pytest.mark.parametrize("text", TAKEN)
def test_an_origin_is_kept_as_browsers_send_it(text: str) -> None:
    assert origin(text) == TAKEN[text]
    assert origin(TAKEN[text]) == TAKEN[text]


@pytest.mark.parametrize("text", REFUSED, ids=lambda text: text[:40])
def test_what_no_browser_sends_is_refused_with_a_reason(text: str) -> None:
    with pytest.raises(NotAnOrigin) as refused:
        origin(text)
    assert REFUSED[text] in str(refused.value)
    assert "hidden" not in str(refused.value)


def test_two_forms_of_one_origin_are_one() -> None:
    assert origins("https://a.example, HTTPS://A.example:443/,") == ("https://a.example",)


@pytest.mark.parametrize(
    ("configured", "sent"),
    [
        ("capacitor://localhost", "capacitor://localhost"),
        ("https://m\u00fcnchen.de", "https://xn--mnchen-3ya.de"),
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
