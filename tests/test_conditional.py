"""Conditional requests: no update is lost, and nothing is sent that the client has."""

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from app.core.ids import new_id
from tests.assertions import refused
from tests.conftest import PASSWORD, Account


class Resource(NamedTuple):
    """One resource of Alice's, and two bodies to write to it."""

    path: str
    body: dict[str, Any]
    other: dict[str, Any]


BODIES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "tasks": ({"title": "Buy milk"}, {"title": "Buy bread"}),
    "categories": ({"name": "Home"}, {"name": "Work"}),
    "me": ({"name": "Alice"}, {"name": "Alice Liddell"}),
}
KINDS = list(BODIES)
COLLECTIONS = ["tasks", "categories"]


@pytest.fixture
def resource(alice: Account) -> Callable[[str], Resource]:
    """Makes one resource of a kind."""

    def make(kind: str) -> Resource:
        body, other = BODIES[kind]
        if kind == "me":
            assert alice.patch("/v1/me", json=body).status_code == 200
            return Resource("/v1/me", body, other)
        created = alice.post(f"/v1/{kind}", json=body)
        return Resource(created.headers["Location"], body, other)

    return make


PRESENT = {"current_password": PASSWORD}
"""What the erasure of an account takes."""


def matching(tag: str) -> dict[str, Any]:
    return {"headers": {"If-Match": tag}}


def none_matching(tag: str) -> dict[str, Any]:
    return {"headers": {"If-None-Match": tag}}


def writes(kind: str, body: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """The methods that write a resource of this kind, and what to send with them."""
    patch, delete = {"json": body}, {"json": PRESENT} if kind == "me" else {}
    methods: list[tuple[str, dict[str, Any]]] = [("PATCH", patch), ("DELETE", delete)]
    return methods if kind == "me" else [*methods, ("PUT", {"json": body})]


@pytest.mark.parametrize("kind", COLLECTIONS)
def test_every_answer_of_one_resource_carries_the_strong_tag_of_its_version(
    alice: Account, kind: str
) -> None:
    body, other = BODIES[kind]
    created = alice.post(f"/v1/{kind}", json=body)
    path = created.headers["Location"]
    put = alice.put(f"/v1/{kind}/{new_id()}", json=other)
    answers = [
        created,
        put,
        alice.get(path),
        alice.patch(path, json={}),
        alice.put(path, json=body),
    ]
    answers += [
        alice.patch(path, json={"description": "x"} if kind == "tasks" else {"color": None})
    ]
    for response in answers:
        assert response.headers["ETag"] == f'"{response.json["version"]}"'
    assert alice.call("HEAD", path).headers["ETag"] == alice.get(path).headers["ETag"]
    assert "ETag" not in alice.get(f"/v1/{kind}").headers
    assert "ETag" not in alice.get(f"/v1/{kind}/{new_id()}").headers


def test_the_account_carries_its_tag_and_other_writes_leave_it(alice: Account) -> None:
    before = alice.get("/v1/me")
    alice.create_task()
    after = alice.get("/v1/me")
    changed = alice.patch("/v1/me", json={"name": "Alice"})
    assert before.headers["ETag"] == after.headers["ETag"] == f'"{before.json["version"]}"'
    assert changed.headers["ETag"] == f'"{changed.json["version"]}"' != after.headers["ETag"]


# If-Match


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "form", ["{}", '"0", {}', '{},"999"', " {} ", "*", ' "x" ,{}', '"a,b", {}', ',{},, "x"']
)
def test_a_change_is_made_where_if_match_names_the_version(
    alice: Account, resource: Callable[[str], Resource], kind: str, form: str
) -> None:
    path, _, other = resource(kind)
    tag = form.format(alice.get(path).headers["ETag"])
    response = alice.patch(path, json=other, **matching(tag))
    assert response.status_code == 200, response.text
    assert response.json | other == response.json


FOREIGN = [
    *('"0"', '"0", "999999999999999999"', 'W/"{}"', '"0{}"', '"abc"', '""', '"9{}", "x", "-1"'),
    *('"99999999999999999999999"', '"{}a"', '"a,{}"', '"\xe9"', '"1e0"', '"\xa0{}"'),
]


