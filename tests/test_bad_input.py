"""What breaks a typical API, sent to every route and field that it can reach.

Routes come from the application and fields from its models, so that new ones are covered too.
"""

import gzip
import json
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

import pytest
from apiflask import APIFlask
from hypothesis import given, settings
from hypothesis import strategies as st
from werkzeug.test import TestResponse

from app import create_app
from app.core.problem_kinds import KINDS
from app.web.openapi.conventions import takes_key
from tests.conftest import Account, settings_for
from tests.contract import ROUTES, Route, keyword, schema, types
from tests.raw import exchange

BODIES = [route for route in ROUTES if route.body]
QUERIES = [route for route in ROUTES if route.query]
KEYED = [route for route in ROUTES if takes_key(route.name, route.method)]
SINGLE = [route for route in ROUTES if route.parameter]
FIELDS = [
    (route, name, field)
    for route in BODIES
    if route.body
    for name, field in schema(route.body)["properties"].items()
]
PARAMETERS = [
    (route, name, field)
    for route in QUERIES
    if route.query
    for name, field in schema(route.query)["properties"].items()
]

COUNTS = """
select (select count(*) from users), (select sum(change_seq) from users),
       (select count(*) from tasks), (select count(*) from categories),
       (select count(*) from refresh_tokens), (select count(*) from idempotency_keys),
       (select count(*) from personal_access_tokens)
"""

EACH_TYPE = {
    "null": None,
    "boolean": True,
    "integer": 1,
    "number": 1.5,
    "string": "true",
    "array": ["a"],
    "object": {"a": "b"},
}
"""A value of each JSON type; where one is no string, it is none either that reads like one."""

BAD_TIMESTAMPS = [
    "10000-01-01T00:00:00Z",
    "99999-01-01T00:00:00Z",
    "-0001-01-01T00:00:00Z",
    "0000-01-01T00:00:00Z",
    "0001-01-01T00:00:00+00:01",
    "9999-12-31T23:59:59-00:01",
    "0044-03-15T12:00:00Z BC",
    "infinity",
    "-infinity",
    "now",
    "epoch",
    "2026-02-30T00:00:00Z",
    "2025-02-29T00:00:00Z",
    "2026-13-01T00:00:00Z",
    "2026-01-01T24:00:00Z",
    "2026-06-30T23:59:60Z",
    "2026-01-01T00:00:00+25:00",
    "2026-01-01T00:00:00+00:60",
    "2026-01-01T00:00:00",
    "2026-01-01T00:00:00 Europe/Oslo",
    "2026-01-01 00:00:00Z",
    "20260101T000000Z",
    "2026-01-01T00:00Z",
    f"2026-01-01T00:00:00.{'1' * 31}Z",
    "2026-01-01T00:00:00.Z",
    "2026-01-01T00:00:00,5Z",
    "2026-01-01T00:00:00Z\n",
    " 2026-01-01T00:00:00Z",
    "\u0662\u0660\u0662\u0666-01-01T00:00:00Z",
    "1767225600",
    "",
]
BAD_DATES = [
    "2026-02-30",
    "10000-01-01",
    "0000-01-01",
    "-0001-01-01",
    "0044-03-15 BC",
    "infinity",
    "20260101",
    "2026-1-1",
    "2026-W01-1",
    "2026-01-01\n",
    "\u0662\u0660\u0662\u0666-01-01",
    "today",
    "",
]
BAD_UUIDS = [
    "{01981d2c-7f3a-7d40-8a3e-2f6b9c1d0e4f}",
    "urn:uuid:01981d2c-7f3a-7d40-8a3e-2f6b9c1d0e4f",
    "01981d2c7f3a7d408a3e2f6b9c1d0e4f",
    "01981d2c-7f3a-7d40-8a3e-2f6b9c1d0e4",
    "01981d2c-7f3a-7d40-8a3e-2f6b9c1d0e4g",
    "01981d2c-7f3a-7d40-8a3e-2f6b9c1d0e4f\n",
    "\u06601981d2c-7f3a-7d40-8a3e-2f6b9c1d0e4f",
    "1",
    "null",
    "",
]
BAD_BY_FORMAT = {
    "date-time": BAD_TIMESTAMPS,
    "date": BAD_DATES,
    "uuid": BAD_UUIDS,
    "email": [
        "alice",
        "@",
        "alice@",
        "@example.com",
        "a b@example.com",
        "a@-b.example",
        ".a@b.c",
        "a" * 65 + "@b.c",
    ],
    "iana-time-zone": ["Mars/Olympus", "+01:00", "../../etc/passwd", "/etc/passwd", "Europe", ""],
}
BAD_NUMBERS = [
    "0",
    "-1",
    "201",
    "1_0",
    "\u0661",
    "\uff11",
    " 1",
    "1 ",
    "+1",
    "1.0",
    "1e1",
    "0x1",
    "true",
    "null",
    "NaN",
    "",
    "2147483648",
    "9223372036854775808",
    "9" * 2000,
]

