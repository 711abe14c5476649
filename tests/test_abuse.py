"""Attacks over HTTP: on access tokens, and on what a request says of where it comes from.

What tests/test_tokens.py tries already is not tried again.
"""

import base64
import hashlib
import hmac
import json
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import time
from typing import Any
from uuid import uuid4

import pytest
from apiflask import APIFlask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from app import create_app
from app.auth import access_tokens, jwks
from tests.conftest import SECRET, Account, settings_for, trusting
from tests.contract import ROUTES, Route
from tests.issuer import Issuer, claims_of, running_issuer
from tests.test_server import exchange
from tests.test_tokens import OWN, assert_not_valid, encoded

TRICKS = [
    "../../../../dev/null",
    "/etc/passwd",
    "file:///etc/passwd",
    "es256' or '1'='1",
    "'; drop table users; --",
    "es256\x00",
    "\u0000",
    "$(id)",
    "{{7*7}}",
    "*",
    "",
    " es256",
    "ES256",
    "\ud800",
    "k" * 5000,
    7,
    1.5,
    True,
    None,
    ["es256"],
    {"$ne": None},
]
"""Key ids that some services look up in a file, in a database or in a template."""


def signed(header: Any, claims: Any, key: bytes = SECRET.encode()) -> str:
    """A token of exactly these parts, with a signature that is right for the key."""
    head = encoded(header, claims)
    return f"{head}.{encoded(hmac.digest(key, head.encode(), hashlib.sha256))}"


def with_raw_claim(user_id: str, member: str) -> bytes:
    """The claims of a good token, and one more member as it is written."""
    return json.dumps(claims_of(**OWN, sub=user_id)).encode()[:-1] + f",{member}}}".encode()


@contextmanager
def nobody_comes() -> Iterator[str]:
    """The address of a server; the test fails if anybody connects to it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.accept()


Presenting = Callable[[str], TestResponse]


def presenting(database_url: str, issuer: Issuer) -> Presenting:
    """Asks a service of its own for an account, with the token."""
    client = create_app(trusting(database_url, issuer)).test_client()
    return lambda token: client.get("/v1/me", headers={"Authorization": f"Bearer {token}"})


@pytest.fixture(scope="module")
def present(database_url: str) -> Iterator[Presenting]:
    """Asks for an account with the token, where the issuer stays as it is."""
    with running_issuer() as unchanged:
        yield presenting(database_url, unchanged)


@pytest.fixture
def afresh(database_url: str, issuer: Issuer) -> Presenting:
    """The same, where the issuer is a test's own."""
    return presenting(database_url, issuer)


# Where the token is


@pytest.mark.parametrize(
    "place",
    [
        {"query_string": {"access_token": "{token}"}},
        {"headers": {"Cookie": "access_token={token}; token={token}"}},
        {"headers": {"X-Access-Token": "{token}", "X-Authorization": "Bearer {token}"}},
        {"headers": {"Authorization": "Bearer {token}, Bearer {token}"}},
        {"headers": {"Authorization": "Bearer {token} {token}"}},
        {"headers": {"Authorization": "Bearer\t{token}"}},
        {"headers": {"Authorization": "Bearer,{token}"}},
        {"headers": {"Authorization": "{token}"}},
        {"headers": {"Authorization": "Token {token}"}},
        {"headers": {"Authorization": "Basic {token}"}},
    ],
    ids=str,
)
def test_a_token_counts_in_the_authorization_header_alone(
    alice: Account, place: dict[str, dict[str, str]]
) -> None:
    filled = {
        kind: {name: value.replace("{token}", alice.token) for name, value in values.items()}
        for kind, values in place.items()
    }
    assert alice.client.get("/v1/me", **filled).status_code == 401


def test_two_authorization_headers_are_none(server: str, alice: Account) -> None:
    header = f"Authorization: Bearer {alice.token}\r\n"
    request = f"GET /v1/me HTTP/1.1\r\nHost: localhost\r\n{header}{header}\r\n"
    assert exchange(server, request.encode())[0] in {400, 401}


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)
def test_every_route_wants_a_token_but_those_that_lead_to_one(
    client: FlaskClient, route: Route
) -> None:
    answer = client.open(route.path, method=route.method, json={})
    open_to_all = route.rule.startswith(("/v1/auth/", "/health"))
    assert (answer.status_code == 401) is not open_to_all


