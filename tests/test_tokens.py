"""Access tokens: which are believed, which are not, and whose keys are asked for when."""

import base64
import json
import socket
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from time import time
from typing import Any
from uuid import UUID, uuid4, uuid5

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from app import create_app
from app.auth import access_tokens, jwks
from app.auth.access_tokens import ISSUERS, TokenVerifier
from app.core.config import Settings
from app.core.problems import Problem
from app.core.secrets import Keys
from tests import issuer as issuing
from tests.conftest import SECRET, Account, trusting
from tests.issuer import FromNow, Issuer, claims_of, running_issuer
from tests.lines import category, counts, exported, jsonl, send, task
from tests.parallel import at_once

OWN = {"iss": "tasks-api", "aud": "tasks-api"}


def own_token(user_id: str, *, key: str = SECRET, algorithm: str = "HS256", **changed: Any) -> str:
    """A token as this service issues it, but for what is changed; None leaves a claim out."""
    return jwt.encode(claims_of(**{**OWN, "sub": user_id, **changed}), key, algorithm)


def assert_not_valid(answer: TestResponse) -> None:
    assert (answer.status_code, answer.json["type"]) == (401, "/problems/unauthenticated")
    assert answer.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'


# Own tokens


def test_an_own_token_is_believed(alice: Account) -> None:
    token = own_token(alice.user_id)
    assert alice._replace(token=token).get("/v1/me").json["id"] == alice.user_id


def test_an_own_token_lasts_fifteen_minutes(alice: Account) -> None:
    claims = jwt.decode(alice.token, options={"verify_signature": False})
    assert claims["exp"] - claims["iat"] == 15 * 60
    assert claims.items() >= {**OWN, "sub": alice.user_id}.items()


@pytest.mark.parametrize(
    "changed",
    [
        {"exp": FromNow(-60)},
        {"iat": FromNow(600), "exp": FromNow(900)},
        {"nbf": FromNow(600)},
        {"exp": FromNow(24 * 3600 + 60)},
        {"iat": FromNow(-24 * 3600), "exp": FromNow(60)},
        {"iss": "other"},
        {"iss": issuing.NAME},
        {"aud": "other"},
        {"aud": []},
        {"sub": "alice"},
        {"sub": ""},
        {"sub": 7},
        {"exp": "tomorrow"},
        {"exp": "4102444800"},
        {"exp": float("inf")},
        {"exp": [1]},
        {"iat": "yesterday"},
        {"key": SECRET + "."},
        {"key": "another secret that is long enough to be one"},
        {"algorithm": "HS384"},
        {"algorithm": "HS512"},
        *({claim: None} for claim in ("exp", "iat", "iss", "aud", "sub")),
    ],
    ids=str,
)
@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")
def test_an_own_token_is_not_believed(alice: Account, changed: dict[str, Any]) -> None:
    token = own_token(**{"user_id": alice.user_id, **changed})
    assert_not_valid(alice._replace(token=token).get("/v1/me"))


@pytest.mark.parametrize("changed", [{"exp": -5}, {"iat": 25}, {"nbf": 25}], ids=str)
def test_clocks_may_differ_by_half_a_minute(alice: Account, changed: dict[str, int]) -> None:
    changed = {name: int(time()) + by for name, by in changed.items()}
    token = own_token(alice.user_id, **changed)
    assert alice._replace(token=token).get("/v1/me").status_code == 200


def encoded(*parts: object) -> str:
    texts = (part if isinstance(part, bytes) else json.dumps(part).encode() for part in parts)
    return ".".join(base64.urlsafe_b64encode(text).rstrip(b"=").decode() for text in texts)