NOT_JSON = {
    "nothing": b"",
    "space": b" ",
    "NaN": b'{"title": NaN}',
    "Infinity": b'{"title": Infinity}',
    "minus Infinity": b"[-Infinity]",
    "1e400": b'{"title": 1e400}',
    "5,000 digits": b'{"title": ' + b"9" * 5000 + b"}",
    "5,000 arrays": b"[" * 5000 + b"]" * 5000,
    "100,000 arrays": b"[" * 100_000 + b"]" * 100_000,
    "5,000 objects": b'{"title":' * 5000 + b"1" + b"}" * 5000,
    "100,000 objects": b'{"title":' * 100_000 + b"1" + b"}" * 100_000,
    "100,000 open arrays": b"[" * 100_000,
    "duplicate names": b'{"title": "a", "title": "b"}',
    "nested duplicate names": b'{"title": {"a": [{"b": 1, "b": 1}]}}',
    "equal names, one escaped": b'{"title": "a", "\\u0074itle": "b"}',
    "not UTF-8": b'{"title": "\xff"}',
    "UTF-8 of a surrogate": b'{"title": "\xed\xa0\x80"}',
    "overlong UTF-8": b'{"title": "\xc0\x80"}',
    "UTF-16": json.dumps({"title": "a"}).encode("utf-16"),
    "UTF-16 without mark": json.dumps({"title": "a"}).encode("utf-16-le"),
    "UTF-32": json.dumps({"title": "a"}).encode("utf-32"),
    "byte order mark": b'\xef\xbb\xbf{"title": "a"}',
    "two documents": b"{}{}",
    "cut off": b'{"title": "a',
    "trailing comma": b'{"title": "a",}',
    "single quotes": b"{'title': 'a'}",
    "comment": b'{} // "a"',
    "raw control character": b'{"title": "a\x00b"}',
    "form": b"title=a&complete=true",
}
NO_OBJECTS = {
    "null": b"null",
    "true": b"true",
    "number": b"1",
    "text": b'"title"',
    "empty array": b"[]",
    "array of an object": b'[{"title": "a"}]',
}
WRONG_TYPES: dict[str, dict[str, str]] = {
    "none": {},
    "empty": {"Content-Type": ""},
    "text": {"Content-Type": "text/plain"},
    "form": {"Content-Type": "application/x-www-form-urlencoded"},
    "multipart": {"Content-Type": "multipart/form-data; boundary=a"},
    "like JSON": {"Content-Type": "application/jsonx"},
    "JSON API": {"Content-Type": "application/vnd.api+json"},
    "UTF-16": {"Content-Type": "application/json; charset=utf-16"},
    "latin-1": {"Content-Type": "application/json; charset=iso-8859-1"},
    "unknown charset": {"Content-Type": "application/json; charset=klingon"},
    "gzip": {"Content-Type": "application/json", "Content-Encoding": "gzip"},
    "brotli": {"Content-Type": "application/json", "Content-Encoding": "br"},
}


def label(value: object) -> str | None:
    """How a parametrized test is called."""
    return value.name if isinstance(value, Route) else None