# Its form


@pytest.mark.parametrize("size", [9_000, 100_000, 2**20])
def test_a_token_of_any_size_is_refused_by_the_server(server: str, size: int) -> None:
    head = "GET /v1/me HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer "
    try:
        status, headers, body = exchange(server, f"{head}{'a' * size}\r\n\r\n".encode())
    except ConnectionError:  # it hung up on us while we were still sending
        assert size > 65_536
        return
    assert (status, headers["content-type"]) == (431, "application/problem+json")
    assert json.loads(body)["type"] == "/problems/headers-too-large"


@pytest.mark.parametrize(
    "garbage", ["a" * 2**20, "." * 2**20, "a.b." + "c" * 2**20, "eyJ" * 350_000]
)
def test_a_megabyte_of_token_is_not_believed(present: Presenting, garbage: str) -> None:
    assert_not_valid(present(garbage))


def test_a_good_token_with_a_megabyte_behind_it_is_not_believed(
    present: Presenting, alice: Account
) -> None:
    assert_not_valid(present(alice.token + "A" * 2**20))


@pytest.mark.parametrize(
    "appended", ["\u00e9", "\udcff", "\u0661", "\x00", ".", "..", ".a", "%00", "\ud800\udc00"]
)
def test_a_good_token_with_anything_behind_it_is_not_believed(
    alice: Account, appended: str
) -> None:
    # A header is bytes, which WSGI hands over as latin-1 (PEP 3333).
    sent = f"Bearer {alice.token}{appended}".encode("utf-8", "surrogatepass").decode("latin-1")
    answer = alice.client.get("/v1/me", environ_overrides={"HTTP_AUTHORIZATION": sent})
    assert_not_valid(answer)


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "nOnE", "none ", "\u0000none"])
@pytest.mark.parametrize("signature", [b"", b"none", bytes(32)])
def test_no_spelling_of_none_is_an_algorithm(
    present: Presenting, alice: Account, algorithm: str, signature: bytes
) -> None:
    claims = claims_of(**OWN, sub=alice.user_id)
    assert_not_valid(present(encoded({"alg": algorithm, "kid": "es256"}, claims, signature)))


@pytest.mark.parametrize(
    "header",
    [
        {"alg": "HS256", "b64": False, "crit": ["b64"]},
        {"alg": "HS256", "b64": False},
        {"alg": "HS256", "crit": []},
        {"alg": "HS256", "crit": "b64"},
        {"alg": "HS256", "crit": ["exp"], "exp": 1},
        {"alg": "HS256", "crit": ["unheard-of"], "unheard-of": True},
        {"alg": "HS256", "kid": ["x"]},
        {"alg": "hs256"},
        {"alg": "HS256 "},
        b'{"alg":"HS256","alg":"none"}',
        b'{"alg":"none","alg":"HS512"}',
    ],
    ids=str,
)
def test_a_header_that_asks_for_what_is_not_done_here_is_refused_though_signed(
    present: Presenting, alice: Account, header: Any
) -> None:
    assert_not_valid(present(signed(header, claims_of(**OWN, sub=alice.user_id))))


TIMES = ["NaN", "-Infinity", "-1", "-1e400", "true", '"x"', "[]", "{}", '"\\ud800"']
LATE = ["Infinity", "1e400", "1e18", "9" * 400, "9" * 5000, "253402300800"]