@pytest.mark.parametrize(
    "token",
    [
        "x",
        "..",
        "a.b.c.d",
        "Bearer",
        "\u00e9",
        encoded({"alg": "none"}, {"sub": "x"}) + ".",
        encoded({"alg": "None"}, {"sub": "x"}, b"x"),
        encoded({"alg": None}, {}, b"x"),
        encoded({"alg": ["HS256"]}, {}, b"x"),
        encoded({}, {}, b"x"),
        encoded([], {}, b"x"),
        encoded({"alg": "HS256", "kid": 7}, {}, b"x"),
        encoded({"alg": "HS256", "b64": False, "crit": ["b64"]}, {}, b"x"),
        encoded({"alg": "HS256", "x": "\ud800"}, {"sub": "\ud800"}, b"x"),
        encoded(b"\xff\xfe", b"\xff", b"x"),
        encoded(b"[" * 5000, b"{}", b"x"),
        encoded(b'{"a":' * 1200 + b"1" + b"}" * 1200, b"{}", b"x"),
        encoded(b'{"alg":"HS256","x":' + b"9" * 5000 + b"}", b"{}", b"x"),
        "x" * 100_000,
    ],
    ids=range(19),
)
def test_garbage_is_not_believed(alice: Account, token: str) -> None:
    assert_not_valid(alice._replace(token=token).get("/v1/me"))


@pytest.mark.parametrize("scheme", ["bearer", "BEARER", "Bearer "])
def test_the_scheme_is_taken_in_every_letter_case(alice: Account, scheme: str) -> None:
    headers = {"Authorization": f"{scheme} {alice.token}"}
    assert alice.client.get("/v1/me", headers=headers).status_code == 200


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "Basic YTpi", "Token x"])
def test_whoever_sends_no_token_is_told_that_one_is_needed(
    client: FlaskClient, header: str | None
) -> None:
    answer = client.get("/v1/me", headers={"Authorization": header} if header is not None else {})
    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
    assert answer.json["type"] == "/problems/unauthenticated"


# What is remembered


@pytest.fixture
def verifier() -> TokenVerifier:
    settings = Settings.from_environment({"APP_ENV": "test", "JWT_SECRET": SECRET})
    return TokenVerifier(settings, [Keys.derive(SECRET)])


def test_what_is_remembered_is_bounded(
    verifier: TokenVerifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access_tokens, "CACHED_TOKENS", 3)
    issued = [verifier.issue(str(uuid4())) for _ in range(5)]
    for token in issued:
        verifier.verify(token)
    kept = list(verifier.verified)
    assert len(kept) == 3
    for token in issued[-3:]:  # these are remembered, so nothing is added
        verifier.verify(token)
    assert list(verifier.verified) == kept
    assert verifier.verify(issued[0]).external is False
    assert list(verifier.verified)[:2] == kept[1:]


def test_what_is_refused_is_not_remembered(verifier: TokenVerifier) -> None:
    for _ in range(2):
        with pytest.raises(Problem, match="unauthenticated"):
            verifier.verify("x")
    assert not verifier.verified


# Another issuer's tokens


@pytest.fixture
def stranger(database_url: str, issuer: Issuer) -> Account:
    """The issuer's user, who has never been here."""
    subject = f"auth0|{uuid4()}"
    user_id = str(uuid5(ISSUERS, f"{issuing.NAME}\n{subject}"))
    client = create_app(trusting(database_url, issuer)).test_client()
    return Account(user_id, subject, issuer.sign(sub=subject), client)


@pytest.fixture
def presenting(stranger: Account, issuer: Issuer) -> Callable[..., TestResponse]:
    """Asks for the stranger's account with a token that the issuer signs for them."""

    def present(*args: Any, **options: Any) -> TestResponse:
        token = issuer.sign(*args, **{"sub": stranger.email, **options})
        return stranger._replace(token=token).get("/v1/me")

    return present


@pytest.fixture(scope="module")
def unchanged(database_url: str) -> Iterator[tuple[Issuer, FlaskClient]]:
    """An issuer that stays as it is, and a client of a service that trusts it."""
    with running_issuer() as running:
        yield running, create_app(trusting(database_url, running)).test_client()


@pytest.fixture
def visitor(unchanged: tuple[Issuer, FlaskClient]) -> Callable[..., Account]:
    """Makes users of that issuer, each with a token that it signs."""
    running, client = unchanged

    def visit(*args: Any, **options: Any) -> Account:
        given = {"sub": f"auth0|{uuid4()}", **options}
        return Account("", str(given["sub"]), running.sign(*args, **given), client)

    return visit


@pytest.mark.parametrize("kid", ["rs256", "es256", "eddsa"])
def test_another_issuers_token_is_believed(
    presenting: Callable[..., TestResponse], stranger: Account, kid: str
) -> None:
    answer = presenting(kid)
    assert (answer.status_code, answer.json["id"]) == (200, stranger.user_id)


