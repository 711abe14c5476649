"""No input costs more than linear time: whatever is sent, it is answered within a second.

Each route, field, parameter and header is sent long texts of many kinds. gunicorn bounds headers
and queries; other servers may not, so the application is sent them by itself as well.
"""

import base64
import io
import json
import re
import time
from collections.abc import Iterator
from functools import cache
from typing import Any
from urllib.parse import quote

import pytest
from apiflask import APIFlask
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError
from werkzeug.test import EnvironBuilder, TestResponse, run_wsgi_app

from app import create_app
from app.api.batch.schemas import BODIES as BATCH_BODIES
from app.api.tasks.schemas import Description, Title
from app.api.transfer import schemas as transfer
from app.core.ids import new_id
from app.core.logs import redact
from app.db.base import db
from app.web.edge import MOST_PARAMETERS
from app.web.fields.strings import LINE_PATTERN, TEXT_PATTERN
from app.web.request_limits import REQUESTS
from app.web.strict_json import DEEPEST, LONGEST_NUMBER, MOST_MEMBERS, MOST_VALUES
from tests.assertions import refused
from tests.conftest import Account, settings_for
from tests.contract import LINES, ROUTES, Route, schema
from tests.hostile import TEXTS, repeated
from tests.raw import HOST, exchange, seconds

SECOND = 1.0
"""What an answer may take, of the clock where it comes from a server, else of the processor."""

WITH_BODIES = [route for route in ROUTES if route.body]
WITH_QUERIES = [route for route in ROUTES if route.query]

HEADERS = {
    "Accept-Encoding": ("a file",),
    "Access-Control-Request-Headers": ("a browser's question",),
    "Access-Control-Request-Method": ("a browser's question",),
    "Authorization": ("a listing",),
    "Content-Encoding": ("a write", "an import"),
    "Content-Type": ("a write", "an import", "a sign-in"),
    "Cookie": ("a listing",),
    "Host": ("a listing",),
    "Idempotency-Key": ("a new task", "an import"),
    "If-Match": ("a listing", "one resource", "a write", "a file"),
    "If-Modified-Since": ("one resource", "a file"),
    "If-None-Match": ("a listing", "one resource", "a write", "a file"),
    "If-Range": ("a file",),
    "Origin": ("a listing", "a browser's question"),
    "Range": ("a file",),
    "traceparent": ("a listing",),
    "tracestate": ("a listing",),
    "X-Forwarded-For": ("a sign-in",),
    "X-Forwarded-Host": ("a listing",),
    "X-Forwarded-Proto": ("a listing",),
    "X-Request-ID": ("a listing",),
}
"""What the service reads, itself or through Flask, with every setting that makes it read more; and
the requests of which it reads each."""

TARGETS = {
    "a listing": ("GET", "/v1/tasks", b""),
    "one resource": ("GET", "/v1/tasks/{id}", b""),
    "a write": ("PUT", "/v1/tasks/{id}", b'{"title": "a"}'),
    "a new task": ("POST", "/v1/tasks", b'{"title": "a"}'),
    "an import": ("POST", "/v1/import", b"{}"),
    "a sign-in": ("POST", "/v1/auth/token", b"{}"),
    "a browser's question": ("OPTIONS", "/v1/tasks", b""),
    "a file": ("GET", "/docs/swagger-ui.css", b""),
}

BEFORE = {
    "Authorization": ("Bearer ", "Bearer tasks_pat_", "Bearer eyJhbGciOiJIUzI1NiJ9."),
    "Content-Type": ("application/json; charset=utf-8; ",),
    "Range": ("bytes=0-",),
    "traceparent": ("00-", "01-" + "1" * 32 + "-" + "1" * 16 + "-01-"),
    "tracestate": ("a=",),
}
"""What leads further into the header than a text alone."""


