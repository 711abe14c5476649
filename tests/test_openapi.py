"""The contract: valid, complete, and what the service really does."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from apiflask import APIFlask
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate
from schemathesis.config import (
    CoveragePhaseConfig,
    ExtraDataSourcesConfig,
    PhasesConfig,
    SchemathesisConfig,
)
from schemathesis.core.failures import AcceptedNegativeData
from schemathesis.engine import from_schema
from schemathesis.generation import GenerationMode
from schemathesis.openapi.checks import RejectedPositiveData

from app.core.problem_kinds import BY_STATUS, KINDS
from app.web.openapi.conventions import (
    OF_PASSWORDS,
    OWN_FORM,
    REFUSING,
    can_conflict,
    can_replay_rows,
    takes_key,
)
from tests.conftest import Account, gunicorn
from tests.contract import LINES, OF_ACCOUNT, ROUTES, Route

EACH = pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)

BEYOND_SCHEMAS = {
    *{"webhook_url", "events_repeated", "unfit", "format"},
    *{"cursor", "token", "wrong_password", "unknown_reference", "time_zone", "due_once", "past"},
    *{"rule", "local_time", "after_completion", "due_required"},
    *{"common_password", "email_as_password", "used_or_expired", "missing"},
}
"""What only the service can tell: of whom, of which listing, of the row as it is; whether a
recurrence rule is one, and fits the due time; whether a password is easily guessed; whether a link
can be used; and whose password is needed.
"""


@pytest.fixture(scope="module")
def document(app: APIFlask) -> dict[str, Any]:
    return app.test_client().get("/openapi.json").json


def resolve(document: dict[str, Any], value: dict[str, Any]) -> dict[str, Any]:
    """What a `$ref` leads to, or the value itself."""
    for part in value["$ref"].split("/")[1:] if "$ref" in value else ():
        document = document[part]
    return document if "$ref" in value else value


def operation(document: dict[str, Any], route: Route) -> dict[str, Any]:
    path = re.sub(r"<id:(\w+)>", r"{\1}", route.rule)
    return document["paths"][path][route.method.lower()]


def responses(document: dict[str, Any], route: Route) -> dict[str, dict[str, Any]]:
    found = operation(document, route)["responses"]
    return {status: resolve(document, response) for status, response in found.items()}


def contents(document: dict[str, Any], route: Route) -> Iterator[dict[str, Any]]:
    """Each media type of each body of an operation."""
    yield from operation(document, route).get("requestBody", {}).get("content", {}).values()
    for response in responses(document, route).values():
        yield from response.get("content", {}).values()


def parameters(document: dict[str, Any], route: Route) -> dict[str, dict[str, Any]]:
    found = [resolve(document, item) for item in operation(document, route)["parameters"]]
    return {item["name"]: item for item in found}


def test_the_document_is_valid_openapi_3_1(document: dict[str, Any]) -> None:
    validate(document)
    assert document["openapi"].startswith("3.1.")


def test_the_application_and_the_document_have_the_same_operations(
    document: dict[str, Any],
) -> None:
    documented = {(method, path) for path, item in document["paths"].items() for method in item}
    routes = {(r.method.lower(), re.sub(r"<id:(\w+)>", r"{\1}", r.rule)) for r in ROUTES}
    assert documented == routes


def test_every_operation_has_a_name_of_its_own_that_says_what_it_does(
    document: dict[str, Any],
) -> None:
    names = [operation(document, route)["operationId"] for route in ROUTES]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch("[a-z]+(_[a-z]+)+", name) for name in names)


@EACH
def test_an_operation_says_what_it_is_for_and_who_may_call(
    document: dict[str, Any], app: APIFlask, route: Route
) -> None:
    described = operation(document, route)
    answer = app.test_client().open(route.path, method=route.method)
    secured = answer.status_code == 401
    assert described["summary"]
    assert described["tags"]
    account = route.rule.startswith(OF_ACCOUNT)
    tasks = "tasks:read" if route.method == "GET" else "tasks:write"
    scope = "account" if account else tasks
    assert described["security"] == ([{"bearer": [scope]}] if secured else [])


def objects(value: Any) -> Iterator[dict[str, Any]]:
    """Every object in the document, whether it is a schema or not."""
    if isinstance(value, dict):
        yield value
    for each in value.values() if isinstance(value, dict) else value:
        if isinstance(each, dict | list):
            yield from objects(each)


CLASS = re.compile(r"\[\^?(?:[^\]\\]|\\.)+\]")
UNLIKE = {
    "look-around, named groups and flags": r"\(\?(?!:)",
    "a class, a boundary or a reference": r"\\(?!x[0-9a-f]{2})[0-9A-Za-z]",
    "an escape that ECMAScript refuses": r"\\[^0-9A-Za-z^$\\.*+?()\[\]{}|/]",
    "a lazy or possessive quantifier": r"(?<!\\)[*+?}][?+]",
    "a bracket or brace that is none": r"(?<!\\)(\[|\]|\{(?![0-9]+(,[0-9]*)?\}))",
}
UNLIKE_IN_CLASS = {
    "a class, a boundary or a reference": r"\\(?!x[0-9a-f]{2})[0-9A-Za-z]",
    "an escape that ECMAScript refuses": r"\\[^0-9A-Za-z^$\\.*+?()\[\]{}|/-]",
    "an operation on classes": r"&&|--|~~|\[",
}
"""What ECMAScript with the flag u, RE2, Go, Rust and Python do not read alike in a pattern."""


def unlike(pattern: str) -> list[str]:
    """What is not read alike in the pattern, outside of classes and within them."""
    outside, classes = CLASS.sub("x", pattern), "\n".join(CLASS.findall(pattern))
    inside = classes.replace("\n[", "\n").removeprefix("[")
    found = [what for what, expression in UNLIKE.items() if re.search(expression, outside)]
    found += [what for what, each in UNLIKE_IN_CLASS.items() if re.search(each, inside)]
    counts = re.findall(r"\{[0-9]+(?:,([0-9]+))?\}", outside)
    most = max((int(count or 0) for count in counts), default=0)
    return found + (["more repetitions than RE2 takes"] if most > 1000 else [])


def test_patterns_are_read_alike_in_every_language(document: dict[str, Any]) -> None:
    patterns = {each.get("pattern") for each in objects(document)}
    found = {each: unlike(each) for each in patterns if isinstance(each, str)}
    assert len(found) > 5
    assert {pattern: odd for pattern, odd in found.items() if odd} == {}


def test_no_member_is_only_ever_null(document: dict[str, Any]) -> None:
    for schema in objects(document):
        for name, member in schema.get("properties", {}).items():
            assert isinstance(member, dict), name
            assert member.get("type") != "null", name
            assert member.get("anyOf") != [{"type": "null"}], name
            assert member != {}, name


def test_a_choice_between_objects_is_a_schema_with_one_of(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    parts = [document["paths"], document["components"]["responses"]]
    parts += [schema.get("properties", {}) for schema in schemas.values()]
    for each in objects(parts):
        options = [*each.get("anyOf", []), *each.get("oneOf", [])]
        assert len([option for option in options if option != {"type": "null"}]) < 2, each
    assert [name for name, schema in schemas.items() if "anyOf" in schema] == []


def test_responses_have_no_patterns(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    names = ("Task", "Category", "User", "Session", "Token", "IssuedToken", "Change", "TrashItem")
    for name in names:
        assert [each for each in objects(schemas[name]) if "pattern" in each] == []


def test_no_schema_has_the_name_of_a_constructor_in_go(document: dict[str, Any]) -> None:
    names = set(document["components"]["schemas"])
    assert {f"New{name}" for name in names} & names == set()


@EACH
def test_an_operation_lists_the_problems_it_can_have(
    document: dict[str, Any], route: Route
) -> None:
    listed = {int(status) for status in responses(document, route) if int(status) >= 400}
    described = operation(document, route)
    expected = {400, 414, 431}
    expected |= {503} if route.name == "get_health" else {500, 503}
    checked = described["security"] or route.name in {"sign_in", "refresh_session"}
    expected |= {401} if checked else set()
    expected |= {403} if described["security"] or route.name in REFUSING else set()
    expected |= {404} if route.parameter or route.name in OF_PASSWORDS else set()
    expected |= {411, 413, 415, 422} if route.body or route.takes_lines else set()
    expected |= {422} if described["parameters"] else set()
    expected |= {412} if "If-Match" in parameters(document, route) else set()
    expected |= {409} if can_conflict(route.name) else set()
    expected |= {406} if route.name == "get_changes" else set()
    expected |= {410} if route.name == "get_changes" or can_replay_rows(route.name) else set()
    expected |= {428} if route.name == "update_task" else set()
    expected |= {429} if route.rule.startswith("/v1/") else set()
    assert listed == expected


@EACH
def test_headers_are_documented_where_they_are_sent_or_read(
    document: dict[str, Any], route: Route
) -> None:
    single = bool(route.parameter) or route.rule == "/v1/me"
    single &= route.name != "get_occurrences"  # which are computed
    read = {name for name, item in parameters(document, route).items() if item["in"] == "header"}
    keyed = takes_key(route.name, route.method)
    expected = {"Idempotency-Key"} if keyed else set()
    conditional = single or route.method == "DELETE"
    expected |= {"If-Match", "If-None-Match"} if conditional else set()
    expected |= {"Last-Event-ID"} if route.name == "get_changes" else set()
    assert read == expected
    for status, response in responses(document, route).items():
        sent = {"X-Request-ID"}
        sent |= {"ETag"} if status in {"201", "304"} or (single and status == "200") else set()
        sent |= {"Location"} if status == "201" and route.method == "POST" else set()
        succeeds = status.startswith("2")
        sent |= {"Idempotency-Replayed"} if succeeds and keyed else set()
        sent |= {"Link"} if status == "200" and route.name.startswith("list_") else set()
        sent |= {"WWW-Authenticate"} if status in {"401", "403"} else set()
        limited = route.rule.startswith("/v1/") or "application/problem+json" in response["content"]
        sent |= {"RateLimit", "RateLimit-Policy"} if limited else set()
        retried = {"429"} if route.name in OWN_FORM else {"429", "503"}
        sent |= {"Retry-After"} if status in retried else set()
        assert set(response["headers"]) == sent, status


@EACH
def test_each_parameter_says_what_it_is_for(document: dict[str, Any], route: Route) -> None:
    for name, parameter in parameters(document, route).items():
        assert parameter.get("description", "").endswith("."), name


@EACH
def test_each_body_has_examples_that_its_schema_admits(
    document: dict[str, Any], route: Route
) -> None:
    checker = Draft202012Validator.FORMAT_CHECKER
    for content in contents(document, route):
        schema = {**content["schema"], "components": document["components"]}
        named = [example["value"] for example in content.get("examples", {}).values()]
        named += [content["example"]] if "example" in content else []
        examples = named or resolve(document, content["schema"])["examples"]
        assert examples
        for example in examples:
            Draft202012Validator(schema, format_checker=checker).validate(example)


def test_a_patch_takes_a_merge_patch_and_plain_json(document: dict[str, Any]) -> None:
    for route in ROUTES:
        if route.body:
            taken = set(operation(document, route)["requestBody"]["content"])
            merge = {"application/merge-patch+json"} if route.method == "PATCH" else set()
            assert taken == {"application/json"} | merge


def test_the_document_knows_every_problem_and_no_other(document: dict[str, Any]) -> None:
    types = document["components"]["schemas"]["Problem"]["properties"]["type"]["examples"]
    assert types == [f"/problems/{slug}" for slug in KINDS]
    for name, response in document["components"]["responses"].items():
        status = int(name.removeprefix("Problem"))
        title = "Gone" if status == 410 else BY_STATUS[status].title
        assert response["description"] == title
        examples = response["content"]["application/problem+json"]["examples"]
        assert set(examples) == {kind.slug for kind in KINDS.values() if kind.status == status}


def test_schemas_hold_no_keyword_that_json_schema_does_not_know(
    document: dict[str, Any],
) -> None:
    known = set(Draft202012Validator.META_SCHEMA["properties"]) | {"example"}
    for vocabulary in ("applicator", "validation", "meta-data", "format-annotation", "core"):
        uri = f"https://json-schema.org/draft/2020-12/meta/{vocabulary}"
        known |= set(Draft202012Validator({})._resolver.lookup(uri).contents["properties"])
    for schema in schemas(document):
        assert set(schema) <= known, schema


def schemas(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Each schema of the components and of the parameters, and those within them."""
    waiting = list(document["components"]["schemas"].values())
    waiting += [p["schema"] for route in ROUTES for p in parameters(document, route).values()]
    while waiting:
        schema = waiting.pop()
        yield schema
        waiting += schema.get("anyOf", [])
        waiting += schema.get("properties", {}).values()
        waiting += [schema["items"]] if "items" in schema else []