def test_a_users_id_is_made_of_issuer_and_subject_and_never_changes() -> None:
    assert str(ISSUERS) == "6e0c9d3c-3a51-5a5b-9b0e-3f6b6f0d9a52"
    user_id = uuid5(ISSUERS, f"{issuing.NAME}\nalice")
    assert user_id == UUID("ad8e8f33-8536-5b45-b651-0863ceb68cdc")
    assert user_id.version == 5


@pytest.mark.parametrize(
    "changed",
    [
        {"iss": "https://issuer.example.com"},
        {"iss": "tasks-api"},
        {"aud": "other"},
        {"aud": "tasks-api"},
        {"exp": FromNow(-60)},
        {"exp": FromNow(24 * 3600 + 60)},
        {"nbf": FromNow(600)},
        {"sub": ""},
        {"sub": 7},
        {"headers": {"alg": "ES256", "kid": "unknown"}},
        {"headers": {"kid": "rs256"}},
        {"headers": {"kid": "eddsa"}},
        *({claim: None} for claim in ("exp", "iat", "iss", "aud", "sub")),
    ],
    ids=str,
)
def test_another_issuers_token_is_not_believed(
    visitor: Callable[..., Account], changed: dict[str, Any]
) -> None:
    assert_not_valid(visitor(**changed).get("/v1/me"))


# What issuers publish and sign in other ways


@pytest.mark.parametrize("kid", ["rs256", "es256", "eddsa"])
def test_a_token_without_a_key_id_is_tried_with_each_key_of_its_type(
    presenting: Callable[..., TestResponse], issuer: Issuer, kid: str
) -> None:
    issuer.private = {
        f"{algorithm} {number}": (algorithm, issuing.new_key(algorithm))
        for algorithm in ("ES256", "EdDSA")
        for number in range(3)
    } | issuer.private
    assert presenting(kid, headers={"kid": None}).status_code == 200
    assert issuer.requests == ["/keys"]


@pytest.mark.parametrize("headers", [{"kid": None}, {"kid": "named"}], ids=str)
@pytest.mark.parametrize("kid", ["rs256", "es256", "eddsa"])
def test_a_set_whose_only_key_has_no_id_verifies_tokens_with_and_without_one(
    presenting: Callable[..., TestResponse], issuer: Issuer, kid: str, headers: dict[str, Any]
) -> None:
    issuer.private = {kid: issuer.private[kid]}
    issuer.changes = {kid: {"kid": None}}
    assert presenting(kid, headers=headers).status_code == 200


def test_a_key_without_an_id_is_not_tried_where_another_has_the_tokens_id(
    presenting: Callable[..., TestResponse], issuer: Issuer
) -> None:
    issuer.private["other"] = ("ES256", issuing.new_key("ES256"))
    issuer.changes = {"es256": {"kid": None}}
    assert_not_valid(presenting("es256", headers={"kid": "other"}))
    assert presenting("es256", headers={"kid": "unknown"}).status_code == 200


def test_a_new_key_without_an_id_is_found_within_a_minute(
    presenting: Callable[..., TestResponse], issuer: Issuer, clock: Callable[[float], None]
) -> None:
    issuer.private = {"es256": issuer.private["es256"]}
    issuer.changes = {"es256": {"kid": None}}
    unnamed = {"headers": {"kid": None}}
    assert presenting(**unnamed).status_code == 200
    issuer.private = {"es256": ("ES256", issuing.new_key("ES256"))}
    for seconds, asked in ((0, 1), (30, 1)):
        clock(seconds)
        assert_not_valid(presenting(**unnamed))
        assert len(issuer.requests) == asked
    clock(31)
    assert presenting(**unnamed).status_code == 200
    assert len(issuer.requests) == 2


def test_a_token_without_a_key_id_is_tried_with_ten_keys_at_most(
    presenting: Callable[..., TestResponse], issuer: Issuer
) -> None:
    issuer.private = {str(n): ("EdDSA", issuing.new_key("EdDSA")) for n in range(30)}
    assert presenting("9", headers={"kid": None}).status_code == 200
    assert_not_valid(presenting("10", headers={"kid": None}))