@pytest.mark.parametrize(
    "member",
    [
        *(f'"exp": {value}' for value in TIMES + LATE),
        *(f'"iat": {value}' for value in TIMES + LATE),
        *(f'"nbf": {value}' for value in ["NaN", '"x"', "[]", "{}", "null", *LATE]),
        '"exp": null',
        '"iat": null',
        '"iat": 0',
        '"sub": "x"',
        '"sub": null',
        '"sub": ["00000000-0000-7000-8000-000000000000"]',
        '"sub": "00000000-0000-7000-8000-000000000000\\u0000"',
        '"iss": ["tasks-api"]',
        '"iss": {"tasks-api": 1}',
        '"aud": {"tasks-api": 1}',
        '"aud": [7]',
        '"aud": "tasks-api "',
    ],
    ids=lambda member: member[:30],
)
def test_a_claim_that_is_given_again_and_wrong_is_refused_though_signed(
    present: Presenting, alice: Account, member: str
) -> None:
    raw = with_raw_claim(alice.user_id, member)
    assert_not_valid(present(signed({"alg": "HS256"}, raw)))


@pytest.mark.parametrize(
    "claims",
    [
        b"",
        b"null",
        b"[]",
        b"7",
        b'"a"',
        b"\xff\xfe",
        b"{",
        b'{"a":' * 2000 + b"1" + b"}" * 2000,
        b"[" * 100_000,
    ],
    ids=lambda claims: repr(claims[:12]),
)
def test_claims_that_are_no_object_are_refused_though_signed(
    present: Presenting, claims: bytes
) -> None:
    assert_not_valid(present(signed({"alg": "HS256"}, claims)))


# Its key


@pytest.mark.parametrize("kid", TRICKS, ids=lambda kid: repr(kid)[:24])
def test_a_key_id_is_compared_and_nothing_else(
    afresh: Presenting, issuer: Issuer, alice: Account, kid: object
) -> None:
    claims = claims_of(sub=f"auth0|{uuid4()}")
    for algorithm in ("ES256", "RS256", "EdDSA"):
        assert_not_valid(afresh(signed({"alg": algorithm, "kid": kid}, claims, b"")))
    # For our own tokens there is one key, whatever the token says.
    empty = signed({"alg": "HS256", "kid": kid}, claims_of(**OWN, sub=alice.user_id), b"")
    assert_not_valid(afresh(empty))
    assert len(issuer.requests) <= 1


@pytest.mark.parametrize("place", ["jku", "x5u", "jwk", "x5c", "iss", "kid", "x5t"])
def test_a_url_that_a_token_names_is_never_asked(
    present: Presenting, alice: Account, place: str
) -> None:
    with nobody_comes() as address:
        for scheme in ("http", "https"):
            url = f"{scheme}://{address}/keys"
            value: Any = {"jwk": {"kty": "RSA", "url": url}, "x5c": [url]}.get(place, url)
            for header in ({"alg": "HS256"}, {"alg": "RS256", "kid": "unknown"}, {"alg": "ES256"}):
                claims = claims_of(**{**OWN, "sub": alice.user_id, "iss": url})
                token = signed({**header, place: value}, claims, b"another key of this length, yes")
                assert_not_valid(present(token))


def test_our_own_token_that_names_a_url_is_believed_without_a_look_at_it(
    present: Presenting, alice: Account
) -> None:
    with nobody_comes() as address:
        url = f"http://{address}/"
        header = {"alg": "HS256", "jku": url, "x5u": url, "kid": url}
        token = signed(header, claims_of(**OWN, sub=alice.user_id))
        assert present(token).status_code == 200


def test_a_signature_of_nought_is_none(present: Presenting) -> None:
    claims = claims_of(sub="alice")
    for algorithm, size in (("ES256", 64), ("EdDSA", 64), ("RS256", 256)):
        for signature in (b"", bytes(size), bytes(size - 1) + b"\1", b"\xff" * size):
            header = {"alg": algorithm, "kid": algorithm.lower()}
            assert_not_valid(present(encoded(header, claims, signature)))


def test_an_issuers_symmetric_key_signs_nothing(afresh: Presenting, issuer: Issuer) -> None:
    key = b"a key that the issuer should never have published"
    k = base64.urlsafe_b64encode(key).rstrip(b"=").decode()
    keys = json.loads(issuer.published())["keys"]
    for algorithm in ("HS256", "RS256"):
        symmetric = {"kty": "oct", "kid": f"oct-{algorithm}", "alg": "HS256", "k": k}
        keys.append(symmetric)
    issuer.body = json.dumps({"keys": keys}).encode()
    for algorithm in ("HS256", "RS256"):
        header = {"alg": algorithm, "kid": f"oct-{algorithm}"}
        assert_not_valid(afresh(signed(header, claims_of(sub="alice"), key)))