def each(routes: list[Route]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("route", routes, ids=label)


def problem(response: TestResponse, status: int, *slugs: str) -> dict[str, Any]:
    """The problem document, once it is known to be this one and well-formed."""
    assert response.status_code == status, (response.status_code, response.text[:500])
    assert response.mimetype == "application/problem+json"
    document = response.json
    kind = KINDS[document["type"].removeprefix("/problems/")]
    assert kind.slug in slugs
    assert (document["status"], document["title"]) == (status, kind.title)
    assert document["instance"] == response.headers["X-Request-ID"]
    return document


def places(response: TestResponse, where: str) -> list[str | None]:
    """Where each error of a 422 is: of these pointers, parameters or headers."""
    document = problem(response, 422, "validation-failed")
    assert all(error["code"] and error["detail"] for error in document["errors"])
    return [error.get(where) for error in document["errors"]]


def send(
    caller: Account, route: Route, body: object, query: str = "", **headers: str
) -> TestResponse:
    """The body as it is if it is bytes, else as JSON."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return caller.call(
        route.method,
        route.path + query,
        data=data,
        headers={"Content-Type": "application/json", **headers},
        environ_overrides={"CONTENT_LENGTH": str(len(data))},
    )


@pytest.fixture
def caller(alice: Account, connection: Any) -> Iterator[Account]:
    """A user none of whose requests leaves a trace."""

    def counts() -> Any:
        with connection.cursor() as cursor:
            cursor.execute(COUNTS)
            return cursor.fetchone()

    before = counts()
    yield alice
    assert counts() == before


# Bodies as a whole


@each(BODIES)
def test_a_body_that_is_not_strict_json_is_400(caller: Account, route: Route) -> None:
    for name, body in NOT_JSON.items():
        assert problem(send(caller, route, body), 400, "malformed-json"), name


@each(BODIES)
def test_a_body_that_is_no_object_is_422_at_the_root(caller: Account, route: Route) -> None:
    for name, body in NO_OBJECTS.items():
        assert places(send(caller, route, body), "pointer") == [""], name


@each(BODIES)
def test_another_media_type_charset_or_coding_is_415(caller: Account, route: Route) -> None:
    for name, headers in WRONG_TYPES.items():
        data = json.dumps(route.example).encode()
        data = gzip.compress(data) if name == "gzip" else data
        response = caller.call(route.method, route.path, data=data, headers=headers)
        assert problem(response, 415, "unsupported-media-type"), name


@each([route for route in BODIES if route.method != "PATCH"])
def test_a_merge_patch_is_taken_by_patch_alone(caller: Account, route: Route) -> None:
    response = send(caller, route, {}, **{"Content-Type": "application/merge-patch+json"})
    problem(response, 415, "unsupported-media-type")


@each(BODIES)
def test_a_body_without_a_length_is_411(caller: Account, route: Route) -> None:
    headers = {"Content-Type": "application/json"}
    problem(caller.call(route.method, route.path, headers=headers), 411, "length-required")


@each(BODIES)
def test_a_body_over_the_limit_is_413(caller: Account, route: Route, app: APIFlask) -> None:
    limit = app.config["MAX_BODY_BYTES"]
    for body in (b" " * (limit + 1), b'{"title": "' + b"a" * limit + b'"}'):
        problem(send(caller, route, body), 413, "content-too-large")


def chunked(caller: Account, route: Route, chunks: bytes) -> bytes:
    """A request with these chunks, which ends the connection."""
    return (
        f"{route.method} {route.path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        f"Authorization: Bearer {caller.token}\r\nContent-Type: application/json\r\n"
        "Transfer-Encoding: chunked\r\n\r\n"
    ).encode() + chunks


@each(BODIES)
def test_a_chunked_body_over_the_limit_is_413_and_one_within_it_is_read(
    caller: Account, route: Route, app: APIFlask, server: str
) -> None:
    size = app.config["MAX_BODY_BYTES"]
    over = b"%x\r\n%b\r\n1\r\n}\r\n0\r\n\r\n" % (size, b"{" + b" " * (size - 1))
    status, _, answer = exchange(server, chunked(caller, route, over))
    assert (status, b"/problems/content-too-large" in answer) == (413, True)
    within = b"1\r\n[\r\n1\r\n]\r\n0\r\n\r\n"
    status, _, answer = exchange(server, chunked(caller, route, within))
    assert (status, b"/problems/validation-failed" in answer) == (422, True)


# Members


@each(BODIES)
def test_unknown_and_read_only_members_are_422_at_their_place(
    caller: Account, route: Route
) -> None:
    names = ["user_id", "version", "created_at", "updated_at", "completed_at", "deleted_at", "id"]
    for name in [*names, "titel", "", "a/b~c", "__class__", "model_config", "\x00"]:
        pointer = "/" + name.replace("~", "~0").replace("/", "~1")
        response = send(caller, route, {**route.example, name: None})
        assert places(response, "pointer") == [pointer], name


@each(BODIES)
def test_a_lone_surrogate_in_a_name_or_below_an_unknown_one_is_422(
    caller: Account, route: Route
) -> None:
    for body, pointer in (
        (b'{"\\ud800": 1}', ""),
        (b'{"a": [{"\\udfff": 1}]}', "/a"),
        (b'{"a": {"b": ["\\udc00\\ud800"]}}', "/a"),
        (b'["\\ud83d"]', ""),
    ):
        assert places(send(caller, route, body), "pointer") == [pointer], body


@pytest.mark.parametrize(("route", "name", "field"), FIELDS, ids=label)
def test_a_value_of_the_wrong_type_is_422_at_its_field(
    caller: Account, route: Route, name: str, field: dict[str, Any]
) -> None:
    wrong = EACH_TYPE.keys() - types(field)
    for value in [*(EACH_TYPE[kind] for kind in wrong), 10**400, -(2**63) - 1]:
        response = send(caller, route, {**route.example, name: value})
        assert f"/{name}" in places(response, "pointer"), value


@pytest.mark.parametrize(
    ("route", "name", "field"), [case for case in FIELDS if "string" in types(case[2])], ids=label
)
def test_text_that_cannot_be_stored_is_422_at_its_field(
    caller: Account, route: Route, name: str, field: dict[str, Any]
) -> None:
    longest = keyword(field, "maxLength") or 40
    options: list[str | None] = keyword(field, "enum") or []
    for value in ("\x00", "a\x00b", "\ud800", "a\udfffb", "a" * (longest + 1)):
        assert value not in options
        response = send(caller, route, {**route.example, name: value})
        assert f"/{name}" in places(response, "pointer"), value


@pytest.mark.parametrize(
    ("route", "name", "field"),
    [case for case in FIELDS if keyword(case[2], "format") in BAD_BY_FORMAT],
    ids=label,
)
def test_a_value_that_does_not_have_its_format_is_422_at_its_field(
    caller: Account, route: Route, name: str, field: dict[str, Any]
) -> None:
    body = {key: value for key, value in route.example.items() if not key.startswith("due")}
    for value in BAD_BY_FORMAT[keyword(field, "format")]:
        assert places(send(caller, route, {**body, name: value}), "pointer") == [f"/{name}"], value


def test_an_instant_that_utc_can_tell_is_taken_at_either_end(alice: Account) -> None:
    for given_, stored in (
        ("0001-01-01T00:01:00+00:01", "0001-01-01T00:00:00Z"),
        ("9999-12-31T23:58:59.999999-00:01", "9999-12-31T23:59:59.999999Z"),
    ):
        assert alice.create_task(due_at=given_)["due_at"] == stored
    assert len(alice.get("/v1/tasks").json["items"]) == 2


# Queries and paths


@pytest.mark.parametrize(("route", "name", "field"), PARAMETERS, ids=label)
def test_a_bad_query_parameter_is_422_by_its_name(
    caller: Account, route: Route, name: str, field: dict[str, Any]
) -> None:
    if types(field) == {"integer"}:
        allowed = range(keyword(field, "minimum"), keyword(field, "maximum") + 1)
        good = {str(number) for number in (0, 201) if number in allowed}
        values = [*(text for text in BAD_NUMBERS if text not in good), str(allowed.stop)]
    elif keyword(field, "format"):
        bad_days = set(BAD_DATES) if "due" in name else set()
        values = [*BAD_BY_FORMAT[keyword(field, "format")], *bad_days]
    else:
        values = ["x\x00", "%00", "\x00" * 3] if name == "q" else ["x", "True", "1", "", "\x00"]
    for value in values:
        if name == "q" and "\x00" not in value:
            continue
        response = caller.call(route.method, f"{route.path}?{name}={quote(value)}")
        assert places(response, "parameter") == [name], value


@each(QUERIES)
def test_unknown_and_repeated_query_parameters_are_422(caller: Account, route: Route) -> None:
    for query, name in (
        ("limits=1", "limits"),
        ("limit=1&limit=2", "limit"),
        ("a%00b=1", "a\x00b"),
        ("=1", ""),
        ("limit%5B%5D=1", "limit[]"),
        ("model_config=1", "model_config"),
    ):
        assert places(caller.call(route.method, f"{route.path}?{query}"), "parameter") == [name], (
            query
        )


@each(QUERIES)
def test_a_cursor_that_was_never_given_out_is_422(caller: Account, route: Route) -> None:
    for cursor in (
        "x",
        "",
        "AAAA",
        "A" * 2000,
        "A" * 2001,
        "%C3%A9",
        "%00",
        "%F0%9F%98%80",
        "a%20b",
    ):
        response = caller.call(route.method, f"{route.path}?cursor={cursor}")
        assert places(response, "parameter") == ["cursor"], cursor


@each(ROUTES)
def test_a_query_that_is_not_utf8_is_400(caller: Account, route: Route) -> None:
    for query in ("?q=%ff", "?%ff=1", "?q=%ed%a0%80", "?q=%c0%80"):
        problem(send(caller, route, {}, query), 400, "bad-request")


@each(SINGLE)
def test_a_path_that_names_no_uuid_is_404(caller: Account, route: Route) -> None:
    body = route.example if route.body else None
    for text in [*BAD_UUIDS, "\x00", "\U0001f600", "a" * 2000]:
        path = route.rule.replace(route.parameter, quote(text))
        problem(caller.call(route.method, path, json=body), 404, "not-found")


@each(SINGLE)
def test_a_path_that_is_not_utf8_is_400(caller: Account, route: Route) -> None:
    for text in ("\xff", "\xed\xa0\x80", "\xc0\x80"):
        # What a server makes of %ff; the client of the tests would not send it.
        path = {"PATH_INFO": route.rule.replace(route.parameter, text)}
        response = caller.call(route.method, route.path, environ_overrides=path)
        problem(response, 400, "bad-request")


# Headers


@each(ROUTES)
def test_a_host_that_is_none_is_400(caller: Account, route: Route) -> None:
    for host in ("a b", "evil.example/path", "a@b", "<script>", "a:b:c", "a:99999", "ü", ""):
        response = send(caller, route, {}, Host=host)
        assert host == "" or host not in response.text
        problem(response, 400, "bad-request")


NO_HOSTS = [
    *(":8000", ":", "a:8000:", "a:-1", "a:65536", "a:8o", "a%", "a%4", "a%zz", "a,b", "a,a", "a#b"),
    *(
        "a?b",
        "a\\b",
        "[]",
        "[::1",
        "::1",
        "::1]",
        "[::1]]",
        "[[::1]]",
        "[::1%25eth0]",
        "[::1%eth0]",
    ),
    *(
        "[1.2.3.4]",
        "[:::1]",
        "[1:2:3:4:5:6:7:8:9]",
        "[12345::]",
        "[v1.]",
        "[v.a]",
        "[vg.a]",
        "[::1]a",
    ),
    *("[::1]:65536", "a\tb", "\xe9.example", "a" * 262, "[" + "1:" * 500 + "]"),
]


def test_a_host_that_is_close_to_one_is_400(server: str) -> None:
    for host in NO_HOSTS:
        head = f"GET /openapi.json HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        status, _, answer = exchange(server, head.encode("latin-1"))
        assert (status, b"The Host header is not valid." in answer) == (400, True), host


HOSTS = [
    *(
        "tasks_api:8000",
        "tasks_api",
        "_http._tcp.example.com",
        "TASKS-API",
        "a~b",
        "a.b.",
        "127.0.0.1",
    ),
    *(
        "127.0.0.1:",
        "127.0.0.1:8000",
        "localhost:",
        "localhost:00080",
        "localhost:65535",
        "a" * 255,
    ),
    *(
        "[::1]",
        "[::1]:",
        "[::1]:8000",
        "[2001:DB8::7]",
        "[::ffff:192.0.2.1]",
        "[v1.fe80::a+en1]:80",
    ),
    *("xn--mnchen-3ya.de", "caf%C3%A9.example", "!$&'()*+;=", "a" * 255 + ":65535"),
]


@pytest.mark.parametrize("host", HOSTS)
def test_a_host_of_any_form_that_the_standard_has_is_served(
    server: str, alice: Account, host: str
) -> None:
    assert alice.get("/v1/tasks", headers={"Host": host}).status_code == 200
    head = f"GET /v1/tasks HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n"
    head += f"Authorization: Bearer {alice.token}\r\n\r\n"
    assert exchange(server, head.encode())[0] == 200


@pytest.mark.parametrize(
    ("trusted", "hosts", "others"),
    [
        ("tasks_api", ["tasks_api:8000", "TASKS_API", "tasks_api:"], ["tasks-api", "a.tasks_api"]),
        (".Example_1.org", ["a.example_1.ORG", "example_1.org:"], ["aexample_1.org"]),
        ("::1", ["[::1]", "[0:0:0:0:0:0:0:1]:8000"], ["[::2]", "localhost", "[v1.1]"]),
        ("[2001:DB8::7]", ["[2001:db8:0::7]", "[2001:db8::7]:"], ["[2001:db8::8]", "2001"]),
        ("127.0.0.1", ["127.0.0.1:", "127.0.0.1:80"], ["127.0.0.2", "[::ffff:127.0.0.1]"]),
        ("a.example, ::1", ["a.example", "[::1]"], ["b.example"]),
        (
            "api.example.com,.example.org",
            ["api.example.com", "api.example.com:8000", "a.example.org", "example.org"],
            ["evil.example", "example.org.evil.example", "xexample.org", "api.example.com@a"],
        ),
    ],
)
def test_a_trusted_host_is_known_in_each_of_its_forms(
    database_url: str,
    auth: Callable[..., Account],
    trusted: str,
    hosts: list[str],
    others: list[str],
) -> None:
    caller = auth(create_app(settings_for(database_url, TRUSTED_HOSTS=trusted)))
    for host in hosts:
        assert caller.get("/v1/tasks", headers={"Host": host}).status_code == 200, host
    for host in others:
        response = caller.get("/v1/tasks", headers={"Host": host})
        problem(response, 400, "bad-request")
        assert host not in response.text


def test_what_a_trusted_proxy_names_is_checked_like_a_host(
    database_url: str, auth: Callable[..., Account]
) -> None:
    caller = auth(create_app(settings_for(database_url, TRUSTED_PROXIES="1")))
    for host, status in (("tasks_api:8000", 200), ("[::1]:", 200), ("a b", 400), ("::1", 400)):
        answer = caller.get("/v1/tasks", headers={"X-Forwarded-Host": host})
        assert answer.status_code == status, host


@each(KEYED)
def test_an_idempotency_key_that_is_not_visible_ascii_is_422(caller: Account, route: Route) -> None:
    # Whoever signs in has to be somebody first; any other body is looked at after the key.
    if route.name == "sign_in":
        return
    for key in ("", "a b", "a" * 256, "é", "\t", "\x7f"):
        body = route.example if route.body else {}
        response = send(caller, route, body, **{"Idempotency-Key": key})
        assert places(response, "header") == ["Idempotency-Key"], key


@each([route for route in ROUTES if route.method in {"PUT", "PATCH", "DELETE"}])
def test_a_precondition_that_is_no_list_of_entity_tags_is_422(
    caller: Account, route: Route
) -> None:
    body = json.dumps(route.example).encode() if route.body else b""
    for header in ("If-Match", "If-None-Match"):
        for value in ("7", '"7', "'7'", '"7" "8"', "**", "", '*, "7"'):
            response = send(caller, route, body, **{header: value})
            assert places(response, "header") == [header], value


# Whatever comes to mind

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
NAMES = sorted({name for _, name, _ in FIELDS + PARAMETERS})


@given(
    body=JSON | st.dictionaries(st.sampled_from(NAMES), JSON, max_size=4) | st.binary(max_size=40),
    query=st.lists(st.tuples(st.sampled_from(NAMES) | st.text(max_size=5), st.text(max_size=20))),
)
@settings(
    max_examples=20,
    derandomize=True,
    database=None,
)
@each([route for route in ROUTES if route.name != "delete_me"])
def test_no_body_and_no_query_gets_a_server_error(
    alice: Account, route: Route, body: object, query: list[tuple[str, str]]
) -> None:
    pairs = "&".join(f"{quote(name)}={quote(value)}" for name, value in query)
    response = send(alice, route, body, f"?{pairs}")
    assert response.status_code < 500, response.text
    empty = response.status_code in {202, 204}
    assert response.is_json or empty or route.name == "export_account"
    if response.status_code >= 400:
        problem(response, response.status_code, *KINDS)