@pytest.mark.parametrize("published", ["Ed25519", "EdDSA", None])
@pytest.mark.parametrize("signed", ["Ed25519", "EdDSA"])
def test_ed25519_has_two_names_which_mean_the_same(
    presenting: Callable[..., TestResponse], issuer: Issuer, published: str | None, signed: str
) -> None:
    issuer.changes = {"eddsa": {"alg": published}}
    issuer.body = issuer.published()
    issuer.private = {"eddsa": (signed, issuer.private["eddsa"][1])}
    assert presenting("eddsa").status_code == 200


@pytest.mark.parametrize(
    "changes",
    [
        {"use": None, "alg": None},
        {"key_ops": ["verify"]},
        {"key_ops": ["sign", "verify"], "use": None},
        {"x5t": "abc", "x-of-our-own": {"a": 1}},
    ],
    ids=str,
)
@pytest.mark.parametrize("kid", ["rs256", "es256", "eddsa"])
def test_a_key_says_of_itself_what_it_may_or_nothing(
    presenting: Callable[..., TestResponse], issuer: Issuer, kid: str, changes: dict[str, Any]
) -> None:
    issuer.changes = {kid: changes}
    assert presenting(kid).status_code == 200


@pytest.mark.parametrize(
    "changes",
    [
        {"use": "enc"},
        {"key_ops": ["encrypt"]},
        {"key_ops": []},
        {"alg": "ES384"},
        {"alg": "RSA-OAEP"},
        {"alg": 7},
        {"kty": "AKP"},
        {"kty": ["EC"]},
        {"crv": "P-384"},
        {"crv": {"name": "P-256"}},
        {"crv": None},
        {"x": "not a point"},
        {"x": 7},
        {"x": None},
        {"kid": 7, "x": None},
    ],
    ids=str,
)
@pytest.mark.parametrize("kid", ["es256", None])
def test_a_key_that_is_of_no_use_is_passed_over_and_the_others_count(
    presenting: Callable[..., TestResponse],
    issuer: Issuer,
    changes: dict[str, Any],
    kid: str | None,
) -> None:
    issuer.changes = {"es256": changes}
    assert_not_valid(presenting("es256", headers={"kid": kid}))
    assert presenting("rs256").status_code == 200


def test_what_is_no_key_at_all_is_passed_over(
    presenting: Callable[..., TestResponse], issuer: Issuer
) -> None:
    whole = json.loads(issuer.published())["keys"]
    issuer.body = json.dumps({"keys": [None, 7, "x", [], {}, *whole]}).encode()
    assert presenting("es256").status_code == 200


def test_a_set_of_no_use_refuses_tokens_asks_nobody_to_wait_and_is_logged(
    presenting: Callable[..., TestResponse], issuer: Issuer, capsys: pytest.CaptureFixture[str]
) -> None:
    issuer.body = b'{"keys": [{"kty": "AKP", "alg": "ML-DSA-44", "pub": "x", "kid": "es256"}]}'
    assert_not_valid(presenting("es256"))
    assert "holds no key that can be used" in capsys.readouterr().out


# What kind of token it is, and what it may do


@pytest.mark.parametrize(
    "typ", [None, "JWT", "jwt", "at+jwt", "AT+JWT", "application/at+jwt", "application/jwt"]
)
def test_an_access_token_may_name_its_type(
    visitor: Callable[..., Account], typ: str | None
) -> None:
    assert visitor(headers={"typ": typ}).get("/v1/me").status_code == 200