# What is believed for how long


def test_a_token_whose_key_was_withdrawn_is_believed_no_longer_than_the_keys_are(
    afresh: Presenting, issuer: Issuer, clock: Callable[[float], None]
) -> None:
    token = issuer.sign(sub=f"auth0|{uuid4()}", exp=int(time()) + 23 * 3600)
    assert afresh(token).status_code == 200
    del issuer.private["es256"]
    clock(jwks.LIFETIME_SECONDS - 1)
    assert afresh(token).status_code == 200
    clock(access_tokens.REMEMBERED_SECONDS + 1)
    assert_not_valid(afresh(token))


def test_keys_that_were_not_seen_for_a_day_are_no_longer_good(
    afresh: Presenting, issuer: Issuer, clock: Callable[[float], None]
) -> None:
    def another() -> TestResponse:
        return afresh(issuer.sign(sub=f"auth0|{uuid4()}"))

    assert another().status_code == 200
    issuer.status = 500
    for _ in range(23):
        clock(3600 + 1)
        assert another().status_code == 200
    clock(2 * 3600)
    answer = another()
    assert (answer.status_code, answer.json["type"]) == (503, "/problems/issuer-unavailable")
    issuer.status = 200
    clock(jwks.RETRY_SECONDS + 1)
    assert another().status_code == 200


def test_own_tokens_of_an_erased_account_are_refused_at_once(alice: Account) -> None:
    assert alice.get("/v1/me").status_code == 200
    assert alice.erase().status_code == 204
    assert alice.get("/v1/me").status_code == 401
    assert alice.post("/v1/tasks", json={"title": "Buy milk"}).status_code == 401


# Where a request says it comes from and goes to

SPOOFED = {
    "Host": "evil.example",
    "X-Forwarded-Host": "evil.example",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-For": "203.0.113.66",
    "X-Forwarded-Port": "4430",
    "X-Forwarded-Prefix": "/evil.example",
    "X-Forwarded-Ssl": "on",
    "X-Real-IP": "203.0.113.66",
    "Forwarded": "for=203.0.113.66;host=evil.example;proto=https",
    "X-Original-URL": "/evil.example",
    "X-Rewrite-URL": "/evil.example",
    "X-HTTP-Method-Override": "DELETE",
}


@pytest.fixture
def behind(database_url: str) -> Callable[..., APIFlask]:
    """Makes applications behind so many proxies."""

    def make(proxies: int, **environment: str) -> APIFlask:
        return create_app(settings_for(database_url, TRUSTED_PROXIES=str(proxies), **environment))

    return make


@pytest.mark.parametrize("proxies", [0, 1])
def test_no_header_gets_into_an_address_that_we_give(
    behind: Callable[..., APIFlask], auth: Callable[..., Account], proxies: int
) -> None:
    caller = auth(behind(proxies))
    for _ in range(2):
        created = caller.post("/v1/tasks", json={"title": "Buy milk"}, headers=SPOOFED)
        assert created.status_code == 201
        assert created.headers["Location"] == f"/v1/tasks/{created.json['id']}"
    listing = caller.get("/v1/tasks?limit=1", headers=SPOOFED)
    assert listing.headers["Link"].startswith("</v1/tasks?")
    for answer in (created, listing, caller.get("/v1/nothing", headers=SPOOFED)):
        assert "evil" not in answer.text + str(answer.headers)


def test_the_scheme_is_believed_of_a_trusted_proxy_alone(
    behind: Callable[..., APIFlask], auth: Callable[..., Account]
) -> None:
    for proxies, believed in ((0, False), (1, True)):
        answer = auth(behind(proxies)).get("/v1/me", headers=SPOOFED)
        assert ("Strict-Transport-Security" in answer.headers) is believed
    # What the client sent stands before what the proxy added.
    answer = auth(behind(1)).get("/v1/me", headers={"X-Forwarded-Proto": "https, http"})
    assert "Strict-Transport-Security" not in answer.headers