# The service against its contract


@pytest.fixture(scope="module")
def base(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server of its own, whose limits of sign-ins nobody else meets."""
    with gunicorn(database_url, tmp_path_factory.mktemp("contract") / "log") as url:
        yield url


def loaded(base: str, token: str) -> Any:
    """The served contract, and how it is tried: the same requests in each run."""
    coverage = CoveragePhaseConfig(extra_data_sources=ExtraDataSourcesConfig(responses=False))
    config = SchemathesisConfig(seed=1)
    schema = schemathesis.openapi.from_url(f"{base}/openapi.json", config=config)
    schema.config.phases = PhasesConfig(coverage=coverage)
    schema.config.headers = {"Authorization": f"Bearer {token}"}
    schema.config.generation.max_examples = 2
    schema.config.generation.deterministic = True
    # A request line can be too long for the server before its query is read.
    schema.config.checks.negative_data_rejection.expected_statuses.append("414")
    schema.hook(filter_failure)
    return schema


@schemathesis.serializer(LINES, "application/x-ndjson")
def lines_as_they_are(context: object, value: Any) -> bytes:
    """Any text is taken as lines, each of which may be refused."""
    return value if isinstance(value, bytes) else str(value).encode(errors="replace")


@schemathesis.hook
def before_call(context: object, case: Any, kwargs: object) -> None:
    """Mends what schemathesis 4.32 makes of an entity tag's pattern: it takes the quotes off."""
    if case.meta.generation.mode is GenerationMode.POSITIVE:
        for name in ("If-Match", "If-None-Match"):
            if str(case.headers.get(name, "")).isdecimal():
                case.headers[name] = "*"


def filter_failure(context: object, failure: object, case: object, response: Any) -> bool:
    """Whether it is one: a schema cannot say what the state of the service makes of a value."""
    if isinstance(failure, AcceptedNegativeData) and "refusals" in response.json():
        return False  # any text is lines, each of which may be refused
    if not isinstance(failure, RejectedPositiveData):
        return True
    problem = response.json()
    if problem["type"] in {"/problems/precondition-failed", "/problems/idempotency-key-reused"}:
        return False
    return not {error["code"] for error in problem.get("errors", [{"code": ""}])} <= BEYOND_SCHEMAS


def findings(schema: Any) -> list[str]:
    """All that schemathesis finds, with what was sent and answered."""
    found = []
    for event in from_schema(schema).execute():
        if hasattr(event, "value") or hasattr(event, "exception"):
            found.append(repr(getattr(event, "value", None) or event.exception))
        if hasattr(event, "recorder"):
            found += list(failures(event.recorder))
    return found


def failures(recorder: Any) -> Iterator[str]:
    for case, checks in recorder.checks.items():
        for check in checks:
            if check.failure_info:
                exchange = recorder.interactions.get(case)
                sent = (exchange.request.method, exchange.request.uri, exchange.request.body)
                answer = exchange.response and exchange.response.content[:300]
                yield f"{check.name}: {check.failure_info.failure} {sent} {answer}"


@pytest.mark.longest
@pytest.mark.slow
def test_schemathesis_finds_nothing(base: str, alice: Account) -> None:
    schema = loaded(base, alice.token).exclude(operation_id="delete_me")
    assert findings(schema) == []


@pytest.mark.slow
def test_schemathesis_finds_nothing_in_the_erasure_of_an_account(base: str, bob: Account) -> None:
    schema = loaded(base, bob.token).include(operation_id="delete_me")
    assert findings(schema) == []