@pytest.mark.parametrize(
    "changed",
    [
        *(
            {"headers": {"typ": typ}}
            for typ in (
                "logout+jwt",
                "dpop+jwt",
                "secevent+jwt",
                "application/logout+jwt",
                "id+jwt",
                "application/application/jwt",
                "JWE",
                "x",
                7,
                ["JWT"],
            )
        ),
        {"cnf": {"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}},
        {"cnf": {}},
        {"events": {"http://schemas.openid.net/event/backchannel-logout": {}}},
        {"at_hash": "77QmUPtjPfzWtF2AnpK9RQ"},
        {"c_hash": "77QmUPtjPfzWtF2AnpK9RQ"},
        {"typ": "ID"},
        {"typ": "Refresh"},
        {"typ": "Logout"},
        {"token_use": "id"},
    ],
    ids=str,
)
def test_a_token_that_is_no_bearers_access_token_is_refused(
    visitor: Callable[..., Account], changed: dict[str, Any]
) -> None:
    assert_not_valid(visitor(**changed).get("/v1/me"))


def test_what_issuers_put_into_access_tokens_is_no_reason_to_refuse_them(
    visitor: Callable[..., Account],
) -> None:
    for claims in ({"typ": "Bearer"}, {"token_use": "access"}, {"nonce": "x"}, {"azp": "app"}):
        assert visitor(**claims).get("/v1/me").status_code == 200


def allowed(account: Account) -> set[str]:
    """What the account's token may be used for, by what it is let do."""
    asked = {
        "tasks:read": account.get("/v1/tasks"),
        "tasks:write": account.post("/v1/tasks", json={"title": "Buy milk"}),
        "account": account.get("/v1/me"),
    }
    for answer in asked.values():
        assert answer.status_code in {200, 201, 403}, answer.text
        if answer.status_code == 403:
            assert answer.json["type"] == "/problems/insufficient-scope"
    return {scope for scope, answer in asked.items() if answer.status_code != 403}


ALL = "account tasks:read tasks:write"


@pytest.mark.parametrize(
    ("claims", "scopes"),
    [
        ({}, ALL),
        ({"scope": "tasks:read"}, "tasks:read"),
        ({"scope": "openid tasks:read profile"}, "tasks:read"),
        ({"scope": "tasks:write"}, "tasks:read tasks:write"),
        ({"scope": "account tasks:read"}, "account tasks:read"),
        ({"scp": ["tasks:read"]}, "tasks:read"),
        ({"scp": "tasks:read account"}, "account tasks:read"),
        ({"scope": ["account"]}, "account"),
        ({"scope": "openid", "scp": ["tasks:read"]}, "tasks:read"),
        ({"scope": "openid profile email offline_access"}, ALL),
        ({"scope": ""}, ALL),
        ({"scope": "billing:read"}, ""),
        ({"scope": "openid read:tasks"}, ""),
        ({"scp": ["tasks:READ"]}, ""),
        ({"scope": "tasks:read\ttasks:write"}, ""),
    ],
    ids=str,
)
def test_another_issuers_token_may_do_what_its_scopes_say(
    visitor: Callable[..., Account], claims: dict[str, Any], scopes: str
) -> None:
    assert allowed(visitor(**claims)) == set(scopes.split())


def test_a_token_for_reading_neither_erases_the_account_nor_makes_tokens(
    stranger: Account, issuer: Issuer
) -> None:
    stranger.create_task()
    reader = stranger._replace(token=issuer.sign(sub=stranger.email, scope="tasks:read"))
    assert reader.erase().status_code == 403
    body = {"name": "A script", "scopes": ["tasks:read"]}
    assert reader.post("/v1/tokens", json=body).status_code == 403
    account = stranger._replace(token=issuer.sign(sub=stranger.email, scope="account"))
    assert account.post("/v1/tokens", json=body).status_code == 403
    assert len(stranger.get("/v1/tasks").json["items"]) == 1


@pytest.mark.parametrize("claim", [7, {"a": 1}, ["tasks:read", 7], [["tasks:read"]], True])
def test_scopes_of_another_form_are_no_scopes_to_guess_at(
    visitor: Callable[..., Account], claim: object
) -> None:
    assert_not_valid(visitor(scope=claim).get("/v1/me"))
    assert_not_valid(visitor(scp=claim).get("/v1/me"))


@pytest.mark.parametrize(
    ("claims", "scopes"),
    [
        ({"scope": "read:tasks"}, "tasks:read"),
        ({"scp": ["access_as_user"]}, "tasks:read tasks:write"),
        ({"scope": "read:tasks https://example.com/me"}, "account tasks:read"),
        ({"scope": "a=b"}, "account"),
        ({"scope": "account"}, ""),
        ({"scope": "openid"}, ""),
        ({"scope": ""}, ""),
        ({}, ""),
    ],
    ids=str,
)
def test_with_names_of_the_issuers_own_nothing_else_counts(
    database_url: str, stranger: Account, issuer: Issuer, claims: dict[str, Any], scopes: str
) -> None:
    names = (
        "read:tasks=tasks:read access_as_user=tasks:read access_as_user=tasks:write"
        " https://example.com/me=account a=b=account"
    )
    client = create_app(trusting(database_url, issuer, JWT_SCOPES=names)).test_client()
    token = issuer.sign(sub=stranger.email, **claims)
    assert allowed(stranger._replace(client=client, token=token)) == set(scopes.split())


def test_a_public_key_is_no_secret_to_sign_with(stranger: Account, issuer: Issuer) -> None:
    public = issuer.private["rs256"][1].public_key()
    for key in (
        public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        issuer.published(),
    ):
        head = encoded({"alg": "HS256", "kid": "rs256"}, claims_of(sub=stranger.email))
        algorithm = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256)
        signature = algorithm.sign(head.encode(), key)
        token = f"{head}.{encoded(signature)}"
        assert_not_valid(stranger._replace(token=token).get("/v1/me"))


def test_the_secret_signs_nothing_for_the_other_issuer(stranger: Account) -> None:
    token = own_token(stranger.user_id, iss=issuing.NAME, aud=issuing.AUDIENCE)
    assert_not_valid(stranger._replace(token=token).get("/v1/me"))


def test_keys_that_a_token_brings_or_points_at_are_not_looked_at(
    stranger: Account, issuer: Issuer
) -> None:
    with running_issuer() as forger:
        forger.private["es256"] = ("ES256", issuing.new_key("ES256"))
        jwk = json.loads(forger.published())["keys"][1]
        places = {"jku": forger.url, "x5u": forger.url, "jwk": jwk}
        for kid in ("es256", "unknown"):
            token = forger.sign("es256", headers={**places, "kid": kid}, sub=stranger.email)
            assert_not_valid(stranger._replace(token=token).get("/v1/me"))
        assert forger.requests == []
    assert issuer.requests == ["/keys"]


def test_own_and_other_tokens_are_believed_side_by_side(stranger: Account, alice: Account) -> None:
    own = alice._replace(client=stranger.client)
    assert own.create_task()["user_id"] == alice.user_id
    assert stranger.create_task()["user_id"] == stranger.user_id
    assert len(own.get("/v1/tasks").json["items"]) == 1


def test_a_service_of_the_other_issuer_alone_believes_no_own_token(
    database_url: str, issuer: Issuer, alice: Account
) -> None:
    client = create_app(trusting(database_url, issuer, JWT_SECRET="")).test_client()
    assert_not_valid(alice._replace(client=client).get("/v1/me"))
    token = issuer.sign()
    assert alice._replace(client=client, token=token).get("/v1/me").status_code == 200


# Its users


def account_exists(connection: Any, user_id: str) -> bool:
    with connection.cursor() as cursor:
        cursor.execute("select from users where id = %s", (user_id,))
        return cursor.rowcount == 1


def test_an_account_appears_when_its_user_first_writes(
    stranger: Account, connection: Any, sql: Any
) -> None:
    before = stranger.get("/v1/me")
    assert before.json == {
        "id": stranger.user_id,
        "email": None,
        "email_verified": False,
        "name": None,
        "time_zone": "UTC",
        "version": 0,
        "created_at": None,
        "updated_at": None,
        "usage": before.json["usage"],
    }
    assert (before.json["usage"]["rows"], before.json["usage"]["bytes"]) == (0, 0)
    assert stranger.get("/v1/tasks").json["items"] == []
    assert not account_exists(connection, stranger.user_id)

    stranger.create_task()

    assert account_exists(connection, stranger.user_id)
    after = stranger.get("/v1/me").json
    assert after["created_at"] is not None
    assert after["usage"]["rows"] == 1
    unset = {"created_at": None, "updated_at": None, "usage": before.json["usage"]}
    assert {**after, **unset} == before.json


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/v1/tasks", {"title": "Buy milk"}, 201),
        ("POST", "/v1/categories", {"name": "Home"}, 201),
        ("PUT", "/v1/tasks/{id}", {"title": "Buy milk"}, 201),
        ("PUT", "/v1/categories/{id}", {"name": "Home"}, 201),
        ("POST", "/v1/tokens", {"name": "A script", "scopes": ["account"]}, 201),
        ("PATCH", "/v1/me", {"time_zone": "Europe/Oslo"}, 200),
        ("DELETE", "/v1/me", None, 204),
        ("PATCH", "/v1/tasks/{id}", {"title": "Buy milk"}, 404),
        ("DELETE", "/v1/categories/{id}", None, 404),
    ],
)
def test_every_write_may_be_the_first(
    stranger: Account, method: str, path: str, body: object, status: int
) -> None:
    options = {"json": body} if body else {}
    answer = stranger.call(method, path.format(id=uuid4()), **options)
    assert answer.status_code == status, answer.text