def test_a_forwarded_host_is_believed_of_a_trusted_proxy_alone(
    behind: Callable[..., APIFlask], auth: Callable[..., Account]
) -> None:
    named = {"Host": "internal", "X-Forwarded-Host": "api.example.com"}
    for proxies, status in ((0, 400), (1, 200)):
        caller = auth(behind(proxies, TRUSTED_HOSTS="api.example.com"))
        assert caller.get("/v1/me", headers=named).status_code == status
    evil = {"Host": "internal", "X-Forwarded-Host": "api.example.com, evil.example"}
    assert caller.get("/v1/me", headers=evil).status_code == 400


@pytest.mark.parametrize(
    ("proxies", "forwarded", "same"),
    [
        (0, ["198.51.100.1", "198.51.100.2"], True),
        (1, ["198.51.100.1", "198.51.100.2"], False),
        (1, ["198.51.100.1, 203.0.113.9", "198.51.100.2, 203.0.113.9"], True),
        (1, ["203.0.113.9, 198.51.100.1", "203.0.113.9, 198.51.100.2"], False),
        (2, ["198.51.100.1, 203.0.113.9", "198.51.100.2, 203.0.113.9"], False),
        (2, ["192.0.2.7, 198.51.100.1, 203.0.113.9", "192.0.2.8, 198.51.100.1, 203.0.113.9"], True),
        (1, ["", ""], True),
    ],
)
def test_the_limit_counts_the_address_that_the_last_trusted_proxy_saw(
    behind: Callable[..., APIFlask], proxies: int, forwarded: list[str], same: bool
) -> None:
    client = behind(proxies, RATELIMIT_PER_ADDRESS="1000").test_client()
    left = [remaining(client, {"X-Forwarded-For": value}) for value in forwarded]
    # The minute may end between the two.
    assert left == [999, 998 if same else 999] or remaining(client, {}) >= 998


def remaining(client: FlaskClient, headers: dict[str, str]) -> int:
    state = client.get("/v1/me", headers=headers).headers["RateLimit"]
    return int(state.split(";r=")[1].split(";")[0])


@pytest.mark.parametrize(
    "header", ["Forwarded", "X-Real-IP", "True-Client-IP", "CF-Connecting-IP", "Client-IP"]
)
def test_no_other_header_names_the_address_even_of_a_trusted_proxy(
    behind: Callable[..., APIFlask], header: str
) -> None:
    client = behind(1, RATELIMIT_PER_ADDRESS="2").test_client()
    statuses = [
        client.get("/v1/me", headers={header: f"198.51.100.{number}"}).status_code
        for number in range(5)
    ]
    assert 429 in statuses


def test_what_is_spoofed_is_in_no_log(
    app: APIFlask, alice: Account, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    alice.get("/v1/tasks", headers={**SPOOFED, "X-Request-ID": "evil.example forged"})
    assert alice.get("/nowhere", headers=SPOOFED).status_code == 404
    logged = capsys.readouterr().out
    assert logged.count("\n") == 2
    assert "evil" not in logged
    assert "203.0.113.66" not in logged


def test_health_answers_to_every_host_and_nothing_else_does(
    behind: Callable[..., APIFlask],
) -> None:
    client = behind(0, TRUSTED_HOSTS="api.example.com").test_client()
    for host in ("10.0.0.7:8000", "[::1]:8000", "evil.example", "API.example.com"):
        for path in ("/health", "/health/db"):
            answer = client.get(path, headers={"Host": host})
            assert answer.status_code == 200, host
            assert host not in answer.text
        trusted = host == "API.example.com"
        for path, status in (("/v1/me", 401), ("/docs", 200), ("/health/", 404)):
            answer = client.get(path, headers={"Host": host})
            assert answer.status_code == (status if trusted else 400)