@pytest.mark.parametrize("kind", KINDS)
def test_no_change_is_made_where_if_match_does_not_and_the_answer_shows_what_is_there(
    alice: Account, resource: Callable[[str], Resource], kind: str
) -> None:
    path, _, other = resource(kind)
    before = alice.get(path).json
    for form in FOREIGN:
        tag = matching(form.format(before["version"]))
        for method, options in writes(kind, other):
            response = alice.call(method, path, **options, **tag)
            assert response.status_code == 412, (method, form)
            assert response.json["type"] == "/problems/precondition-failed"
            assert response.json["current"] == before
    assert alice.get(path).json == before


@pytest.mark.parametrize("kind", KINDS)
def test_a_stale_if_match_is_refused_even_if_the_write_would_change_nothing(
    alice: Account, resource: Callable[[str], Resource], kind: str
) -> None:
    path, body, _ = resource(kind)
    for patch in ({}, body):
        assert alice.patch(path, json=patch, **matching('"0"')).status_code == 412
    if kind != "me":
        assert alice.put(path, json=body, **matching('"0"')).status_code == 412


MALFORMED = ["1", "'1'", '"1', '1"', '"1" "2"', 'w/"1"', 'W/ "1"', '*, "1"', '"1\t"', ",", ""]


@pytest.mark.parametrize("header", ["If-Match", "If-None-Match"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_malformed_condition_is_refused_by_every_method(
    alice: Account, resource: Callable[[str], Resource], kind: str, header: str
) -> None:
    path, _, other = resource(kind)
    before = alice.get(path).json
    requests = writes(kind, other)
    if header == "If-None-Match":
        requests.append(("GET", {}))
    for tag in MALFORMED:
        for method, options in requests:
            response = alice.call(method, path, **options, headers={header: tag})
            assert refused(response, "entity_tag", header=header), (method, tag)
    assert alice.get(path).json == before


@pytest.mark.parametrize("kind", COLLECTIONS)
def test_put_with_if_match_never_creates(alice: Account, kind: str) -> None:
    path = f"/v1/{kind}/{new_id()}"
    for tag in ('"1"', "*", '"x"'):
        response = alice.put(path, json=BODIES[kind][0], **matching(tag))
        assert response.status_code == 412
        assert response.json["current"] is None
    assert alice.get(path).status_code == 404


@pytest.mark.parametrize("kind", COLLECTIONS)
def test_put_with_if_match_replaces_the_version_it_names(
    alice: Account, resource: Callable[[str], Resource], kind: str
) -> None:
    path, _, other = resource(kind)
    tag = alice.get(path).headers["ETag"]
    assert alice.put(path, json=other, **matching(tag)).status_code == 200
    assert alice.put(path, json=other, **matching(tag)).status_code == 412


@pytest.mark.parametrize("kind", COLLECTIONS)
def test_what_is_missing_or_deleted_is_404_whatever_the_condition(
    alice: Account, resource: Callable[[str], Resource], kind: str
) -> None:
    path, _, other = resource(kind)
    tag = alice.get(path).headers["ETag"]
    assert alice.delete(path, **matching(tag)).status_code == 204
    for target in (path, f"/v1/{kind}/{new_id()}"):
        for condition in (matching(tag), matching("*"), none_matching("*")):
            assert alice.patch(target, json=other, **condition).status_code == 404
            assert alice.delete(target, **condition).status_code == 404


def test_the_account_is_erased_only_at_the_version_that_is_named(alice: Account) -> None:
    stale = alice.get("/v1/me").headers["ETag"]
    current = alice.patch("/v1/me", json={"name": "Alice"}).headers["ETag"]
    assert alice.erase(**matching(stale)).status_code == 412
    assert alice.erase(**matching(current)).status_code == 204
    assert alice.get("/v1/me").status_code == 401


# If-None-Match


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_client_that_has_the_resource_is_not_sent_it_again(
    alice: Account, resource: Callable[[str], Resource], kind: str, method: str
) -> None:
    path = resource(kind).path
    tag = alice.get(path).headers["ETag"]
    for form in ("{}", "W/{}", '"x", {}', '"a,b",W/{}', "*", " * "):
        response = alice.call(method, path, **none_matching(form.format(tag)))
        assert (response.status_code, response.data) == (304, b""), form
        assert response.headers["ETag"] == tag
        assert "Content-Type" not in response.headers


@pytest.mark.parametrize("kind", KINDS)
def test_a_client_that_has_another_version_is_sent_this_one(
    alice: Account, resource: Callable[[str], Resource], kind: str
) -> None:
    path, body, _ = resource(kind)
    for tag in ('"0"', 'W/"0"', '"x"', '""', '"0","y"', '"a,b"'):
        response = alice.get(path, **none_matching(tag))
        assert (response.status_code, response.json | body) == (200, response.json), tag


@pytest.mark.parametrize("kind", COLLECTIONS)
def test_if_none_match_does_not_hide_that_there_is_nothing(alice: Account, kind: str) -> None:
    assert alice.get(f"/v1/{kind}/{new_id()}", **none_matching("*")).status_code == 404


@pytest.mark.parametrize("kind", COLLECTIONS)
def test_put_with_if_none_match_star_only_creates(alice: Account, kind: str) -> None:
    path, (body, other) = f"/v1/{kind}/{new_id()}", BODIES[kind]
    created = alice.put(path, json=body, **none_matching("*"))
    assert created.status_code == 201
    for again in (body, other):
        refusal = alice.put(path, json=again, **none_matching("*"))
        assert refusal.status_code == 412
        assert refusal.json["current"] == created.json
    assert alice.get(path).json == created.json


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
def test_what_exists_is_neither_changed_nor_deleted_under_if_none_match_star(
    alice: Account, resource: Callable[[str], Resource], kind: str, method: str
) -> None:
    path, _, other = resource(kind)
    before = alice.get(path).json
    options = dict(writes(kind, other))[method]
    response = alice.call(method, path, **options, **none_matching("*"))
    assert (response.status_code, response.json.get("current")) == (412, before)
    assert alice.get(path).json == before


# If-None-Match of writes


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("form", ["{}", "W/{}", '"x", {}', '"0",W/{}, ""'])
def test_nothing_is_written_while_the_resource_stands_at_a_version_that_if_none_match_names(
    alice: Account, resource: Callable[[str], Resource], kind: str, form: str
) -> None:
    path, body, other = resource(kind)
    before = alice.get(path)
    condition = none_matching(form.format(before.headers["ETag"]))
    for written in (other, body):  # also where the write would change nothing
        for method, options in writes(kind, written):
            response = alice.call(method, path, **options, **condition)
            assert response.status_code == 412, method
            assert response.json["type"] == "/problems/precondition-failed"
            assert response.json["current"] == before.json
    assert alice.get(path).json == before.json


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("form", ['"0"', 'W/"0", "x"', '"{}0"', '"9{}", ""', '"-1", "1e0"'])
def test_a_write_is_done_where_if_none_match_names_other_versions(
    alice: Account, resource: Callable[[str], Resource], kind: str, form: str
) -> None:
    path, body, other = resource(kind)
    for method, options in [*writes(kind, other)[::2], *writes(kind, body)[1:2]]:
        tag = form.format(alice.get(path).json["version"])
        response = alice.call(method, path, **options, **none_matching(tag))
        assert response.status_code in {200, 204}, (method, response.text)
    assert alice.get(path).status_code == (401 if kind == "me" else 404)


@pytest.mark.parametrize("kind", COLLECTIONS)
def test_put_creates_where_if_none_match_names_a_version_of_what_is_not_there(
    alice: Account, kind: str
) -> None:
    path = f"/v1/{kind}/{new_id()}"
    assert alice.put(path, json=BODIES[kind][0], **none_matching('"1"')).status_code == 201


@pytest.mark.parametrize("kind", KINDS)
def test_a_write_has_to_meet_both_conditions(
    alice: Account, resource: Callable[[str], Resource], kind: str
) -> None:
    path, _, other = resource(kind)
    tag = alice.get(path).headers["ETag"]
    for match, none_match in (('"0"', '"0"'), (tag, tag), ("*", tag)):
        both = {"headers": {"If-Match": match, "If-None-Match": none_match}}
        for method, options in writes(kind, other):
            assert alice.call(method, path, **options, **both).status_code == 412, method
    both = {"headers": {"If-Match": tag, "If-None-Match": '"0"'}}
    assert alice.patch(path, json=other, **both).status_code == 200


@pytest.mark.parametrize("kind", COLLECTIONS)
@pytest.mark.parametrize("key", [{}, {"Idempotency-Key": "once"}])
def test_what_is_in_the_trash_is_restored_and_erased_under_the_same_conditions(
    alice: Account, resource: Callable[[str], Resource], kind: str, key: dict[str, str]
) -> None:
    path = resource(kind).path
    alice.delete(path)
    (item,) = alice.get("/v1/trash").json["items"]
    version, erase = item["data"]["version"], f"/v1/trash/{item['data']['id']}"
    named = {"If-None-Match": f'W/"{version}"'}
    other = {"If-None-Match": f'"{version}0"'}
    assert alice.post(f"{path}/restore", headers=named | key).status_code == 412
    assert alice.delete(erase, headers=named).status_code == 412
    assert alice.post(f"{path}/restore", headers=other | key).status_code == 200
    alice.delete(path)
    assert alice.delete(erase, headers=other).status_code == 204


def test_a_token_is_revoked_under_the_same_conditions(alice: Account) -> None:
    for current in (matching('"{}"'), none_matching('"{}0"')):
        made = alice.create_token()
        [token] = alice.get("/v1/tokens").json["items"]
        path, version = f"/v1/tokens/{made['id']}", made["version"]
        for tags in (none_matching(f'"{version}"'), matching(f'"{version}0"')):
            stale = alice.delete(path, **tags)
            assert (stale.status_code, stale.json["current"]) == (412, token)
        headers = {name: tag.format(version) for name, tag in current["headers"].items()}
        assert alice.delete(path, headers=headers).status_code == 204
        assert alice.delete(path, headers=headers).status_code == 404


# If-Match of reads


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_read_is_answered_where_if_match_names_the_version(
    alice: Account, resource: Callable[[str], Resource], kind: str, method: str
) -> None:
    path = resource(kind).path
    whole = alice.call(method, path)
    tag = whole.headers["ETag"]
    for form in ("{}", '"0", {}', "*", " * ", '"x" ,{}'):
        response = alice.call(method, path, **matching(form.format(tag)))
        assert (response.status_code, response.data) == (200, whole.data), form
        assert response.headers["ETag"] == tag
    both = {"headers": {"If-Match": tag, "If-None-Match": tag}}
    assert alice.call(method, path, **both).status_code == 304


@pytest.mark.parametrize("kind", KINDS)
def test_a_read_of_another_version_is_412_before_if_none_match_is_looked_at(
    alice: Account, resource: Callable[[str], Resource], kind: str
) -> None:
    path = resource(kind).path
    before = alice.get(path)
    tag = before.headers["ETag"]
    for form in FOREIGN:
        stale = form.format(before.json["version"])
        for none_match in ({}, {"If-None-Match": tag}, {"If-None-Match": "*"}):
            headers = {"If-Match": stale, **none_match}
            response = alice.get(path, headers=headers)
            assert response.status_code == 412, (form, none_match)
            assert response.json["type"] == "/problems/precondition-failed"
            assert response.json["current"] == before.json
            head = alice.call("HEAD", path, headers=headers)
            assert (head.status_code, head.data) == (412, b"")


@pytest.mark.parametrize("kind", KINDS)
def test_a_read_with_a_malformed_if_match_is_refused(
    alice: Account, resource: Callable[[str], Resource], kind: str
) -> None:
    path = resource(kind).path
    for tag in MALFORMED:
        assert refused(alice.get(path, **matching(tag)), "entity_tag", header="If-Match"), tag


@pytest.mark.parametrize("kind", COLLECTIONS)
def test_if_match_does_not_hide_that_there_is_nothing(alice: Account, kind: str) -> None:
    for tag in ('"1"', "*"):
        assert alice.get(f"/v1/{kind}/{new_id()}", **matching(tag)).status_code == 404


@pytest.mark.parametrize("path", ["/openapi.json", "/docs/swagger-ui.css"])
def test_documents_and_assets_are_read_under_the_same_conditions(alice: Account, path: str) -> None:
    tag = alice.get(path).headers["ETag"]
    assert alice.get(path, **matching(tag)).status_code == 200
    for none_match in ({}, {"If-None-Match": tag}):
        stale = alice.get(path, headers={"If-Match": '"0"', **none_match})
        assert (stale.status_code, stale.mimetype) == (412, "application/problem+json")


# Dates


@pytest.mark.parametrize("kind", KINDS)
def test_conditions_on_dates_are_ignored_as_no_resource_has_one(
    alice: Account, resource: Callable[[str], Resource], kind: str
) -> None:
    path, _, other = resource(kind)
    future, past = ("Fri, 01 Jan 2100 00:00:00 GMT", "Mon, 01 Jan 1990 00:00:00 GMT")
    response = alice.get(path, headers={"If-Modified-Since": future})
    assert (response.status_code, "Last-Modified" in response.headers) == (200, False)
    for method, options in writes(kind, other)[::2]:
        response = alice.call(method, path, **options, headers={"If-Unmodified-Since": past})
        assert response.status_code == 200