def test_another_issuers_user_has_tokens_for_scripts(stranger: Account) -> None:
    script = stranger._replace(token=stranger.create_token()["token"])
    assert script.create_task()["user_id"] == stranger.user_id
    assert script.get("/v1/me").json == stranger.get("/v1/me").json


@pytest.mark.parametrize("headers", [{}, {"Idempotency-Key": "once"}])
@pytest.mark.parametrize(
    ("asked", "given"), [(None, 365), (timedelta(days=366), 365), (timedelta(days=3), 3)], ids=str
)
def test_their_tokens_for_scripts_last_a_year_at_most(
    stranger: Account, headers: dict[str, str], asked: timedelta | None, given: int
) -> None:
    stranger.create_task()
    wanted: dict[str, Any] = {"name": "A script", "scopes": ["account"]}
    if asked:
        wanted["expires_at"] = (datetime.now(UTC) + asked).isoformat()

    def days(token: dict[str, Any]) -> float:
        created, expires = (
            datetime.fromisoformat(token[at]) for at in ("created_at", "expires_at")
        )
        return (expires - created) / timedelta(days=1)

    made = stranger.post("/v1/tokens", json=wanted, headers=headers)
    assert days(made.json) == pytest.approx(given, abs=0.01)
    script = stranger._replace(token=made.json["token"])
    made_by_it = script.post("/v1/tokens", json={**wanted, "expires_at": made.json["expires_at"]})
    assert made_by_it.status_code == 201
    assert days(made_by_it.json) <= 365