def each(routes: list[Route]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("route", routes, ids=lambda route: route.name)


def request(account: Account, route: Route, body: bytes, media_type: str) -> bytes:
    """The whole request, as bytes."""
    return (
        f"{route.method} {route.path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        f"Authorization: Bearer {account.token}\r\nContent-Type: {media_type}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode() + body


def as_json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()


def answered(server: str, sent: bytes, status: int = 422) -> None:
    """Assert that this is answered so, and in time."""
    answer, elapsed = seconds(server, sent)
    assert answer == status
    assert elapsed < SECOND


# Texts


@each(WITH_BODIES)
def test_a_long_text_in_any_field_is_refused_in_time(
    server: str, alice: Account, route: Route
) -> None:
    assert route.body
    for name in schema(route.body)["properties"]:
        for text in TEXTS.values():
            body = as_json({**route.example, name: text})
            answered(server, request(alice, route, body, "application/json"))


@pytest.mark.parametrize(("op", "kind"), BATCH_BODIES)
def test_a_long_text_in_any_field_of_a_batch_is_refused_in_time(
    server: str, alice: Account, op: str, kind: str
) -> None:
    [route] = [route for route in WITH_BODIES if route.name == "run_batch" or "batch" in route.rule]
    model = schema(BATCH_BODIES[op, kind])
    for name in model["properties"]:
        for text in TEXTS.values():
            operation = {"op": op, "type": kind, "id": new_id()}
            body = {**model["examples"][0], name: text}
            sent = as_json({"operations": [{**operation, "body": body}]})
            answered(server, request(alice, route, sent, "application/json"))


def import_lines(text: str) -> list[dict[str, Any]]:
    """A line for each field of each type, with the text in it."""
    lines = {line["type"]: line["data"] for line in transfer.EXAMPLE_LINES}
    return [
        {"type": kind, "data": {**data, name: text}}
        for kind, data in lines.items()
        for name in data
    ]


@pytest.mark.parametrize("name", TEXTS)
def test_long_texts_in_all_fields_of_an_import_are_refused_in_time(
    server: str, alice: Account, name: str
) -> None:
    [route] = [route for route in ROUTES if route.takes_lines]
    lines = import_lines(TEXTS[name][:40_000])
    body = b"".join(as_json(line) + b"\n" for line in lines)
    started = time.monotonic()
    status, _, answer = exchange(server, request(alice, route, body, LINES))
    assert time.monotonic() - started < SECOND
    assert (status, json.loads(answer)["refused"]) == (200, len(lines))


# Headers and queries, where gunicorn bounds them


@pytest.mark.parametrize("header", HEADERS)
def test_a_header_as_long_as_gunicorn_takes_is_answered_in_time(
    server: str, alice: Account, header: str
) -> None:
    rest = f"GET /v1/tasks HTTP/1.1\r\n{header}: ".encode()
    host = b"" if header == "Host" else HOST
    end = f"\r\nConnection: close\r\nAuthorization: Bearer {alice.token}\r\n\r\n".encode()
    end = b"\r\nConnection: close\r\n\r\n" if header == "Authorization" else end
    for text in TEXTS.values():
        for before in ("", *BEFORE.get(header, ())):
            value = (before + text).encode()[:8100]
            status, elapsed = seconds(server, rest + value + b"\r\n" + host + end[2:])
            assert status < 500
            assert elapsed < SECOND


def test_gunicorn_refuses_headers_and_queries_that_are_longer(server: str) -> None:
    text = "a" * 9000
    long_header = f"GET /v1/tasks HTTP/1.1\r\nIf-Match: {text}\r\n\r\n".encode()
    long_query = f"GET /v1/tasks?q={text} HTTP/1.1\r\n\r\n".encode()
    assert [seconds(server, sent)[0] for sent in (long_header, long_query)] == [431, 414]


# Headers and queries, where nothing bounds them


@pytest.fixture(scope="module")
def exposed(database_url: str) -> Iterator[APIFlask]:
    """An application that reads every header, and has no server before it."""
    application = create_app(
        settings_for(
            database_url,
            TRUSTED_PROXIES="1",
            TRUSTED_HOSTS="localhost",
            CORS_ORIGINS="https://app.example.com",
            RATELIMIT_PER_ADDRESS="1000000",
        )
    )
    yield application
    with application.app_context():
        db.engine.dispose()


def processed(app: APIFlask, environ: dict[str, Any]) -> tuple[int, float]:
    """The status of the answer, and how long the processor took for it."""
    started = time.thread_time()
    body, status, _ = run_wsgi_app(app, environ, buffered=True)
    b"".join(body)
    return int(status.split()[0]), time.thread_time() - started


def environ_of(account: Account, method: str, path: str, data: bytes = b"") -> dict[str, Any]:
    """The request as a server hands it on."""
    builder = EnvironBuilder(path, method=method, data=data, content_type="application/json")
    builder.headers["Authorization"] = f"Bearer {account.token}"
    builder.headers["Origin"] = "https://app.example.com"
    return builder.get_environ()


@pytest.mark.parametrize("header", HEADERS)
def test_a_header_of_any_length_is_answered_in_time(
    exposed: APIFlask, alice: Account, header: str
) -> None:
    task = alice.create_task()["id"]
    name = header.upper().replace("-", "_")
    name = name if name == "CONTENT_TYPE" else f"HTTP_{name}"
    for method, path, data in (TARGETS[target] for target in HEADERS[header]):
        plain = environ_of(alice, method, path.format(id=task), data)
        for text in TEXTS.values():
            for before in ("", *BEFORE.get(header, ())):
                value = (before + text).encode().decode("latin-1")
                environ = {**plain, name: value, "wsgi.input": io.BytesIO(data)}
                status, elapsed = processed(exposed, environ)
                assert status < 500
                assert elapsed < SECOND


quoted = cache(quote)
"""The same for each parameter, as it takes long."""


@each(WITH_QUERIES)
def test_a_parameter_of_any_length_is_refused_in_time(
    exposed: APIFlask, alice: Account, route: Route
) -> None:
    assert route.query
    for name in schema(route.query)["properties"]:
        for text in TEXTS.values():
            environ = environ_of(alice, route.method, route.path)
            for length, expected in ((1300, 422), (len(text), 414)):
                environ["QUERY_STRING"] = f"{name}={quoted(text[:length])}"
                status, elapsed = processed(exposed, environ)
                assert status == expected
                assert elapsed < SECOND


@pytest.mark.parametrize(
    "query",
    [
        "&".join(f"a{number}=1" for number in range(900)) + "&z=1&z=2",
        "&" * 8000,
        "limit=1&" * 1000,
        "%25=&" * 1600,
    ],
    ids=["the last one twice", "separators", "always the same", "escaped"],
)
def test_a_query_of_very_many_parameters_is_refused_before_they_are_told_apart(
    exposed: APIFlask, alice: Account, query: str
) -> None:
    environ = environ_of(alice, "GET", "/v1/tasks")
    environ["QUERY_STRING"] = query
    status, elapsed = processed(exposed, environ)
    assert status == 400
    assert elapsed < SECOND


def test_as_many_parameters_as_there_may_be_are_looked_at(alice: Account) -> None:
    names = [f"a{number}" for number in range(MOST_PARAMETERS)]
    response = alice.get("/v1/tasks?" + "&".join(f"{name}=" for name in names))
    assert response.status_code == 422
    assert [error["parameter"] for error in response.json["errors"]] == names
    assert alice.get("/v1/tasks?" + "&".join(f"{n}=" for n in [*names, "b"])).status_code == 400


@pytest.mark.parametrize("before", ["/", "/v1/tasks/", "/problems/", "/docs/"])
def test_a_path_of_any_length_is_answered_in_time(
    exposed: APIFlask, alice: Account, before: str
) -> None:
    for text in TEXTS.values():
        environ = environ_of(alice, "GET", "/")
        environ["PATH_INFO"] = (before + text).encode().decode("latin-1")
        status, elapsed = processed(exposed, environ)
        assert 300 <= status < 500
        assert elapsed < SECOND


def test_an_address_of_any_length_is_remembered_by_its_beginning(
    exposed: APIFlask, alice: Account
) -> None:
    for text in TEXTS.values():
        environ = environ_of(alice, "GET", "/v1/tasks")
        processed(exposed, {**environ, "HTTP_X_FORWARDED_FOR": text.replace(",", "x")})
    remembered = exposed.extensions[REQUESTS].here.counts
    assert remembered
    assert max(map(len, remembered)) < 100


@pytest.mark.parametrize("opening", ["[", '{"a":'])
def test_a_token_whose_header_is_nested_deep_is_not_valid(client: Any, opening: str) -> None:
    header = f'{{"alg": "HS256", "a": {opening * 1500}'
    token = base64.urlsafe_b64encode(header.encode()).decode().rstrip("=")
    response = client.get("/v1/me", headers={"Authorization": f"Bearer {token}.e30.x"})
    assert (response.status_code, response.json["type"]) == (401, "/problems/unauthenticated")


# Shapes of JSON


def members(count: int) -> bytes:
    return as_json({f"a{number}": 1 for number in range(count)})


def operations(members: int) -> bytes:
    """A batch of which each operation is wide."""
    one = {f"a{number}": 1 for number in range(members)}
    return as_json({"operations": [one for _ in range(100)]})


TOO_DEEP = {
    "arrays": b"[" * 400_000 + b"]" * 400_000,
    "open arrays": b"[" * 900_000,
    "objects": b'{"a":' * 180_000,
    "either": b'[{"a":' * 150_000,
    "arrays with something in them": b"[1,[]," * 150_000,
    "arrays of pairs": b"[[]" * 300_000,
    "objects with names that look like brackets": b'{"]]]]":' * 110_000,
    "objects with names that end in an escaped quote": b'{"]\\"":' * 120_000,
}
TOO_MUCH = {
    "members": members(70_000),
    "members with escaped names": b'{"\\u0061":1,' + members(70_000)[1:],
    "members in an object below": b'{"email": ' + members(70_000) + b"}",
    "numbers": b"[" + b"1," * 300_000 + b"1]",
    "numbers in a field": b'{"email": [' + b"1," * 300_000 + b"1]}",
    "texts": b"[" + b'"",' * 200_000 + b"1]",
    "texts with escaped quotes": b"[" + b'"\\"",' * 150_000 + b"1]",
    "empty objects": b"[" + b"{}," * 250_000 + b"1]",
    "empty arrays": b"[" + b"[]," * 250_000 + b"1]",
}
TOO_LONG = {
    "an integer": b'{"email": ' + b"9" * 900_000 + b"}",
    "a negative integer": b'{"email": -' + b"9" * 900_000 + b"}",
    "a fraction": b'{"email": 0.' + b"9" * 900_000 + b"}",
    "a power": b'{"email": 1e' + b"0" * 900_000 + b"1}",
    "many integers": b'{"email": [' + b",".join([b"9" * 4000] * 220) + b"]}",
}


def send(client: Any, body: bytes) -> TestResponse:
    """Try to register, which needs no account."""
    return client.post("/v1/auth/register", data=body, content_type="application/json")


def cost(client: Any, body: bytes) -> float:
    """Seconds of the processor, at best."""
    spent = []
    for _ in range(3):
        started = time.thread_time()
        assert send(client, body).status_code in {400, 422}
        spent.append(time.thread_time() - started)
    return min(spent)


@pytest.mark.parametrize(
    "body",
    [*TOO_DEEP.values(), *TOO_MUCH.values(), *TOO_LONG.values()],
    ids=[*TOO_DEEP, *TOO_MUCH, *TOO_LONG],
)
def test_a_body_of_any_shape_costs_little_more_than_a_long_text(client: Any, body: bytes) -> None:
    text = as_json({"email": "a" * len(body)})
    assert cost(client, body) < 5 * cost(client, text)


def test_wide_operations_cost_little_more_than_a_batch_that_is_done(alice: Account) -> None:
    def spent(body: bytes, status: int) -> float:
        started = time.thread_time()
        response = alice.post("/v1/batch", data=body, content_type="application/json")
        assert response.status_code == status
        return time.thread_time() - started

    fields = {"title": "a", "description": "b", "complete": True, "priority": "low"}
    one = {"op": "create", "type": "task", "body": fields}
    batches = [
        as_json({"operations": [{**one, "id": new_id()} for _ in range(100)]}) for _ in "abc"
    ]
    done = min(spent(batch, 200) for batch in batches)
    assert min(spent(operations(MOST_MEMBERS), 422) for _ in range(3)) < 5 * done


@pytest.mark.parametrize("name", TOO_DEEP)
def test_what_is_nested_too_deep_is_400_and_says_so(client: Any, name: str) -> None:
    response = send(client, TOO_DEEP[name])
    assert (response.status_code, response.json["type"]) == (400, "/problems/malformed-json")
    assert f"more than {DEEPEST} levels" in response.json["detail"]


@pytest.mark.parametrize("name", TOO_MUCH)
def test_what_consists_of_too_many_values_is_422_in_one_error(client: Any, name: str) -> None:
    assert refused(send(client, TOO_MUCH[name]), "too_many_values", pointer="")


@pytest.mark.parametrize("name", TOO_LONG)
def test_a_number_that_is_too_long_is_400(client: Any, name: str) -> None:
    response = send(client, TOO_LONG[name])
    assert (response.status_code, response.json["type"]) == (400, "/problems/malformed-json")


def test_the_limits_of_a_body_are_exact(client: Any) -> None:
    def nested(levels: int) -> bytes:
        return b'{"a":' * (levels - 1) + b"[]" + b"}" * (levels - 1)

    def statuses(*bodies: bytes) -> list[int]:
        return [send(client, body).status_code for body in bodies]

    assert statuses(nested(DEEPEST), nested(DEEPEST + 1)) == [422, 400]
    assert len(send(client, members(MOST_MEMBERS)).json["errors"]) > MOST_MEMBERS
    assert refused(send(client, members(MOST_MEMBERS + 1)), "too_many_members", pointer="")
    number = b'{"email": %b}'
    assert statuses(number % (b"9" * LONGEST_NUMBER), number % (b"9" * (LONGEST_NUMBER + 1))) == [
        422,
        400,
    ]
    values = b"[" + b"1," * (MOST_VALUES - 1) + b"1]"
    assert refused(send(client, values), "model_type", pointer="")
    assert refused(send(client, values[:-1] + b",1]"), "too_many_values", pointer="")


def test_what_stands_in_a_text_does_not_count(alice: Account) -> None:
    texts = [
        "[" * 5000,
        "{" * 5000,
        "," * 5000,
        '"' * 5000,
        "\\" * 5000,
        '\\"[{' * 1250,
        "]" * 5000,
    ]
    body = {
        "operations": [
            {
                "op": "create",
                "type": "task",
                "id": new_id(),
                "body": {"title": text[:200], "description": text},
            }
            for text in texts
        ]
    }
    response = alice.post("/v1/batch", json=body)
    assert response.status_code == 200, response.text
    assert [result["body"]["description"] for result in response.json["results"]] == texts


def test_a_batch_is_told_of_a_hundred_errors_and_of_each_wide_operation_once(
    alice: Account,
) -> None:
    wide = alice.post("/v1/batch", data=operations(MOST_MEMBERS), content_type="application/json")
    assert {error["code"] for error in wide.json["errors"]} == {"too_many_members"}
    assert [error["pointer"] for error in wide.json["errors"]] == [
        f"/operations/{index}" for index in range(100)
    ]
    one = {"op": "create", "type": "task", "id": new_id()}
    bodies = [{**one, "body": dict.fromkeys(map(str, range(30)))} for _ in range(100)]
    many = alice.post("/v1/batch", json={"operations": bodies})
    assert (many.status_code, len(many.json["errors"])) == (422, 100)


def test_wide_and_deep_lines_of_an_import_are_refused_in_time(server: str, alice: Account) -> None:
    [route] = [route for route in ROUTES if route.takes_lines]
    wide, deep = members(9_000), b"[" * 60_000
    body = b"\n".join([wide, deep] * 15)
    started = time.monotonic()
    status, _, answer = exchange(server, request(alice, route, body, LINES))
    assert time.monotonic() - started < SECOND
    report = json.loads(answer)
    assert (status, report["refused"]) == (200, 30)
    codes = [refusal["errors"][0]["code"] for refusal in report["refusals"]]
    assert codes == ["too_many_members", "malformed_json"] * 15


# Patterns by themselves

RUNS = [
    "token",
    "eyJ-",
    "eyJ.",
    "a://",
    "a+",
    "password='",
    "cookie ",
    "bearer ",
    "tasks_pat_",
    "@",
]


@pytest.mark.parametrize("text", [*TEXTS.values(), *map(repeated, RUNS)], ids=[*TEXTS, *RUNS])
def test_a_text_of_any_length_is_masked_in_time(text: str) -> None:
    started = time.thread_time()
    redact(f"refused: {text}\n{text}=")
    assert time.thread_time() - started < SECOND


TITLE: TypeAdapter[str] = TypeAdapter(Title)
DESCRIPTION: TypeAdapter[str] = TypeAdapter(Description)
ODD = st.text(st.sampled_from("a \t\n\x00\x0b\x1c\x85\xa0\u2003\u200b\ufeff\u3000"), max_size=8)


@given(ODD)
def test_a_field_takes_what_the_pattern_of_its_schema_matches(text: str) -> None:
    for adapter, pattern in ((TITLE, LINE_PATTERN), (DESCRIPTION, TEXT_PATTERN)):
        try:
            taken = adapter.validate_python(text)
        except ValidationError:
            taken = None
        matches = re.compile(pattern.removesuffix("$") + r"\Z").match(text)
        assert (taken is not None) == (matches is not None)
