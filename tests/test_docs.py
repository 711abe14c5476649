"""The pages for people, which no other host has a part in."""

import gzip
import re
from importlib.metadata import files
from typing import Final

import httpx
import pytest
from flask.testing import FlaskClient

from app.core.problem_kinds import KINDS
from app.web.docs.page import ASSETS
from tests.conftest import ROOT

FILES: Final = ROOT / "app" / "web" / "docs" / "static"
STATIC: Final = sorted(f"/static/{file.name}" for file in FILES.iterdir())
OURS: Final = ["/docs", "/problems", *STATIC]
PAGES: Final = ["/docs", "/problems", f"/problems/{next(iter(KINDS))}"]


def references(text: str) -> list[str]:
    """What a page, a style sheet or a script leads to or loads."""
    attributes = re.findall(r"""\b(?:src|href|action|data)\s*=\s*["']([^"']*)""", text)
    styles = re.findall(r"""url\(\s*["']?([^"')]*)|@import\s+["']([^"']*)""", text)
    scripts = re.findall(r"""(?:\burl:|fetch\(|import\()\s*["']([^"']*)""", text)
    return [*attributes, *("".join(found) for found in styles), *scripts]


@pytest.mark.parametrize("path", OURS)
def test_nothing_we_write_leads_to_another_host(client: FlaskClient, path: str) -> None:
    text = client.get(path, buffered=True).text
    assert not re.search(r"(?:[a-z]+:)?//[\w.-]+\.\w", text)
    assert all(found.startswith("/") and found[1:2] != "/" for found in references(text))


@pytest.mark.parametrize("page", PAGES)
def test_everything_a_page_leads_to_is_there(client: FlaskClient, page: str) -> None:
    found = references(client.get(page, buffered=True).text)
    assert found
    assert [path for path in found if client.get(path, buffered=True).status_code != 200] == []


def test_our_own_files_arrive_whole_from_the_server(server: str) -> None:
    for path in STATIC:
        file = FILES / path.removeprefix("/static/")
        assert httpx.get(f"{server}{path}").content == file.read_bytes()


def test_the_page_fetches_the_contract_from_where_it_came(client: FlaskClient) -> None:
    assert "/openapi.json" in references(client.get("/static/docs.js", buffered=True).text)
    contract = client.get("/openapi.json", buffered=True)
    assert contract.mimetype == "application/json"
    assert [server["url"] for server in contract.json["servers"]] == ["/"]


@pytest.mark.parametrize("name", ASSETS)
def test_swagger_ui_is_served_as_it_was_installed(client: FlaskClient, name: str) -> None:
    installed = next(file for file in files("flask-swagger-ui") or [] if file.name == name)
    response = client.get(f"/docs/{name}", buffered=True)
    assert response.data == installed.locate().read_bytes()
    assert "max-age" in response.headers["Cache-Control"]


@pytest.mark.parametrize("path", ["/openapi.json", *(f"/docs/{name}" for name in ASSETS)])
def test_what_never_changes_is_sent_once_and_compressed_to_who_takes_it(
    client: FlaskClient, path: str
) -> None:
    plain = client.get(path)
    compressed = client.get(path, headers={"Accept-Encoding": "br;q=1, gzip;q=0.5"})
    assert "Content-Encoding" not in plain.headers
    assert compressed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(compressed.data) == plain.data
    assert plain.headers["Content-Type"] == compressed.headers["Content-Type"]
    assert plain.headers["ETag"] != compressed.headers["ETag"]
    for response, accepted in ((plain, "identity"), (compressed, "gzip")):
        assert response.vary == {"Accept-Encoding"}
        headers = {"Accept-Encoding": accepted, "If-None-Match": response.headers["ETag"]}
        again = client.get(path, headers=headers)
        assert (again.status_code, again.data) == (304, b"")


def test_who_refuses_gzip_gets_none(client: FlaskClient) -> None:
    for accepted in ("gzip;q=0", "identity", "*;q=0, identity", ""):
        headers = {"Accept-Encoding": accepted}
        assert "Content-Encoding" not in client.get("/openapi.json", headers=headers).headers


@pytest.mark.parametrize("name", ["index.html", "LICENSE", "../__init__.py", "x/swagger-ui.css"])
def test_no_other_file_of_the_package_is_served(client: FlaskClient, name: str) -> None:
    assert client.get(f"/docs/{name}", buffered=True).status_code == 404


@pytest.mark.parametrize("page", PAGES)
def test_the_browser_is_told_to_load_nothing_from_elsewhere(client: FlaskClient, page: str) -> None:
    policy = client.get(page, buffered=True).headers["Content-Security-Policy"]
    directives = dict(part.strip().split(" ", 1) for part in policy.split(";"))
    assert directives["default-src"] == directives["frame-ancestors"] == "'none'"
    assert directives["script-src"] == directives["connect-src"] == "'self'"
    assert not re.search(r"https?:|\*|unsafe-eval", policy)
    assert directives["style-src"] == "'self'"
    assert "unsafe" not in policy


def test_the_pages_have_no_script_or_handler_within_them(client: FlaskClient) -> None:
    for page in PAGES:
        text = client.get(page, buffered=True).text
        assert not re.search(r"<script(?![^>]*\bsrc=)|\son\w+=|javascript:", text)


def test_the_root_leads_to_the_page(client: FlaskClient) -> None:
    response = client.get("/", buffered=True)
    assert (response.status_code, response.headers["Location"]) == (303, "/docs")