def test_a_token_without_an_end_that_they_had_before_makes_none_without(
    stranger: Account, connection: Any
) -> None:
    made = stranger.create_token(scopes=["account"])
    with connection.cursor() as cursor:
        sql = "update personal_access_tokens set expires_at = null where id = %s"
        cursor.execute(sql, (made["id"],))
    script = stranger._replace(token=made["token"])
    assert script.create_token(scopes=["account"])["expires_at"] is not None


def test_own_users_have_tokens_without_an_end_as_before(alice: Account) -> None:
    assert alice.create_token()["expires_at"] is None
    later = (datetime.now(UTC) + timedelta(days=3650)).isoformat()
    assert alice.create_token(expires_at=later)["expires_at"][:10] == later[:10]


@pytest.mark.parametrize("headers", [{}, {"Idempotency-Key": "once"}])
def test_an_import_may_be_the_first_write(stranger: Account, headers: dict[str, str]) -> None:
    assert exported(stranger).count(b"\n") == 2
    report = send(stranger, jsonl(category(), task()), **headers).json
    assert counts(report) == (2, 0, 0, 0)


def test_eight_first_writes_at_once_make_one_account(stranger: Account) -> None:
    application = stranger.client.application
    same = [stranger._replace(client=application.test_client()) for _ in range(8)]
    made = at_once([lambda a=a: a.create_task()["version"] for a in same])
    assert sorted(made) == list(range(1, 9))


def test_an_account_that_is_erased_appears_again_when_its_user_writes(
    stranger: Account, connection: Any
) -> None:
    task = stranger.create_task()
    assert stranger.erase().status_code == 204
    assert not account_exists(connection, stranger.user_id)
    assert stranger.get("/v1/me").json["created_at"] is None
    again = stranger.create_task()
    assert [item["id"] for item in stranger.get("/v1/tasks").json["items"]] == [again["id"]]
    assert task["id"] != again["id"]


# Its keys


def test_keys_are_asked_for_once(presenting: Callable[..., TestResponse], issuer: Issuer) -> None:
    assert issuer.requests == []
    for kid in ("rs256", "es256", "eddsa", "es256"):
        assert presenting(kid).status_code == 200
    assert issuer.requests == ["/keys"]


def test_an_unknown_key_is_looked_for_once_a_minute(
    presenting: Callable[..., TestResponse], issuer: Issuer, clock: Callable[[float], None]
) -> None:
    presenting()
    forged = {"headers": {"kid": "unknown"}}
    for seconds, asked in ((0, 1), (0, 1), (30, 1), (31, 2), (0, 2), (59, 2), (2, 3)):
        clock(seconds)
        assert_not_valid(presenting(**forged))
        assert len(issuer.requests) == asked


def test_a_new_key_is_found_within_a_minute_and_an_old_one_forgotten(
    presenting: Callable[..., TestResponse], issuer: Issuer, clock: Callable[[float], None]
) -> None:
    presenting("rs256")
    issuer.private["new"] = issuer.private["es256"]
    old = issuer.private.pop("rs256")
    clock(61)
    assert presenting("new").status_code == 200
    issuer.body = issuer.published()
    issuer.private["rs256"] = old
    another = int(time()) + 500
    assert_not_valid(presenting("rs256", exp=another))


def test_keys_are_renewed_each_hour(
    presenting: Callable[..., TestResponse], issuer: Issuer, clock: Callable[[float], None]
) -> None:
    presenting()
    clock(jwks.LIFETIME_SECONDS + 1)
    assert presenting().status_code == 200
    assert len(issuer.requests) == 2


def unavailable(answer: TestResponse) -> bool:
    if answer.status_code != 503:
        return False
    assert answer.json["type"] == "/problems/issuer-unavailable"
    assert int(answer.headers["Retry-After"]) >= 1
    return True


BROKEN = [
    {"status": 500},
    {"status": 404, "body": b"not here"},
    {"body": b"<html>"},
    {"body": b"[]"},
    {"body": b"\xff"},
    {"body": b'{"keys": []}'},
]


@pytest.mark.parametrize("broken", BROKEN, ids=str)
def test_known_keys_stay_good_while_the_issuer_is_away(
    presenting: Callable[..., TestResponse],
    issuer: Issuer,
    clock: Callable[[float], None],
    broken: dict[str, Any],
) -> None:
    presenting()
    vars(issuer).update(broken)
    assert_not_valid(presenting(headers={"kid": "unknown"}))
    assert presenting("rs256").status_code == 200
    clock(jwks.LIFETIME_SECONDS + 1)
    assert presenting("eddsa").status_code == 200
    assert len(issuer.requests) == 2


@pytest.mark.parametrize("broken", BROKEN, ids=str)
def test_without_any_key_the_client_is_told_to_wait(
    presenting: Callable[..., TestResponse],
    issuer: Issuer,
    clock: Callable[[float], None],
    broken: dict[str, Any],
) -> None:
    working = dict(vars(issuer))
    vars(issuer).update(broken)
    assert unavailable(presenting())
    assert unavailable(presenting())
    assert len(issuer.requests) == 1
    vars(issuer).update(working)
    clock(jwks.RETRY_SECONDS + 1)
    assert presenting().status_code == 200


def test_an_issuer_that_hangs_up_is_an_issuer_that_is_away() -> None:
    def hang_up(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        connection.recv(1)
        # With unread data and no time to linger, the kernel resets the connection.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        connection.close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        keys = jwks.KeySet(f"http://127.0.0.1:{listener.getsockname()[1]}/keys")
        thread = issuing.Thread(target=hang_up, args=(listener,))
        thread.start()
        with pytest.raises(jwks.PyJWKClientConnectionError):
            keys.known()
        thread.join()


def test_own_tokens_are_good_while_the_other_issuer_is_away(
    stranger: Account, issuer: Issuer, alice: Account
) -> None:
    issuer.status = 500
    assert unavailable(stranger.get("/v1/me"))
    assert alice._replace(client=stranger.client).get("/v1/me").status_code == 200


def test_an_issuer_that_redirects_is_not_followed(
    presenting: Callable[..., TestResponse], issuer: Issuer
) -> None:
    issuer.status = 302
    assert unavailable(presenting())
    assert issuer.requests == ["/keys"]
